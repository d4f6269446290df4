"""The directory of an attempt, as its supervisor uses it. The package's description says what is in it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time

from api.util.foreign_files import (
    TROUBLE,
    ForeignFile,
    Space,
    close,
    is_gone,
    make_directory,
    open_own,
    read,
    remove,
    remove_temporaries,
    status_of,
    write_all,
)

from .files import complain, patiently, write_json
from .processes import boot_id, read_stat

HEARTBEAT_SECONDS = 2.0  #: between two changes of the time of `heartbeat`
LOCK_SECONDS = 2.0  #: a killed predecessor's half-started child holds the lock until it has executed
LOCK_BYTES = 160
RESERVED_BYTES = 16 * 1024
RECORD_BYTES = 8 * 1024
ABANDONED_SECONDS = 60.0  #: after which a half-written file has lost its writer

#: Beginnings of the names that older versions gave to half-written files, some of which hold secrets.
_FORMER_TEMPORARIES = ("environment.json.", "spec.json.", "runner.json.new", "exit.json.new")


#: Files that only the supervisor with the lock writes once there is a record: leftovers of these are removed at once.
_OWN = ("environment.json", "spec.json", "runner.json", "exit.json")


class Surpassed(Exception):
    """A later supervisor has this attempt."""


class AttemptDirectory:
    """The files of one attempt. A full disk must not stop them, so failures only go to `supervisor.log` unless a method
    says that it raises.
    """

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.fence = 0
        self.beat_at = 0.0  #: monotonic time of the latest heartbeat
        self._space: Space | None = None  #: reserved for the outcome
        self._record_space: Space | None = None  #: reserved for the next record
        self._lock = -1

    @property
    def name(self) -> str:
        return os.path.basename(self.directory)

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def has(self, name: str) -> bool:
        return os.path.lexists(self.path(name))

    def lacks(self, name: str) -> bool:
        """Whether the file is certainly not there."""
        return is_gone(self.path(name))

    def is_there(self) -> bool:
        """Whether the directory is there; True too while a disk in trouble cannot tell."""
        try:
            return stat.S_ISDIR(os.stat(self.directory).st_mode)
        except OSError as error:
            return error.errno in TROUBLE

    def take_lock(self) -> int:
        """Takes the lock for as long as this process lives: its handle, or -1 when another supervisor has it.

        Raises OSError.
        """
        handle = open_own(self.path("lock"), os.O_RDWR)
        give_up_at = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    os.close(handle)
                    return -1
                time.sleep(0.05)
            except OSError:
                os.close(handle)
                raise

    def claim(self, lock: int) -> None:
        """Writes into the lock file who has it, raises the fence, and reserves the space of the outcome."""
        self._lock = lock
        try:
            self.fence = patiently(self._read_fence) + 1
            _sign(lock)
            self._write_fence()
        except OSError as error:
            complain(f"who runs cannot be recorded: {error}")
        try:
            self._space = Space(self.path("exit.json"), RESERVED_BYTES)
        except OSError as error:
            complain(f"no space could be reserved for the outcome: {error}")

    def make_again(self, spec: dict[str, object]) -> None:
        """Makes the directory and its files again when somebody has removed them. Raises OSError, and Surpassed when a
        later supervisor has taken over.
        """
        make_directory(self.directory)
        if not self._has_own_lock():
            lock = self.take_lock()
            if lock < 0:
                raise Surpassed
            self.check_fence()
            os.close(self._lock)
            self._lock = lock
            _sign(lock)
            self._write_fence()
        if not self.has("spec.json"):
            write_json(self.path("spec.json"), spec)

    def _has_own_lock(self) -> bool:
        """Raises OSError: to take the own lock once more would look like somebody else's."""
        try:
            return os.path.samestat(status_of(self.path("lock")), os.fstat(self._lock))
        except OSError as error:
            _heed(error)
            return False

    def _read_fence(self) -> int:
        """Raises OSError where the disk is in trouble."""
        try:
            return int(read(self.path("fence"), 64))
        except OSError as error:
            _heed(error)
            return 0
        except ValueError:
            return 0

    def _write_fence(self) -> None:
        handle = open_own(self.path("fence"), os.O_WRONLY)
        try:
            write_all(handle, b"%020d\n" % self.fence, 0)
            os.ftruncate(handle, 21)
            os.fsync(handle)
        finally:
            close(handle)

    def raise_fence(self, earlier: float | None) -> None:
        """Raises the fence above that of an earlier supervisor's record, in case the file could not be read."""
        self.fence = max(self.fence, int(earlier or 0) + 1)

    def surpass(self) -> None:
        """Raises the fence above that of whoever has the lock, who gives way then. Raises OSError."""
        self.fence = self._read_fence() + 1
        self._write_fence()

    def check_fence(self) -> None:
        """Raises Surpassed when a later supervisor has raised the fence."""
        try:
            fence = self._read_fence()
        except OSError:
            return  # it is looked at again soon
        if fence > self.fence:
            raise Surpassed

    def write_outcome(self, outcome: dict[str, object]) -> None:
        """Writes `exit.json` into the reserved space. Raises OSError."""
        if self._space is None:
            self._space = Space(self.path("exit.json"), 0)
        try:
            self._space.fill(json.dumps(outcome).encode())
        except (FileNotFoundError, ForeignFile):
            # Somebody took the file in the making away: another one.
            self._drop_space()
            raise
        self._drop_space()

    def write_record(self, record: dict[str, object]) -> None:
        """Writes `runner.json` into the space that the last call reserved, and reserves the next. Raises OSError."""
        path = self.path("runner.json")
        space, self._record_space = self._record_space or Space(path, 0), None
        try:
            space.fill(json.dumps(record).encode())
        finally:
            space.close()
        try:
            self._record_space = Space(path, RECORD_BYTES)
        except OSError:
            return  # the next one needs a disk that is not full

    def _drop_space(self) -> None:
        if self._space is not None:
            self._space.close()
        self._space = None

    def beat(self) -> None:
        """Changes the time of `heartbeat`, which shows that the supervisor lives."""
        self.beat_at = time.monotonic()
        try:
            handle = open_own(self.path("heartbeat"), os.O_WRONLY)
            try:
                os.utime(handle)
            finally:
                close(handle)
        except OSError as error:
            complain(f"no heartbeat: {error}")

    def beat_if_due(self) -> bool:
        """Calls `beat` once in HEARTBEAT_SECONDS, however often it is called; returns whether it did."""
        if time.monotonic() - self.beat_at < HEARTBEAT_SECONDS:
            return False
        self.beat()
        return True

    def last_beat(self) -> float | None:
        """The time of the latest heartbeat in Unix seconds, also of an earlier supervisor; None without one."""
        try:
            return status_of(self.path("heartbeat")).st_mtime
        except OSError:
            return None

    def remove_secrets(self) -> None:
        """Removes `environment.json`, which may hold secrets."""
        remove(self.path("environment.json"))

    def remove_leftovers(self) -> None:
        """Removes half-written files of killed writers: at once those that only a supervisor can have begun, the others
        once they are ABANDONED_SECONDS old.
        """
        if self._record_space is not None:
            self._record_space.close()
            self._record_space = None
        if self.has("runner.json"):
            own = _OWN if self._space is None else _OWN[:-1]  # that is ours
            remove_temporaries(self.directory, 0.0, _FORMER_TEMPORARIES, only=own)
        remove_temporaries(self.directory, ABANDONED_SECONDS, _FORMER_TEMPORARIES)


def _heed(error: OSError) -> None:
    """Raises the error again where the disk, not the file, is in trouble."""
    if error.errno in TROUBLE:
        raise error


def _sign(lock: int) -> None:
    write_all(lock, json.dumps({"boot_id": boot_id(), **own_identity()}).encode().ljust(LOCK_BYTES), 0)
    os.ftruncate(lock, LOCK_BYTES)


def own_identity() -> dict[str, object]:
    """The identity of this process in the form that records have."""
    found = read_stat(os.getpid())
    return {"pid": os.getpid(), "start": None if found is None else found.start}
