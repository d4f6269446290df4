import base64
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.training import GPURequest
from api.trainers import media
from api.trainers.trainer import Launch
from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase


def test_all_mistakes_are_reported_together(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["epochs"]
    case.config["adapter"]["alpha"] = 1
    case.config["model"]["dtype"] = "bf16"
    case.dataset["directories"][0]["path"] = "/nowhere"
    assert set(case.errors()) == {
        "/config/epochs",
        "/config/adapter/alpha",
        "/config/model/dtype",
        "/dataset/directories/0/path",
    }


def test_check_that_takes_too_long_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "REASONING_SECONDS", -100.0)
    case = Case(tmp_path)
    (mistake,) = case.check().errors
    assert mistake.pointer == ""
    assert "was cancelled" in mistake.message


def test_plan_shows_files_and_command(tmp_path: Path):
    case = Case(tmp_path)
    plan = case.check().plan
    assert plan is not None
    assert set(plan.files) == {"config.toml", "dataset.toml"}
    assert str(tmp_path / "task" / "attempts" / "1" / "dataset.toml") in plan.files["config.toml"]
    assert plan.command[1:4] == ("-u", "-m", "deepspeed.launcher.launch")


def test_prepare_rejects_unchecked_request(tmp_path: Path):
    case = Case(tmp_path)
    plan = case.check().plan
    assert plan is not None
    case.config = {}
    with pytest.raises(ValueError, match="check"):
        case.trainer.prepare(case.request(), plan, launch(case))


def launch(case: Case | TextCase, **others) -> Launch:
    return Launch(
        directory=case.output_dir.parent / "attempts" / "2",
        output_dir=case.output_dir,
        gpu_indices=(2, 3),
        master_port=29671,
        **others,
    )


def test_plan_shows_the_requested_gpu_indices(tmp_path: Path):
    case = Case(tmp_path)
    request = replace(case.request(), gpus=GPURequest(references=(5,)))
    plan = case.trainer.check(request, case.output_dir).plan
    assert plan is not None
    assert base64.urlsafe_b64decode(plan.command[4].partition("=")[2]) == b'{"localhost": [5]}'
