from pathlib import Path

import pytest

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.domain.training import GPURequest, TrainingRequest
from api.jobs.downloads.trainer import Downloader
from api.jobs.downloads.transferring import refuse
from api.jobs.downloads.wish import WISH
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


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("refused (disk_full): There is too little disk space: 3 GB are missing.", CauseCode.DISK_FULL),
        ("refused (gated): o/m is gated: accept its licence.", CauseCode.GATED),
        ("refused: o/m is gated: accept its licence.", CauseCode.MISSING_FILE),
        ("refused (of_a_later_version): o/m is gone.", CauseCode.MISSING_FILE),
    ],
)
def test_its_own_word_is_the_cause(downloader: Downloader, line: str, code: CauseCode):
    ending = Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=["files: 0 of 1", line])
    cause = downloader.diagnose(ending)
    assert (cause.code, cause.detail) == (code, line.partition(": ")[2])


def test_its_word_is_told_with_its_code_for_other_languages(downloader: Downloader, capsys: pytest.CaptureFixture[str]):
    inner = Reason.of("the server answers {status}", "download_answers", status=503)
    said = Reason.of("{name} cannot be downloaded: {problem}.", "download_not_reached", name="model\n1", problem=inner)
    assert refuse(CauseCode.NETWORK, said) == 1
    lines = capsys.readouterr().out.splitlines()
    cause = downloader.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert cause.detail == "model 1 cannot be downloaded: the server answers 503."
    assert cause.detail_code == said.said
    assert cause.remedy_code is not None
    assert cause.remedy_code.code == "download_refused_remedy"


@pytest.mark.parametrize(
    "line", ["problem: {}", "reason: {", "reason: []", 'reason: {"code": 1, "params": {}}', "reason: "]
)
def test_a_line_that_is_no_reason_leaves_the_words_as_they_are(downloader: Downloader, line: str):
    lines = [line, "refused (network): It is away."]
    cause = downloader.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert (cause.detail, cause.detail_code) == ("It is away.", None)


def test_end_without_a_word_is_diagnosed_as_any_other(downloader: Downloader):
    lines = ["OSError: [Errno 28] No space left on device"]
    cause = downloader.diagnose(Ending(1, None, stop_requested=False, phrases=frozenset(), last_lines=lines))
    assert cause.code is CauseCode.DISK_FULL
