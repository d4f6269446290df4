"""Has each item worked on by a process of its own, so that a file that takes one down costs that item alone."""

import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from api.jobs.preprocessing.work import Made, Record, WorkItem

#: Bytes of address space that one item may take, files and code mapped into it among them.
MEMORY_BYTES = 8 * 2**30

#: The most bytes of one file that is made.
FILE_BYTES = 64 * 2**30

#: Seconds without a sign of life after which an item is given up, and the most that one may take.
STALL_SECONDS = 120.0
LONGEST_SECONDS = 6 * 3600.0

#: Exit codes by which a child says that the disk, not the file, is in trouble, or that memory ran out.
DISK, MEMORY = 74, 75

_LIFE = struct.Struct("d")


class DiskTrouble(OSError):
    """The results cannot be written."""


class Work(Protocol):
    """The work on one item."""

    def run(self) -> Record:
        """What became of it. Raises OSError for a disk in trouble, MemoryError."""
        ...


class ItemChild:
    """Works on one item in a child process; `is_wanted` is asked now and then whether to go on."""

    def __init__(
        self,
        create: Callable[[WorkItem, Callable[[float], None]], Work],
        results: Path,
        *,
        memory_bytes: int = MEMORY_BYTES,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """`create` makes the work on an item; what it is given tells from 0 to 1 how much of that is done."""
        self._create = create
        self._results = results
        self._memory_bytes = memory_bytes
        self._stall_seconds = stall_seconds

    def work_on(self, item: WorkItem, tell: Callable[[float], None], is_wanted: Callable[[], bool]) -> Record | None:
        """What became of the item, which is then on the disk as well; None when it is not wanted any more.

        Raises DiskTrouble.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._be_the_child(item, writer)
        os.close(writer)
        try:
            why = self._watch(pid, reader, tell, is_wanted)
        finally:
            os.close(reader)
        if why == "not wanted":
            return None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == DISK:
            raise DiskTrouble("the results cannot be written: the disk is full or in trouble")
        return None if code == 0 else self._give_up(item, why or _why(code))

    def _watch(self, pid: int, reader: int, tell: Callable[[float], None], is_wanted: Callable[[], bool]) -> str:
        """Waits for the end; the reason when it was brought about."""
        began = life = time.monotonic()
        told = select.poll()
        told.register(reader, select.POLLIN)
        while True:
            now = time.monotonic()
            why = ""
            if not is_wanted():
                why = "not wanted"
            elif now - life > self._stall_seconds:
                why = f"no frame of it came for {self._stall_seconds:.0f} s"
            elif now - began > LONGEST_SECONDS:
                why = f"it took longer than {LONGEST_SECONDS / 3600:.0f} hours"
            if why:
                os.kill(pid, signal.SIGKILL)
                if why == "not wanted":
                    os.waitpid(pid, 0)
                return why
            if not told.poll(500):
                continue
            said = os.read(reader, 4096)
            if not said:
                return ""
            life = time.monotonic()
            tell(_LIFE.unpack(said[-_LIFE.size :])[0] if len(said) % _LIFE.size == 0 else 0.0)

    def _be_the_child(self, item: WorkItem, writer: int) -> None:
        code = 1
        try:
            # It ends with the program, which nobody outlives.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # What decoders print is no word of the program's.
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
            work = self._create(item, lambda share: _say(writer, share))
            write_record(self._results, work.run())
            code = 0
        except MemoryError:
            code = MEMORY
        except OSError:
            code = DISK
        finally:
            # Nothing of the parent's is flushed or cleaned up twice.
            os._exit(code)

    def _give_up(self, item: WorkItem, why: str) -> Record:
        record = Record(item.key, (Made("", None),), why)
        try:
            write_record(self._results, record)
        except OSError as error:
            raise DiskTrouble(*error.args) from error
        return record


def write_record(results: Path, record: Record) -> None:
    """Puts the record of an item beside its results, whole. Raises OSError."""
    draft = results / f".{record.key}.{os.getpid()}"
    with draft.open("wb") as file:
        file.write(record.as_json())
        file.flush()
        os.fsync(file.fileno())
    draft.rename(results / f"{record.key}.json")


def _say(writer: int, share: float) -> None:
    os.write(writer, _LIFE.pack(share))


def _why(code: int) -> str:
    if code == MEMORY:
        return "it needs more memory than one file may take"
    if code < 0:
        return f"its decoder was ended by {signal.Signals(-code).name}"
    return "its decoder failed"
