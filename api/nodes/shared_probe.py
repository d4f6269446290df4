"""Probes of a storage that several machines share: each writes a number into its own file and reads the others' files.

A separate thread does it, because an unreachable file server blocks every caller.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.db.file_lock import FileLock
from api.domain.machines.shared_storage import PROBE_FILE, Probe
from api.domain.reason import Reason, ReasonOrText
from api.util.clock import Clock
from api.util.files.foreign_files import ForeignFile, open_there, read
from api.util.periodic import PeriodicThread

#: Seconds between two probes.
PROBE_SECONDS = 5.0

#: The number of other files that a node reads: those of the heads that requested probes last.
MOST_FILES = 4

#: The least number of files that a head reads per probe, and the number of probes within which it reads each file.
_LEAST_LOOKS = 16
_TURN_PROBES = 6

#: The age in seconds after which a machine removes the files of its former processes.
_OLD_SECONDS = 3600.0

_NUMBER = re.compile(rb"(\d{12})\n")
_NAME = re.compile(PROBE_FILE)


@dataclass(slots=True)
class _OtherFile:
    """The state of another machine's file."""

    at: int = 0  #: the number of the last probe that read it
    number: int | None = None
    free_at: int | None = None  #: its number when its lock was free; None if the lock is held
    problem: ReasonOrText | None = None

    def take(self, number: int, is_free: bool) -> None:
        """Record the number that was read, and whether the file's lock was free."""
        # The lock of a dead machine is free too. But if the machine still writes, a free lock means that locks of
        # other machines are invisible here.
        lives_on = self.free_at is not None and number > self.free_at
        self.problem = _NO_LOCKS if is_free and lives_on else None
        self.number, self.free_at = number, number if is_free else None


_NO_LOCKS = Reason.of(
    "locks of other machines are invisible: mount the storage without nolock and local_lock", "storage_without_locks"
)


class SharedProbe:
    """The probes of one process on one storage."""

    def __init__(self, root: Path, name: str, clock: Clock, most: int = MOST_FILES) -> None:
        """`name` is this machine's name. At most `most` files of others are read."""
        self.directory = str(root.absolute())
        self.file = f"{name}.{secrets.token_hex(4)}"
        self._name = name
        self._clock = clock
        self._directory = root.absolute() / "probes"
        self._lock = FileLock(self._directory / f"{self.file}.lock")
        self._number = 0
        self._most = most
        self._turn = 0
        self._wanted: dict[str, _OtherFile] = {}
        self._latest: Probe | None = None
        self._loop = PeriodicThread("storage-probe", PROBE_SECONDS, self.probe)
        self._is_started = False

    def start(self) -> None:
        """Start to probe. Further calls do nothing."""
        if not self._is_started:
            self._is_started = True
            self._loop.start()

    def stop(self) -> None:
        """Stop, and remove the files if the storage answers in time."""
        if self._is_started and self._loop.stop(timeout=0.5):
            with contextlib.suppress(OSError):
                self._remove(self.file)
            self._lock.release()

    @property
    def latest(self) -> Probe | None:
        """The result of the last finished probe; None before the first."""
        return self._latest

    def watch_file(self, file: str) -> None:
        """Read this file of another machine from now on."""
        if _NAME.fullmatch(file) is None or file == self.file:
            return
        wanted = {each: other for each, other in self._wanted.items() if each != file}
        wanted[file] = self._wanted.get(file) or _OtherFile()
        self._wanted = {each: wanted[each] for each in [*wanted][-self._most :]}

    def forget(self, file: str) -> None:
        """Stop reading this file."""
        self._wanted = {each: other for each, other in self._wanted.items() if each != file}

    def probe(self) -> None:
        """Write and read once. This blocks as long as the storage does."""
        number, offset, problem = None, None, None
        try:
            offset = self._write(self._number + 1)
            number = self._number = self._number + 1
        except OSError as error:
            problem = _describe(error, self._directory)
        else:
            self._read_others()
        known = self._wanted
        seen = {file: other.number for file, other in known.items() if other.number is not None}
        problems = {file: other.problem for file, other in known.items() if other.problem is not None}
        self._latest = Probe(self._clock.monotonic(), number, seen, problem, problems, offset)

    def _read_others(self) -> None:
        self._turn += 1
        wanted = self._wanted
        count = max(_LEAST_LOOKS, -(-len(wanted) // _TURN_PROBES))
        for file in sorted(wanted, key=lambda each: wanted[each].at)[:count]:
            other = wanted[file]
            other.at = self._turn
            try:
                number = self._read(file)
                if number is None:
                    other.number = other.free_at = other.problem = None
                else:
                    other.take(number, self._is_free(file))
            except OSError as error:
                # The other files may still be readable.
                other.number, other.problem = None, _describe(error, self._directory)

    def _write(self, number: int) -> float:
        """Write the number, and return the seconds by which the storage's clock is ahead of this machine's."""
        # The root is not created: if it is missing, nothing is mounted.
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if number == 1:
            self._remove_old()
        self._lock.acquire()
        before = time.time()
        # In place, because clients revalidate open files, but may cache directory entries for a minute.
        flags = os.O_WRONLY | (0 if number > 1 else os.O_CREAT | os.O_TRUNC)
        handle = open_there(str(self._directory / self.file), flags, levels=1)
        try:
            os.write(handle, b"%012d\n" % number)
            os.fsync(handle)
            return round(os.fstat(handle).st_mtime - (before + time.time()) / 2, 3)
        finally:
            os.close(handle)

    def _read(self, name: str) -> int | None:
        # A trainer that runs as the service's user could write anything there.
        try:
            found = _NUMBER.fullmatch(read(str(self._directory / name), 64, levels=1))
        except (FileNotFoundError, ForeignFile):
            return None
        return None if found is None else int(found[1])

    def _is_free(self, name: str) -> bool:
        """Return whether the lock of another machine's file is free here."""
        path = self._directory / f"{name}.lock"
        if not path.exists():
            return False
        lock = FileLock(path)
        if not lock.acquire():
            return False
        lock.release()
        return True

    def _remove_old(self) -> None:
        for name in self._own_old():
            with contextlib.suppress(OSError):
                self._remove(name)

    def _own_old(self) -> Iterator[str]:
        for path in self._directory.glob(f"{self._name}.????????"):
            if path.name != self.file and abs(time.time() - path.stat().st_mtime) > _OLD_SECONDS:
                yield path.name

    def _remove(self, name: str) -> None:
        for path in (self._directory / name, self._directory / f"{name}.lock"):
            path.unlink(missing_ok=True)


def _describe(error: OSError, directory: Path) -> Reason:
    why = error.strerror or type(error).__name__
    return Reason.of("{directory} cannot be used: {why}", "storage_failing", directory=str(directory.parent), why=why)
