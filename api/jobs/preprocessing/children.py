"""Work on each item in a child process, so that a file that crashes its decoder costs that item alone."""

import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from api.jobs.errors import StopRequested, stop_if
from api.jobs.preprocessing.work import Made, Record, WorkItem
from api.jobs.program import disk_full

#: The address space of one child in bytes, mapped files and code included.
MEMORY_BYTES = 8 * 2**30

#: The largest file that a child may write, in bytes.
FILE_BYTES = 64 * 2**30

#: Seconds without a sign of life after which an item is abandoned, and seconds that an item may take at most.
STALL_SECONDS = 120.0
LONGEST_SECONDS = 6 * 3600.0

#: Exit codes of a child: the disk, not the file, is at fault; or memory ran out.
DISK, MEMORY = 74, 75

_LIFE = struct.Struct("d")


class Work(Protocol):
    """The work on one item."""

    def run(self) -> Record:
        """Return the record of the item. Raises OSError for a failing disk, MemoryError."""


class ItemChild:
    """Works on one item at a time in a child process."""

    def __init__(
        self,
        create: Callable[[WorkItem, Callable[[float], None]], Work],
        results: Path,
        *,
        memory_bytes: int = MEMORY_BYTES,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """`create` returns the work for an item, which reports its progress, from 0 to 1, to the given function."""
        self._create = create
        self._results = results
        self._memory_bytes = memory_bytes
        self._stall_seconds = stall_seconds

    def work_on(self, item: WorkItem, report: Callable[[float], None], is_stopping: Callable[[], bool]) -> None:
        """Work on an item until its record is on disk. Raises StopRequested, JobFailed for a failing disk."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._run_child(item, writer)
        os.close(writer)
        try:
            problem = self._watch(pid, reader, report, is_stopping)
        except StopRequested:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            os.close(reader)
        if problem:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == DISK:
            raise disk_full("the results cannot be written")
        if code != 0:
            self._abandon(item, problem or _explain(code))

    def _watch(self, pid: int, reader: int, report: Callable[[float], None], is_stopping: Callable[[], bool]) -> str:
        """Wait until the child ends or must be killed; return the reason to kill it, else "". Raises StopRequested."""
        started = life = time.monotonic()
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        while True:
            now = time.monotonic()
            stop_if(is_stopping)
            if now - life > self._stall_seconds:
                return f"no frame of it came for {self._stall_seconds:.0f} s"
            if now - started > LONGEST_SECONDS:
                return f"it took longer than {LONGEST_SECONDS / 3600:.0f} hours"
            if not poll.poll(500):
                continue
            data = os.read(reader, 4096)
            if not data:
                return ""
            life = time.monotonic()
            report(_LIFE.unpack(data[-_LIFE.size :])[0] if len(data) % _LIFE.size == 0 else 0.0)

    def _run_child(self, item: WorkItem, writer: int) -> None:
        code = 1
        try:
            # SIGTERM ends a child immediately.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Decoders print to the log otherwise.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            for name, bound in (
                (resource.RLIMIT_AS, self._memory_bytes),
                (resource.RLIMIT_FSIZE, FILE_BYTES),
                (resource.RLIMIT_CORE, 0),
            ):
                hard = resource.getrlimit(name)[1]
                lower = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
                resource.setrlimit(name, (lower, hard))
            work = self._create(item, lambda share: _report(writer, share))
            write_record(self._results, work.run())
            code = 0
        except MemoryError:
            code = MEMORY
        except OSError:
            code = DISK
        finally:
            # Without the parent's exit handlers and buffers.
            os._exit(code)

    def _abandon(self, item: WorkItem, problem: str) -> None:
        try:
            write_record(self._results, Record(item.key, (Made("", None),), problem))
        except OSError as error:
            raise disk_full(error.strerror) from error


def write_record(results: Path, record: Record) -> None:
    """Write the record of an item beside its results, atomically. Raises OSError."""
    draft = results / f".{record.key}.{os.getpid()}"
    with draft.open("wb") as file:
        file.write(record.as_json())
        file.flush()
        os.fsync(file.fileno())
    draft.rename(results / f"{record.key}.json")


def _report(writer: int, share: float) -> None:
    os.write(writer, _LIFE.pack(share))


def _explain(code: int) -> str:
    if code == MEMORY:
        return "it needs more memory than one file may take"
    if code < 0:
        return f"its decoder was ended by {signal.Signals(-code).name}"
    return "its decoder failed"
