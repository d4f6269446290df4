import errno
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from api.executors.attempt import output as output_module
from api.executors.attempt.ledger import Ledger
from api.executors.attempt.log import LogWriter
from api.executors.attempt.output import OutputFile, OutputPipe, drain, find_output, make_output
from api.executors.log_files import LogFiles
from tests.faults import Faults

MIB = 2**20


class Work:
    """A supervisor's view of an attempt's output; `again` returns the next supervisor's."""

    def __init__(self, directory: Path, max_bytes: int = 2**30) -> None:
        self.directory = directory
        self.ledger = Ledger(str(directory / "output.ledger"))
        self.log = LogWriter(str(directory / "log"), max_bytes, 2**24, self.ledger)

    def begin(self) -> OutputFile:
        made = make_output(str(self.directory), self.ledger)
        assert isinstance(made, OutputFile)
        self.output = made
        self.log.open()
        self.trainer = os.open(made.path, made.flags)
        weakref.finalize(self, close, self.log, self.ledger, made)
        return made

    def again(self) -> "Work":
        later = Work(self.directory)
        found = find_output(str(self.directory), later.ledger, None)
        assert isinstance(found, OutputFile)
        later.output = found
        later.log.open()
        weakref.finalize(later, close, later.log, later.ledger, found)
        return later

    def copy(self) -> None:
        while self.output.take(self.log):
            continue

    def stored(self) -> bytes:
        return LogFiles(self.directory / "log").read(0, 2**31)[1]


def close(log: LogWriter, ledger: Ledger, output: OutputFile) -> None:
    log.close()
    for handle in (ledger._handle, output._handle):
        if handle >= 0:
            os.close(handle)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Work(tmp_path)
    try:
        made.begin()
    except AssertionError:
        pytest.skip("this file system can neither reserve nor free blocks")
    return made


def test_uncopied_output_waits_for_the_next_supervisor(work: Work) -> None:
    os.write(work.trainer, b"one\n")
    work.copy()
    os.write(work.trainer, b"two\n")
    os.close(work.trainer)
    later = work.again()
    later.copy()
    assert later.stored() == b"one\ntwo\n"


def test_output_copied_during_a_kill_is_not_repeated(work: Work) -> None:
    os.write(work.trainer, b"one\ntwo\n")
    os.pwrite(work.log._log, b"one\n", 0)
    later = work.again()
    later.copy()
    assert later.stored() == b"one\ntwo\n"


def test_output_dropped_before_a_kill_stays_dropped_and_counted(work: Work) -> None:
    work.log.must_drop = True
    os.write(work.trainer, b"lost\n")
    data = os.pread(work.output._handle, 99, 0)
    work.log.write(data)
    later = work.again()
    os.write(work.trainer, b"stored\n")
    later.copy()
    assert later.stored() == b"[5 bytes of output were lost: the log could not be written]\nstored\n"
    assert later.ledger.lost == 5


@pytest.mark.parametrize("written", range(0, 60, 7))
def test_kill_during_a_loss_report_neither_loses_nor_repeats(work: Work, written: int) -> None:
    os.write(work.trainer, b"before\nlost\nafter\n")
    work.log.write(b"before\n")
    work.log.skip(5, "why")
    line = b"[5 bytes of output were lost: the log could not be written]\n"
    work.ledger.begin_line(7, len(line))
    os.pwrite(work.log._log, line[:written], 7)
    later = work.again()
    later.copy()
    assert later.stored() == b"before\n" + line + b"after\n"


def test_existing_log_of_a_task_is_continued(tmp_path: Path) -> None:
    earlier = LogWriter(str(tmp_path / "log"), 2**30, 2**24)
    earlier.write(b"first attempt\n")
    earlier.close()
    work = Work(tmp_path)
    work.begin()
    os.write(work.trainer, b"second\n")
    work.copy()
    os.write(work.trainer, b"third\n")
    later = work.again()
    later.copy()
    assert later.stored() == b"first attempt\nsecond\nthird\n"


def test_deleted_log_is_not_written_again(work: Work) -> None:
    os.write(work.trainer, b"x" * 2 * MIB)
    work.copy()
    for file in (work.directory / "log").iterdir():
        file.unlink()
    later = work.again()
    os.write(work.trainer, b"after\n")
    later.copy()
    assert later.stored().endswith(b"after\n")
    assert b"\0" not in later.stored()


def test_blocks_are_freed_once_they_are_in_the_log(work: Work) -> None:
    for _ in range(96):
        os.write(work.trainer, b"x" * MIB)
        work.copy()
    blocks = os.stat(work.output.path).st_blocks * 512
    assert blocks <= output_module.RESERVE_BYTES + 4 * MIB
    assert len(work.stored()) == 96 * MIB


def test_flood_loses_the_oldest_output_and_reports_the_size(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "BACKLOG_BYTES", 4 * MIB)
    for _ in range(9):
        os.write(work.trainer, b"x" * MIB)
    work.copy()
    assert work.ledger.lost == 8 * MIB
    assert work.stored().startswith(b"[%d bytes of output were lost: they came faster" % (8 * MIB))
    assert work.stored().endswith(b"x" * MIB)
    assert os.stat(work.output.path).st_blocks * 512 <= output_module.RESERVE_BYTES + 4 * MIB


