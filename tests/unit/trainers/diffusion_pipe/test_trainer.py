from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import Ending, Trainer
from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase


def test_missing_trainer_is_reported_with_its_settings(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["epochs"]
    case.trainer = DiffusionPipe(None, None)
    found = case.check()
    assert [mistake.pointer for mistake in found.errors] == ["/model_type", "/model_type", "/config/epochs"]
    assert "DIFFUSION_PIPE_ROOT" in str(found.errors[0].remedy)
    assert "DIFFUSION_PIPE_PYTHON" in str(found.errors[1].remedy)


def test_diffusion_pipe_implements_the_trainer_interface(tmp_path: Path):
    trainer: Trainer = TextCase(tmp_path).trainer
    assert trainer.name == "diffusion_pipe"
    assert trainer.find_run_dir(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("hunyuanvideo", "Did you mean `hunyuan-video`? Known: "),
        ("abc", "Set one of anima"),
        ("krea2", "update the trainer"),  # the trainer is older than this service
    ],
)
def test_failure_for_an_unknown_model_type_suggests_one(tmp_path: Path, name: str, remedy: str):
    error = f"NotImplementedError: Model type {name} is not implemented"
    ending = Ending(1, None, False, frozenset(), ["Traceback (most recent call last):", "  x", error])
    assert remedy in TextCase(tmp_path).trainer.diagnose(ending).remedy
