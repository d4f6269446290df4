"""Probes of a storage that several machines share: writes a number into a file of its own, reads those of others.

A loop of its own does it, and nobody waits for it: a file server that is away holds whoever asks it.
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
from api.domain.reason import Reason, Words
from api.domain.shared_storage import PROBE_FILE, Probe
from api.util.clock import Clock
from api.util.foreign_files import ForeignFile, open_there, read
from api.util.periodic import PeriodicThread

#: Seconds between two probes.
PROBE_SECONDS = 5.0

#: The most files of others that a node looks at: those of the heads that have called last.
MOST_FILES = 4

#: A head of many nodes looks at so many files with each probe at least, and at each of them within so many probes.
_LEAST_LOOKS = 16
_TURN_PROBES = 6

#: Files of probes whose process has ended are removed by the next of their machine after so long.
_OLD_SECONDS = 3600.0

_NUMBER = re.compile(rb"(\d{12})\n")
_NAME = re.compile(PROBE_FILE)


@dataclass(slots=True)
class _Look:
    """What is known of another machine's file."""

    at: int = 0  #: with which probe it was looked at
    number: int | None = None
    free_at: int | None = None  #: the number that it had when the lock beside it could be had; None: somebody has it
    problem: Words | None = None

    def take(self, number: int, is_free: bool) -> None:
        """Takes what was read, and whether the lock beside it could be had."""
        # Who is dead has no lock either. Who writes on although the lock could be had, and can be had again, lives.
        lives_on = self.free_at is not None and number > self.free_at
        self.problem = _NO_LOCKS if is_free and lives_on else None
        self.number, self.free_at = number, number if is_free else None


_NO_LOCKS = Reason.of(
    "locks of other machines are not seen: mount it without nolock and local_lock", "storage_without_locks"
)


class SharedProbe:
    """The probes of one process on one storage."""

    def __init__(self, root: Path, name: str, clock: Clock, most: int = MOST_FILES) -> None:
        """`name` is this machine's; the file is this process's alone. `most` files of others are looked at."""
        self.directory = str(root.absolute())
        self.file = f"{name}.{secrets.token_hex(4)}"
        self._name = name
        self._clock = clock
        self._place = root.absolute() / "probes"
        self._lock = FileLock(self._place / f"{self.file}.lock")
        self._number = 0
        self._most = most
        self._turn = 0
        self._wanted: dict[str, _Look] = {}
        self._latest: Probe | None = None
        self._loop = PeriodicThread("storage-probe", PROBE_SECONDS, self.probe)
        self._is_started = False

    def start(self) -> None:
        """Begins to probe; once is enough."""
        if not self._is_started:
            self._is_started = True
            self._loop.start()

    def stop(self) -> None:
        """Ends the loop, and takes the files away where the storage answers in time."""
        if self._is_started and self._loop.stop(timeout=0.5):
            with contextlib.suppress(OSError):
                self._remove(self.file)
            self._lock.release()

    @property
    def latest(self) -> Probe | None:
        """What the last probe that has ended has found; None before the first."""
        return self._latest

    def look_for(self, file: str) -> None:
        """Has the number in this file of another machine read."""
        if _NAME.fullmatch(file) is None or file == self.file:
            return
        wanted = {each: look for each, look in self._wanted.items() if each != file}
        wanted[file] = self._wanted.get(file) or _Look()
        self._wanted = {each: wanted[each] for each in [*wanted][-self._most :]}

    def forget(self, file: str) -> None:
        """Looks at this file no more."""
        self._wanted = {each: look for each, look in self._wanted.items() if each != file}

    def probe(self) -> None:
        """Writes and reads once. It takes as long as the storage does."""
        number, offset, problem = None, None, None
        try:
            offset = self._write(self._number + 1)
            number = self._number = self._number + 1
        except OSError as error:
            problem = _describe(error, self._place)
        else:
            self._look_at_others()
        known = self._wanted
        seen = {file: look.number for file, look in known.items() if look.number is not None}
        problems = {file: look.problem for file, look in known.items() if look.problem is not None}
        self._latest = Probe(self._clock.monotonic(), number, seen, problem, problems, offset)

    def _look_at_others(self) -> None:
        self._turn += 1
        wanted = self._wanted
        count = max(_LEAST_LOOKS, -(-len(wanted) // _TURN_PROBES))
        for file in sorted(wanted, key=lambda each: wanted[each].at)[:count]:
            look = wanted[file]
            look.at = self._turn
            try:
                number = self._read(file)
                if number is None:
                    look.number = look.free_at = look.problem = None
                else:
                    look.take(number, self._is_free(file))
            except OSError as error:
                # One machine's file tells nothing of the others.
                look.number, look.problem = None, _describe(error, self._place)

    def _write(self, number: int) -> float:
        """Writes the number; returns the seconds that the storage's clock is ahead of this machine's."""
        # Not the root: where that is not there, nothing is mounted.
        self._place.mkdir(mode=0o700, exist_ok=True)
        if number == 1:
            self._remove_old()
        self._lock.acquire()
        before = time.time()
        # In place, as an open file is asked for anew; a name may be remembered for a minute.
        flags = os.O_WRONLY | (0 if number > 1 else os.O_CREAT | os.O_TRUNC)
        handle = open_there(str(self._place / self.file), flags, levels=1)
        try:
            os.write(handle, b"%012d\n" % number)
            os.fsync(handle)
            return round(os.fstat(handle).st_mtime - (before + time.time()) / 2, 3)
        finally:
            os.close(handle)

    def _read(self, name: str) -> int | None:
        # A trainer of the service's own user could put anything there.
        try:
            found = _NUMBER.fullmatch(read(str(self._place / name), 64, levels=1))
        except (FileNotFoundError, ForeignFile):
            return None
        return None if found is None else int(found[1])

    def _is_free(self, name: str) -> bool:
        """Whether the lock that another machine holds can be had here."""
        path = self._place / f"{name}.lock"
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
        for path in self._place.glob(f"{self._name}.????????"):
            if path.name != self.file and abs(time.time() - path.stat().st_mtime) > _OLD_SECONDS:
                yield path.name

    def _remove(self, name: str) -> None:
        for path in (self._place / name, self._place / f"{name}.lock"):
            path.unlink(missing_ok=True)


def _describe(error: OSError, place: Path) -> Reason:
    why = error.strerror or type(error).__name__
    return Reason.of("{directory} cannot be used: {why}", "storage_failing", directory=str(place.parent), why=why)
