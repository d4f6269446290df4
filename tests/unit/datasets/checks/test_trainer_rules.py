from pathlib import Path
from typing import Any

import pytest

from api.datasets.checks.trainer_rules import RuleBook
from api.errors import Invalid
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import DatasetSetup
from tests.unit.access.locations import make_files, paths_of


def test_model_type_has_the_rules_of_its_trainer():
    trainer = DiffusionPipe(None, None)
    assert RuleBook([trainer]).of("wan") is trainer


def test_unknown_model_type_is_rejected_with_the_nearest_name():
    with pytest.raises(Invalid) as rejected:
        RuleBook([DiffusionPipe(None, None)]).of("fluxx")
    [mistake] = rejected.value.mistakes
    assert (mistake.pointer, mistake.remedy) == ("/model_type", 'Did you mean "flux"?')


def test_question_must_not_name_a_file_that_the_caller_may_not_read(tmp_path: Path):
    make_files(tmp_path)
    rules = RuleBook([DiffusionPipe(tmp_path / "pipe", None)], paths_of(tmp_path))
    given: dict[str, Any] = {"settings": {"default_mask_file": "../secret.key"}}
    given["config"] = {"a": str(tmp_path / "storage")}
    with pytest.raises(Invalid) as refusal:
        rules.of_question(DatasetSetup("flux", **given))
    assert {each.pointer for each in refusal.value.mistakes} == {"/default_mask_file", "/config/a"}
    assert rules.of_question(DatasetSetup("flux", {"caption_prefix": "a cat"})).model_types
