from pathlib import Path

import pytest

from api.domain.cause import CauseCode
from api.domain.training import GPURequest, TrainingRequest
from api.jobs.downloads.wish import WISH
from api.jobs.pushes.trainer import Pusher
from api.jobs.pushes.words import COMPLETED
from api.trainers.trainer import Ending, Launch


@pytest.fixture
def pusher() -> Pusher:
    return Pusher("python")


def test_attempt_runs_the_program_that_pushes(pusher: Pusher, tmp_path: Path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / WISH).write_text("{}")
    plan = pusher.check(TrainingRequest("", GPURequest(count=0)), tmp_path).plan
    assert plan is not None
    launch = Launch(tmp_path / "attempts" / "2", tmp_path / "output", (), 0)
    command = pusher.prepare(TrainingRequest("", GPURequest(count=0)), plan, launch)
    assert command.argv[1:6] == ("-P", "-u", "-m", "api.jobs.pushes.program", "--work")
    assert command.env["HF_HUB_VERBOSITY"] == "critical"


def test_its_own_word_is_the_cause(pusher: Pusher):
    lines = ["files: 0 of 2", "refused (hub_refused): The token may not write to ann/cats."]
    cause = pusher.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert (cause.code, cause.detail) == (CauseCode.HUB_REFUSED, "The token may not write to ann/cats.")


def test_its_last_word_is_read(pusher: Pusher):
    plan = pusher.check(TrainingRequest("", GPURequest(count=0)), Path()).plan
    assert plan is not None
    reader = pusher.create_reader(plan)
    reader.read(COMPLETED, 1.0)
    assert reader.progress.phrases == {COMPLETED}
