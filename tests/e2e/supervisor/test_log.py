"""The log contains the trainer's output, byte for byte, in timestamped segments and within its size limit."""

import os
import random
import re
import time
from pathlib import Path

import pytest

from api.executors.log_files import LogFiles
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempts, fill

SEGMENT = 64 * 1024


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.spec.LOG_SEGMENT_BYTES", SEGMENT)


@pytest.mark.parametrize(
    "content",
    [
        b"bad \xff\xfe\x80 UTF-8\n\0NUL\0\n\x1b[31mred\x1b[0m\n",
        b"\r".join(b"%3d%%|####" % percent for percent in range(100)) + b"\n",
        b"x" * (10 * 2**20) + b"\n",
        b"no newline at all",
        b"\n" * 10_000,
        b"",
    ],
    ids=["bytes", "bars", "10 MB", "no newline", "newlines", "nothing"],
)
def test_output_arrives_unchanged(attempts: Attempts, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "content"
    file.write_bytes(content)
    attempt = attempts.start(f"import sys; sys.stdout.buffer.write(open({str(file)!r}, 'rb').read())")
    attempt.outcome()
    assert attempt.log() == content


@pytest.mark.usefixtures("small_segments")
def test_segments_begin_after_newlines_and_join_without_gaps(attempts: Attempts) -> None:
    attempt = attempts.start("for number in range(100_000): print(f'line {number}')")
    attempt.outcome()
    log = LogFiles(attempt.ref.log_directory)
    whole = attempt.log()
    assert whole.decode().splitlines() == [f"line {number}" for number in range(100_000)]
    assert len(log.starts()) > 10
    assert all(start == 0 or whole[start - 1] == ord("\n") for start in log.starts())


@pytest.mark.usefixtures("small_segments")
def test_size_limit_is_enforced_by_removing_the_oldest_segments(attempts: Attempts) -> None:
    cap = 8 * SEGMENT
    attempt = attempts.start("for number in range(200_000): print(f'line {number}')", log_max_bytes=cap)
    outcome = attempt.outcome()
    names = sorted(path.name for path in attempt.ref.log_directory.iterdir())
    logs = [name for name in names if name.endswith(".log")]
    size = sum((attempt.ref.log_directory / name).stat().st_size for name in logs)
    assert cap // 2 < size <= cap
    assert [name.removesuffix(".times") for name in names if name not in logs] == [n.removesuffix(".log") for n in logs]
    begin, content = attempt.executor.read_log(attempt.ref, 0, 2**31)
    assert begin == int(logs[0][:20]) > 0
    assert content.endswith(b"line 199999\n")
    assert outcome.log_bytes == begin + size


@pytest.mark.usefixtures("small_segments")
def test_times_match_the_bytes(attempts: Attempts) -> None:
    script = """
        import random, time
        for number in range(3000):
            print("x" * random.randrange(200), end=random.choice(["\\n", "\\r", ""]), flush=number % 3 == 0)
            if number % 20 == 0:
                time.sleep(0.005)
    """
    before = time.time()
    attempt = attempts.start(script)
    attempt.outcome()
    log, whole = LogFiles(attempt.ref.log_directory), attempt.log()
    assert len(log.starts()) > 3
    for start, end in zip(log.starts(), [*log.starts()[1:], len(whole)], strict=True):
        times = log.times(start)
        assert times[0].offset == start
        assert [one.offset for one in times] == sorted(one.offset for one in times)
        assert all(start <= one.offset <= end for one in times)
        assert [one.newlines for one in times] == [whole.count(b"\n", 0, one.offset) for one in times]
        assert all(before <= one.at <= time.time() for one in times)


def test_line_has_its_time(attempts: Attempts) -> None:
    script = """
        import time
        for _ in range(3):
            print(time.time(), flush=True)
            time.sleep(0.8)
    """
    attempt = attempts.start(script)
    attempt.outcome()
    times = LogFiles(attempt.ref.log_directory).times(0)
    begin = 0
    for line in attempt.log().splitlines(keepends=True):
        at = [one.at for one in times if one.offset <= begin][-1]
        # The tolerance is generous for busy machines, but no line may have the time of its neighbour.
        assert -0.1 < at - float(line) < 0.7
        begin += len(line)


@pytest.mark.usefixtures("small_segments")
def test_log_continues_after_its_writer_is_killed(attempts: Attempts) -> None:
    script = """
        import os, time
        for number in range(500_000):
            print(f"line {number}")
        open("written", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.02)
    """
    attempt = attempts.start(script)
    attempt.trainer_pid()
    chance = random.Random(3)
    while not (attempt.directory / "written").exists():
        time.sleep(chance.uniform(0.0, 0.1))
        attempt.kill_supervisor()
        attempt.submit()
        # If a trainer ends while no process holds its pipe, its last bytes are lost with it.
        until(lambda: attempt.observe().supervisor, PATIENCE, "the next supervisor")
    (attempt.directory / "go").touch()
    attempt.outcome()
    log, whole = LogFiles(attempt.ref.log_directory), attempt.log()
    assert whole.decode().splitlines() == [f"line {number}" for number in range(500_000)]
    for start in log.starts():
        times = log.times(start)
        assert [one.newlines for one in times] == [whole.count(b"\n", 0, one.offset) for one in times]


def test_full_disk_neither_stops_the_trainer_nor_hides_the_lost_output(tiny_disk: Path) -> None:
    attempts = Attempts(tiny_disk)
    try:
        attempt = attempts.start("""
            import os, sys, time
            print("first line", flush=True)
            for _ in range(64):
                sys.stdout.write("x" * 65535 + "\\n")
            sys.stdout.flush()
            open("/dev/shm/" + os.environ["MARK"], "w").close()
            while os.path.exists("/dev/shm/" + os.environ["MARK"]):
                time.sleep(0.02)
            time.sleep(1.5)
            print("last line")
        """, env={"MARK": f"dpipe-{os.getpid()}"}, phrases=("last line",))  # fmt: skip
        mark = Path(f"/dev/shm/dpipe-{os.getpid()}")
        ballast = tiny_disk / "ballast"
        try:
            ballast.write_bytes(bytes(300_000))
            attempt.waits_for(b"first line")
            until(mark.exists, PATIENCE, "the end of the writing")
        finally:
            ballast.unlink()
            mark.unlink(missing_ok=True)
        outcome = attempt.outcome()
        assert (outcome.reason, outcome.exit_code, outcome.phrases) == ("exited", 0, {"last line"})
        assert outcome.log_lost_bytes > 0
        lines = attempt.log().splitlines()
        assert lines[0] == b"first line"
        assert lines[-2:] == [
            b"[%d bytes of output were lost: the disk was full]" % outcome.log_lost_bytes,
            b"last line",
        ]
    finally:
        attempts.clean_up()


def test_outcome_is_written_to_a_disk_that_stays_full(tiny_disk: Path) -> None:
    attempts = Attempts(tiny_disk)
    try:
        attempt = attempts.start("""
            import sys
            sys.stdin.read()
            for _ in range(64):
                sys.stdout.write("x" * 65535 + "\\n")
            raise SystemExit(5)
        """)  # fmt: skip
        outcome = attempt.outcome()
        assert (outcome.reason, outcome.exit_code) == ("exited", 5)
        assert outcome.log_lost_bytes > 3_000_000
    finally:
        attempts.clean_up()


def test_full_disk_takes_more_than_a_day_of_output_and_the_loss_is_reported(small_disk: Path) -> None:
    attempts = Attempts(small_disk)
    ballast = small_disk / "ballast"
    try:
        attempt = attempts.start("""
            import os, sys, time
            print("first line", flush=True)
            while not os.path.exists("../ballast"):
                time.sleep(0.02)
            for _ in range(80):
                sys.stdout.write("x" * 2**20 + "\\n")
                sys.stdout.flush()
                time.sleep(0.04)  # what is held ready for a full disk lasts for a second of it
            os.unlink("../ballast")
            time.sleep(1.5)
            print("last line")
        """, phrases=("last line",))  # fmt: skip
        attempt.waits_for(b"first line")
        assert (attempt.directory / "output").exists()
        fill(ballast)
        outcome = attempt.outcome()
        assert (outcome.reason, outcome.exit_code, outcome.phrases) == ("exited", 0, {"last line"})
        assert outcome.log_lost_bytes > 60 * 2**20
        lines = attempt.log().splitlines()
        assert lines[0] == b"first line"
        assert lines[-1] == b"last line"
        reported = re.findall(rb"^\[(\d+) bytes of output were lost: the disk was full\]$", attempt.log(), re.MULTILINE)
        assert sum(map(int, reported)) == outcome.log_lost_bytes
    finally:
        attempts.clean_up()
