import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.executors.attempt import log as log_module
from api.executors.attempt.log import LogWriter
from api.executors.attempt.segments import TIME_RECORD
from api.executors.log_files import LogFiles
from tests.unit.util.foreign import Plant, each_plant


class Pipe:
    """The pipe between a trainer and the writer."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


class Disk:
    """Rejects both ways of writing to log files while it has an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        self.capacity = 0  # bytes that still fit
        self._pwrite, self._splice = os.pwrite, os.splice
        monkeypatch.setattr(log_module.os, "pwrite", self.pwrite)
        monkeypatch.setattr("api.executors.attempt.small_files.os.pwrite", self.pwrite)
        monkeypatch.setattr(log_module.os, "splice", self.splice)

    def _space(self, wanted: int) -> int:
        if self.error is None:
            return wanted
        if self.capacity == 0:
            raise OSError(self.error, os.strerror(self.error))
        space = min(wanted, self.capacity)
        self.capacity -= space
        return space

    def pwrite(self, handle: int, content: bytes, offset: int) -> int:
        return self._pwrite(handle, content[: self._space(len(content))], offset)

    def splice(self, source: int, target: int, count: int, *, offset_dst: int, flags: int) -> int:
        return self._splice(source, target, self._space(count), offset_dst=offset_dst, flags=flags)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(log_module, "RETRY_SECONDS", 0.0)
    return Disk(monkeypatch)


