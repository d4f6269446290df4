import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.domain.reason import text_of
from api.domain.tasks.training import TrainingRequest
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import CacheFacts
from tests.unit.trainers.diffusion_pipe.builders import MODELS, Case, make_model, make_trainer, setting, within


@pytest.fixture
def trainer(tmp_path: Path) -> DiffusionPipe:
    return make_trainer(tmp_path)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def facts(trainer: DiffusionPipe, case: Case, *changes: Any, **request: Any) -> CacheFacts:
    original: TrainingRequest = case.request(**request)
    config = {**original.config, "model": dict(original.config["model"]), "adapter": dict(original.config["adapter"])}
    for change in changes:
        change(config)
    return trainer.cache_facts(replace(original, config=config))


def test_training_only_settings_do_not_change_the_cache(trainer: DiffusionPipe, case: Case):
    same = [
        setting(epochs=77),
        setting(micro_batch_size_per_gpu=2),
        within("adapter", rank=64),
        within("model", timestep_sample_method="uniform"),
    ]
    assert facts(trainer, case).problem is None
    for change in same:
        assert facts(trainer, case, change) == facts(trainer, case)


def test_setting_that_affects_cached_values_changes_the_cache(trainer: DiffusionPipe, case: Case):
    others = [within("model", dtype="float32"), setting(video_clip_mode="single_middle"), setting(caching_batch_size=4)]
    for change in others:
        assert facts(trainer, case, change).values != facts(trainer, case).values
    assert not facts(trainer, case, setting(caching_batch_size=4)).counts_items


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_changed_model_file_changes_the_cache(trainer: DiffusionPipe, tmp_path: Path, case: Case, model_type: str):
    original = case.request()
    model = make_model(model_type, tmp_path / model_type)
    request = replace(original, model_type=model_type, config={**original.config, "model": model})
    files = [path for path in (tmp_path / model_type).rglob("*") if path.is_file()]
    before = trainer.cache_facts(request)
    assert before.problem is None
    for path in files:
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        after = trainer.cache_facts(request)
        assert after.values != before.values, path
        before = after


def test_changed_trainer_changes_the_cache(trainer: DiffusionPipe, case: Case, tmp_path: Path):
    before = facts(trainer, case)
    code = tmp_path / "trainer" / "utils"
    code.mkdir()
    (code / "dataset.py").write_text("changed")
    changed = facts(trainer, case)
    (tmp_path / "trainer" / ".git").mkdir()
    (tmp_path / "trainer" / ".git" / "HEAD").write_text("8f83dbf")
    assert len({str(each.values) for each in (before, changed, facts(trainer, case))}) == 3


def test_model_that_is_not_downloaded_yet_is_a_problem(trainer: DiffusionPipe, case: Case):
    model = {"type": "flux", "dtype": "bfloat16", "diffusers_path": "black-forest-labs/FLUX.1-dev"}
    problem = facts(trainer, case, setting(model=model)).problem
    assert text_of(problem or "") == "black-forest-labs/FLUX.1-dev is not on this machine yet"


def test_size_buckets_prevent_caching_in_advance(trainer: DiffusionPipe, case: Case):
    original = case.request()
    sized = replace(original, dataset={**original.dataset, "size_buckets": [[512, 512, 1]]})
    assert "size_buckets" in text_of(trainer.cache_facts(sized).problem or "")
    evaluated = facts(trainer, case, setting(eval_datasets=[{"name": "e", "config": "/e.toml"}]))
    assert "evaluation" in text_of(evaluated.problem or "")


def test_repeats_do_not_change_the_cache(trainer: DiffusionPipe, case: Case):
    original = case.request()
    directory = dict(original.dataset["directories"][0])
    often = replace(original, dataset={**original.dataset, "directories": [{**directory, "num_repeats": 9}]})
    assert trainer.cache_facts(often).values == trainer.cache_facts(original).values
    larger = replace(original, dataset={**original.dataset, "resolutions": [640]})
    assert trainer.cache_facts(larger).values != trainer.cache_facts(original).values


@pytest.mark.parametrize("config", [{}, {"model": 3}, {"model": {"type": "flux", "diffusers_path": "a\0b"}}])
def test_invalid_request_is_left_to_its_check(trainer: DiffusionPipe, case: Case, config: dict[str, Any]):
    wrong = replace(case.request(), config=config, dataset={"directory": 3})
    assert isinstance(trainer.cache_facts(wrong), CacheFacts)
