from pathlib import Path

import pytest

from api.domain.training import GPURequest, TrainingRequest
from api.jobs.own_program import OwnProgram, run_of
from api.trainers.trainer import Launch


@pytest.fixture
def program() -> OwnProgram:
    return OwnProgram()


def test_latest_run_is_the_one_of_the_highest_number(program: OwnProgram, tmp_path: Path):
    assert program.find_run_dir(tmp_path) is None
    for name in ("run_2", "run_10", "run_x", "run_²", f"run_{'9' * 20}", "made"):
        (tmp_path / name).mkdir()
    assert program.find_run_dir(tmp_path) == tmp_path / "run_10"
    assert run_of(Launch(tmp_path / "attempts" / "11", tmp_path, (), 0)) == "run_11"


@pytest.mark.parametrize("name", ["done.json", "stopped.json"])
def test_run_is_whole_once_it_has_left_a_word(program: OwnProgram, tmp_path: Path, name: str):
    assert program.checkpoints(tmp_path) == ()
    (tmp_path / name).write_text("{}")
    (whole,) = program.checkpoints(tmp_path)
    assert (whole.name, whole.is_complete, whole.step) == (name, True, None)
    assert program.prune(tmp_path, 1) == ()


def test_it_is_asked_to_stop_by_a_file(program: OwnProgram, tmp_path: Path):
    assert program.signal_file(tmp_path) == tmp_path / "stop"


def test_no_request_for_a_training_chooses_it(program: OwnProgram):
    errand = TrainingRequest("wan", GPURequest(count=0))
    assert program.model_types == frozenset()
    assert program.problems() == ()
    assert program.without_secrets(errand) is errand
