"""Programs of preprocessing, as the seam of the trainers knows them."""

from pathlib import Path

import pytest

from api.domain.cause import CauseCode
from api.domain.training import GPURequest, TrainingRequest
from api.jobs.preprocessing.trainer import WorkTrainer
from api.trainers.trainer import Ending, Launch

ERRAND = TrainingRequest("wan", GPURequest(count=0))


@pytest.fixture
def trainer() -> WorkTrainer:
    return WorkTrainer("preprocessing", "api.jobs.preprocessing.program", threads=2, python="python")


def test_an_attempt_runs_the_program_in_the_tasks_directory(trainer: WorkTrainer, tmp_path: Path):
    output = tmp_path / "task" / "output"
    output.mkdir(parents=True)
    (output / "items.jsonl").write_text("\n")
    launch = Launch(tmp_path / "task" / "attempts" / "3", output, (), 0)
    plan = trainer.check(ERRAND, output).plan
    assert plan is not None
    command = trainer.prepare(ERRAND, plan, launch)
    assert command.argv[-6:] == ("--work", str(output), "--run", "run_3", "--threads", "2")
    assert command.argv[:4] == ("python", "-P", "-u", "-m")


def test_without_its_items_it_cannot_be_started(trainer: WorkTrainer, tmp_path: Path):
    launch = Launch(tmp_path / "attempts" / "1", tmp_path / "output", (), 0)
    with pytest.raises(OSError, match="No such file"):
        trainer.prepare(ERRAND, trainer.check(ERRAND, tmp_path).plan, launch)  # type: ignore[arg-type]


def test_a_full_disk_is_told_as_the_cause(trainer: WorkTrainer):
    lines = ["OSError: [Errno 28] No space left on device: the results cannot be written"]
    cause = trainer.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert cause.code is CauseCode.DISK_FULL
