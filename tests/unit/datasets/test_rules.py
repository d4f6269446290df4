from pathlib import Path
from typing import Any

import pytest

from api.datasets.rules import RuleBook
from api.errors import Invalid
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import DatasetQuestion
from tests.unit.access.places import make_files, paths_of


def test_a_model_type_has_the_rules_of_its_trainer():
    trainer = DiffusionPipe(None, None)
    assert RuleBook([trainer]).of("wan") is trainer


def test_a_model_type_that_nobody_knows_is_refused_with_the_nearest():
    with pytest.raises(Invalid) as refused:
        RuleBook([DiffusionPipe(None, None)]).of("fluxx")
    [mistake] = refused.value.mistakes
    assert (mistake.pointer, mistake.remedy) == ("/model_type", 'Did you mean "flux"?')


def test_a_question_names_no_file_that_its_caller_may_not_read(tmp_path: Path):
    make_files(tmp_path)
    rules = RuleBook([DiffusionPipe(tmp_path / "pipe", None)], paths_of(tmp_path))
    given: dict[str, Any] = {"settings": {"default_mask_file": "../secret.key"}}
    given["config"] = {"a": str(tmp_path / "storage")}
    with pytest.raises(Invalid) as refusal:
        rules.of_question(DatasetQuestion("flux", **given))
    assert {each.pointer for each in refusal.value.mistakes} == {"/default_mask_file", "/config/a"}
    assert rules.of_question(DatasetQuestion("flux", {"caption_prefix": "a cat"})).model_types