def test_reopened_stdout_is_still_read(work: Work) -> None:
    os.write(work.trainer, b"before\n")
    work.copy()
    os.close(os.open(work.output.path, os.O_WRONLY | os.O_TRUNC))
    os.write(work.trainer, b"new\n")
    work.copy()
    assert work.stored() == b"before\nnew\n"
    later = work.again()
    later.copy()
    assert later.stored() == b"before\nnew\n"


def _refuse(code: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSPC, errno.EINVAL])
def test_file_system_without_reservation_gets_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(output_module, "_fallocate", _refuse(code))
    assert isinstance(make_output(str(tmp_path), Ledger(str(tmp_path / "output.ledger"))), OutputPipe)
    assert [path.name for path in tmp_path.iterdir()] == ["output.fifo"]


def test_ineffective_reservation_leads_to_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "_fallocate", lambda *_: None)
    assert isinstance(make_output(str(tmp_path), Ledger()), OutputPipe)


def test_log_drops_output_when_the_reserve_is_used_up(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "_fallocate", _refuse(errno.ENOSPC))
    os.write(work.trainer, b"x" * (output_module.RESERVE_BYTES // 2 + MIB))
    work.copy()
    os.write(work.trainer, b"lost\n")
    work.copy()
    assert work.ledger.lost > 0
    work.output.start_draining(work.log)
    os.write(work.trainer, b"last words\n")
    work.copy()
    assert b"bytes of output were lost: the disk was full]\nlast words\n" in work.stored()


@pytest.mark.parametrize("what", ["link", "pipe", "directory", "hard link", "nothing"])
def test_planted_output_file_is_not_followed(tmp_path: Path, what: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "output"
    victim.write_bytes(b"mine")
    if what == "link":
        path.symlink_to(victim)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "hard link":
        path.hardlink_to(victim)
    assert find_output(str(tmp_path), Ledger(), None) is None
    assert victim.read_bytes() == b"mine"


def test_temporary_refusal_of_the_log_loses_no_line(work: Work, faults: Faults) -> None:
    refused = faults.strike("pwrite", "/log/0", errno.ENOSPC)
    os.write(work.trainer, b"one\n")
    work.copy()
    assert (work.output.is_waiting, work.stored(), work.log.lost_bytes) == (True, b"", 0)
    refused.end()
    work.log._retry_at = 0.0
    os.write(work.trainer, b"two\n")
    work.copy()
    assert (work.output.is_waiting, work.stored(), work.log.lost_bytes) == (False, b"one\ntwo\n", 0)


def test_log_that_opens_late_starts_at_its_end(work: Work, faults: Faults) -> None:
    os.write(work.trainer, b"one\n")
    work.copy()
    work.log.close()
    later = LogWriter(str(work.directory / "log"), 2**30, 2**24, Ledger())
    hidden = faults.strike("scandir", "/log")
    with pytest.raises(OSError, match="Input/output"):
        later.open()
    assert (later.start_of(None), later.start_of(2)) == (None, 2)
    hidden.end()
    later.open()
    later.write(b"two\n")
    assert (later.start_of(None), later.start_of(2), later.start_of(99)) == (4, 2, 4)


def test_output_beyond_the_reserve_does_not_wait(work: Work, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "PATIENT_BYTES", 3)
    faults.strike("pwrite", "/log/0", errno.ENOSPC)
    os.write(work.trainer, b"one\n")
    work.copy()
    assert work.log.lost_bytes == 4


def test_remaining_output_is_retried_until_the_disk_accepts_it(work: Work, faults: Faults) -> None:
    faults.strike("pwrite", "/log/0", errno.EIO, times=3)
    os.write(work.trainer, b"last words\n")
    drained = b"".join(drain(work.output, work.log))
    assert (drained, work.stored(), work.log.lost_bytes) == (b"last words\n", b"last words\n", 0)


def test_output_is_dropped_when_no_disk_accepts_it(work: Work, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "PATIENCE_SECONDS", 0.0)
    faults.strike("pwrite", "/log/0", errno.EIO)
    os.write(work.trainer, b"last words\n")
    assert b"".join(drain(work.output, work.log)) == b"last words\n"
    assert work.log.lost_bytes == 11


@pytest.mark.parametrize("call", ["pread", "fstat"])
def test_temporarily_unreadable_output_is_read_later(work: Work, faults: Faults, call: str) -> None:
    os.write(work.trainer, b"one\n")
    faults.strike(call, "/output", times=1)
    assert work.output.take(work.log) == b""
    assert work.output.is_waiting
    work.copy()
    assert work.stored() == b"one\n"


def test_next_supervisor_retries_to_open_hidden_output(work: Work, faults: Faults) -> None:
    os.write(work.trainer, b"one\n")
    hidden = faults.strike("open", "/output", times=2)
    later = work.again()
    later.copy()
    assert (hidden.hits, later.stored()) == (2, b"one\n")
