from pathlib import Path

import pytest

from api.models.training import CauseCode, GPURequest, TrainingRequest
from api.trainers.downloads.trainer import Downloader
from api.trainers.downloads.wish import WISH
from api.trainers.trainer import Ending, Launch

REQUEST = TrainingRequest("", GPURequest(count=0))


@pytest.fixture
def downloader() -> Downloader:
    return Downloader("python")


def test_attempt_runs_the_program_in_the_tasks_directory(downloader: Downloader, tmp_path: Path):
    output = tmp_path / "task" / "output"
    output.mkdir(parents=True)
    (output / WISH).write_text("{}")
    plan = downloader.check(REQUEST, output).plan
    assert plan is not None
    command = downloader.prepare(REQUEST, plan, Launch(tmp_path / "task" / "attempts" / "3", output, (), 0))
    assert command.argv[-4:] == ("--work", str(output), "--run", "run_3")
    (output / WISH).write_text("")
    with pytest.raises(ValueError, match="not known"):
        downloader.prepare(REQUEST, plan, Launch(tmp_path / "task" / "attempts" / "3", output, (), 0))


def test_latest_run_says_whether_it_is_whole(downloader: Downloader, tmp_path: Path):
    assert downloader.find_run_dir(tmp_path) is None
    for name in ("run_2", "run_10", "run_x", f"run_{'9' * 20}"):
        (tmp_path / name).mkdir()
    found = downloader.find_run_dir(tmp_path)
    assert found == tmp_path / "run_10"
    assert downloader.checkpoints(found) == ()
    (found / "stopped.json").write_text("{}")
    assert downloader.checkpoints(found)[0].is_complete
    assert downloader.signal_file(found) == found / "stop"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("refused: There is too little disk space: 3 GB are missing.", CauseCode.DISK_FULL),
        ("refused: o/m is gated: accept its licence.", CauseCode.MISSING_FILE),
    ],
)
def test_its_own_word_is_the_cause(downloader: Downloader, line: str, code: CauseCode):
    ending = Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=["files: 0 of 1", line])
    cause = downloader.diagnose(ending)
    assert (cause.code, cause.detail) == (code, line.removeprefix("refused: "))


def test_end_without_a_word_is_diagnosed_as_any_other(downloader: Downloader):
    lines = ["OSError: [Errno 28] No space left on device"]
    cause = downloader.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert cause.code is CauseCode.DISK_FULL