@pytest.fixture(params=[True, False], ids=["splicing", "copying"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> LogWriter:
    made = LogWriter(str(tmp_path / "log"), 2**20, 2**20)
    made._can_splice = request.param
    return made


def put(writer: LogWriter, pipe: Pipe, content: bytes) -> None:
    """Let the writer copy the content, in several turns if needed."""
    while content:
        done = os.write(pipe.write_end, content)
        content = content[done:]
        while writer.take(pipe.read_end):
            continue


def read(tmp_path: Path) -> bytes:
    return LogFiles(tmp_path / "log").read(0, 2**31)[1]


def test_empty_pipe_gives_nothing(writer: LogWriter, pipe: Pipe) -> None:
    assert writer.take(pipe.read_end) == b""


def test_copied_output_is_returned_and_stored(writer: LogWriter, pipe: Pipe, tmp_path: Path) -> None:
    os.write(pipe.write_end, b"one\ntwo")
    assert writer.take(pipe.read_end) == b"one\ntwo"
    assert (read(tmp_path), writer.end) == (b"one\ntwo", 7)


def test_output_is_dropped_while_the_disk_is_full(writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    put(writer, pipe, b"before\n")
    disk.error = errno.ENOSPC
    os.write(pipe.write_end, b"lost!")
    assert writer.take(pipe.read_end) == b"lost!"
    put(writer, pipe, b"and lost\n")
    disk.error = None
    put(writer, pipe, b"after\n")
    assert read(tmp_path) == b"before\n[14 bytes of output were lost: the disk was full]\nafter\n"
    assert writer.lost_bytes == 14


def test_output_that_still_fits_is_stored(writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    put(writer, pipe, b"")
    writer.open()
    writer._record_now()
    disk.error, disk.capacity = errno.ENOSPC, 4
    put(writer, pipe, b"fits, and this does not\n")
    disk.error = None
    put(writer, pipe, b"after\n")
    assert read(tmp_path) == b"fits\n[20 bytes of output were lost: the disk was full]\nafter\n"


def test_loss_is_reported_without_further_output(writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    disk.error = errno.ENOSPC
    put(writer, pipe, b"lost")
    disk.error = None
    writer.report_losses()
    writer.report_losses()
    assert read(tmp_path) == b"[4 bytes of output were lost: the disk was full]\n"


def test_loss_is_reported_at_the_latest_on_close(writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    disk.error = errno.EIO
    put(writer, pipe, b"lost")
    disk.error = None
    writer.close()
    assert read(tmp_path) == b"[4 bytes of output were lost: Input/output error]\n"


def test_partial_line_about_a_loss_is_undone(writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    put(writer, pipe, b"before\n")
    disk.error = errno.ENOSPC
    put(writer, pipe, b"lost\n")
    disk.capacity = 10
    writer.report_losses()
    assert read(tmp_path) == b"before\n"
    disk.error = None
    put(writer, pipe, b"after\n")
    assert read(tmp_path) == b"before\n[5 bytes of output were lost: the disk was full]\nafter\n"


def test_directory_that_cannot_be_created_only_loses_output(pipe: Pipe, disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = LogWriter(str(tmp_path / "file" / "log"), 2**20, 2**20)
    put(writer, pipe, b"lost")
    assert writer.lost_bytes == 4
    (tmp_path / "file").unlink()
    put(writer, pipe, b"kept\n")
    assert LogFiles(tmp_path / "file" / "log").read(0, 99)[1] == (
        b"[4 bytes of output were lost: Not a directory]\nkept\n"
    )


def test_failed_new_segment_lets_the_last_one_grow(
    writer: LogWriter, pipe: Pipe, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer._segment_bytes = 100
    rename = os.rename

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(log_module.os, "rename", rename)
    put(writer, pipe, b"a line\n")
    monkeypatch.setattr(log_module.os, "rename", refuse)
    for _ in range(50):
        put(writer, pipe, b"a line\n")
    assert LogFiles(tmp_path / "log").starts() == [0]
    monkeypatch.setattr(log_module.os, "rename", rename)
    put(writer, pipe, b"the end\n")
    assert len(LogFiles(tmp_path / "log").starts()) == 2
    assert read(tmp_path) == b"a line\n" * 51 + b"the end\n"


def test_file_system_without_splice_gets_copies(pipe: Pipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EINVAL, "cannot")

    monkeypatch.setattr(log_module.os, "splice", refuse)
    writer = LogWriter(str(tmp_path / "log"), 2**20, 2**20)
    put(writer, pipe, b"one\n")
    put(writer, pipe, b"two\n")
    assert (read(tmp_path), writer.lost_bytes) == (b"one\ntwo\n", 0)


def test_torn_time_record_is_removed(writer: LogWriter, pipe: Pipe, tmp_path: Path) -> None:
    put(writer, pipe, b"one\n")
    writer.close()
    times = tmp_path / "log" / f"{0:020d}.times"
    times.write_bytes(times.read_bytes() + b"torn")
    put(writer, pipe, b"two\n")
    assert times.stat().st_size % TIME_RECORD.size == 0
    assert [one.newlines for one in LogFiles(tmp_path / "log").times(0)][-1] == 1


def test_time_records_beyond_the_log_are_removed(writer: LogWriter, pipe: Pipe, tmp_path: Path) -> None:
    put(writer, pipe, b"one\ntwo\n")
    writer.close()
    times = tmp_path / "log" / f"{0:020d}.times"
    times.write_bytes(times.read_bytes() + TIME_RECORD.pack(500, 70, 0.0))
    put(writer, pipe, b"three\n")
    assert [(one.offset, one.newlines) for one in LogFiles(tmp_path / "log").times(0)][-1] == (8, 2)


@pytest.mark.parametrize("is_there", [True, False])
def test_lost_times_are_counted_again(writer: LogWriter, pipe: Pipe, tmp_path: Path, is_there: bool) -> None:
    put(writer, pipe, b"one\ntwo\n")
    writer.close()
    times = tmp_path / "log" / f"{0:020d}.times"
    times.write_bytes(b"") if is_there else times.unlink()
    put(writer, pipe, b"three\n")
    found = LogFiles(tmp_path / "log").times(0)
    assert [(one.offset, one.newlines) for one in found] == [(0, 0), (8, 2)]


def test_tail_in_two_segments_is_read_once(pipe: Pipe, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (log / f"{0:020d}.log").write_bytes(b"one\ntail")
    (log / f"{4:020d}.log").write_bytes(b"tail")
    (log / f"{4:020d}.times").write_bytes(TIME_RECORD.pack(4, 1, 0.0))
    assert read(tmp_path) == b"one\ntail"
    put(LogWriter(str(log), 2**20, 2**20), pipe, b" and more\n")
    assert read(tmp_path) == b"one\ntail and more\n"
    assert (log / f"{0:020d}.log").read_bytes() == b"one\n"


def test_other_files_in_the_directory_are_not_touched(writer: LogWriter, pipe: Pipe, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    strange = [tmp_path / "log" / name for name in ("notes.txt", "x" * 20 + ".log", "0.log", f"{7:020d}.new")]
    for path in strange:
        path.write_text("mine")
    put(writer, pipe, b"one\n")
    assert read(tmp_path) == b"one\n"
    assert all(path.read_text() == "mine" for path in strange)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.binary(max_size=300).map(lambda part: part.replace(b"x", b"\n")), max_size=30),
    segment=st.integers(1, 400),
    splicing=st.booleans(),
    reopened=st.sets(st.integers(0, 29)),
)
def test_any_output_is_complete_and_counted(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], segment: int, splicing: bool, reopened: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    pipe = Pipe()
    writer = LogWriter(str(directory), 2**20, segment)
    writer._can_splice = splicing
    for index, part in enumerate(parts):
        writer._recorded_at = 0.0
        put(writer, pipe, part)
        if index in reopened:
            writer.close()
            writer = LogWriter(str(directory), 2**20, segment)
            writer._can_splice = splicing
    writer.close()
    pipe.close()
    whole, log = b"".join(parts), LogFiles(directory)
    assert log.read(0, 2**31) == (0, whole)
    assert log.end() == len(whole)
    for start in log.starts():
        times = log.times(start)
        assert times[0].offset == start
        assert [one.newlines for one in times] == [whole.count(b"\n", 0, one.offset) for one in times]


@each_plant
@pytest.mark.parametrize("name", ["0" * 20 + ".log", "0" * 20 + ".times", "0" * 20 + ".new"])
def test_planted_files_are_not_followed(tmp_path: Path, plant: Plant, name: str):
    plant(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.glob("outside-of-*")}
    with suppress(OSError):
        LogFiles(tmp_path).read(0, 100)
    writer = LogWriter(str(tmp_path), 2**20, 2**16)
    with suppress(OSError):
        writer.open()
    writer.close()
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "made-by-following").exists()


def test_log_with_holes_is_opened_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.attempt.segments.MOST_LOOKS", 100)
    for suffix in (".log", ".times"):
        (tmp_path / f"{0:020d}{suffix}").touch()
        os.truncate(tmp_path / f"{0:020d}{suffix}", 2**42)
    began = time.thread_time()
    writer = LogWriter(str(tmp_path), 2**20, 2**20)
    writer.open()
    assert writer.end == 2**42
    assert time.thread_time() - began < 5.0
