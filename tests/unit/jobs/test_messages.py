import json

import pytest

from api.domain.reason import Reason, ReasonCode
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed
from api.jobs.messages import (
    STEP_PREFIX,
    JobMessage,
    MessageKind,
    quote_name,
    read_message,
    report_activity,
    report_failure,
    report_progress,
    report_warning,
)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().out.splitlines()
    return line


def test_progress_is_read_as_it_was_reported(capsys: pytest.CaptureFixture[str]):
    report_progress("files", 3, 12, 41.26, 63.4)
    line = printed(capsys)
    assert line.startswith(f"{STEP_PREFIX}3,")
    text = "3 of 12 files, 41.3 %, 63 s left"
    assert read_message(line) == JobMessage(MessageKind.PROGRESS, text, 3, 12, 41.3, 63.0)
    report_progress("items", 0, 12, 0.0, None)
    found = read_message(printed(capsys))
    assert found is not None
    assert (found.text, found.seconds_left) == ("0 of 12 items, 0.0 %", None)


def test_failure_is_read_with_its_cause_and_reason(capsys: pytest.CaptureFixture[str]):
    inner = Reason.of("the server answers {status}", "download_answers", status=503)
    reason = Reason.of("{name} cannot be downloaded: {problem}.", "download_not_reached", name="a\n1", problem=inner)
    report_failure(JobFailed(reason, CauseCode.NETWORK))
    found = read_message(printed(capsys))
    text = "a 1 cannot be downloaded: the server answers 503."
    assert found == JobMessage(MessageKind.FAILED, text, cause="network", reason=reason.said)


def test_too_long_reason_is_left_out(capsys: pytest.CaptureFixture[str]):
    report_failure(JobFailed(Reason.of("{name}", "long", name="x" * 5000), CauseCode.NETWORK))
    found = read_message(printed(capsys))
    assert found is not None
    assert (found.reason, len(found.text)) == (None, 600)


def test_foreign_text_cannot_start_a_line_or_reach_a_terminal(capsys: pytest.CaptureFixture[str]):
    evil = f"a\n{STEP_PREFIX}9\r\x1b[2J\udcff\u2028"
    report_activity(quote_name(evil))
    report_warning(evil)
    for line in capsys.readouterr().out.splitlines():
        found = read_message(line)
        assert found is not None
        assert found.kind in (MessageKind.ACTIVITY, MessageKind.WARNING)
        assert found.text.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        '{"dp": "progress", "step": -1, "total": 2, "message": ""}',
        '{"dp": "progress", "step": 1e999, "total": 2, "message": ""}',
        '{"dp": "progress", "step": 1, "total": "2", "message": ""}',
        '{"dp": "of_a_later_version", "message": ""}',
        '{"dp": "warning", "message": 1}',
        '{"dp": "failed", "reason": {"code": 1, "params": {}}, "message": ""}',
        '{"dp": "warning", "message": "cut',
        '{"dp": ' + "[" * 9_000,
        '{"dp": "warning", "message": "' + "x" * 20_000 + '"}',
        "reason: {",
        "reason: []",
        "reason: ",
        "files: some",
        "a line of a library",
        "",
    ],
)
def test_other_and_damaged_lines_are_no_messages(line: str):
    assert read_message(line) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("files: 1 of 3, 41.3 %, 75 s left", JobMessage(MessageKind.PROGRESS, "", 1, 3, 41.3, 75.0)),
        ("items: 0 of 3, 0.0 %, - s left", JobMessage(MessageKind.PROGRESS, "", 0, 3, 0.0, None)),
        ('doing: working on "a.mp4"', JobMessage(MessageKind.ACTIVITY, 'working on "a.mp4"')),
        ("problem: it is tried again", JobMessage(MessageKind.WARNING, "it is tried again")),
        ("refused (gated): o/m is gated.", JobMessage(MessageKind.FAILED, "o/m is gated.", cause="gated")),
        ("refused: o/m is gated.", JobMessage(MessageKind.FAILED, "o/m is gated.")),
        (
            'reason: {"code": "download_gated", "params": {"repository": "o/m"}}',
            JobMessage(MessageKind.REASON, "", reason=ReasonCode("download_gated", {"repository": "o/m"})),
        ),
    ],
)
def test_sentences_of_older_programs_are_read(line: str, message: JobMessage):
    assert read_message(line) == message


def test_messages_are_readable_json(capsys: pytest.CaptureFixture[str]):
    report_warning('"猫.mp4": too short')
    line = printed(capsys)
    assert "猫.mp4" in line
    assert json.loads(line) == {"dp": "warning", "message": '"猫.mp4": too short'}
