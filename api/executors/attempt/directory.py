"""The directory of an attempt, as its supervisor uses it. The package's description says what is in it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time

from api.utils.foreign_files import (
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

#: How files in the making were named before, some of them with secrets.
_FORMER_TEMPORARIES = ("environment.json.", "spec.json.", "runner.json.new", "exit.json.new")


#: Of these nobody else can be in the making while a supervisor has the lock and a record is there.
_OWN = ("environment.json", "spec.json", "runner.json", "exit.json")


class Surpassed(Exception):
    """A later supervisor has this attempt."""


class AttemptDirectory:
    """Its files. A full disk stops none of this, so failures are told in `supervisor.log` unless it says otherwise."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.fence = 0
        self.beat_at = 0.0  #: monotonic
        self._space: Space | None = None  #: of the outcome
        self._record_space: Space | None = None  #: of the next record
        self._lock = -1

    @property
    def name(self) -> str:
        return os.path.basename(self.directory)

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def has(self, name: str) -> bool:
        return os.path.lexists(self.path(name))

    def lacks(self, name: str) -> bool:
        """Whether it is known not to be there."""
        return is_gone(self.path(name))

    def is_there(self) -> bool:
        """False only when that is known."""
        try:
            return stat.S_ISDIR(os.stat(self.directory).st_mode)
        except OSError as error:
            return error.errno in TROUBLE

    def take_lock(self) -> int:
        """The lock, for as long as this process lives; -1 when another supervisor has it. Raises OSError."""
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
        """Says who has the lock, raises the fence, and reserves the space of the outcome."""
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
        """Makes what somebody removed under a supervisor that lives. Raises OSError, and Surpassed when another one has
        come into its place.
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
        """An earlier supervisor had this one, by its record: where the file could not be read that has to do."""
        self.fence = max(self.fence, int(earlier or 0) + 1)

    def check_fence(self) -> None:
        """Raises Surpassed."""
        try:
            fence = self._read_fence()
        except OSError:
            return  # it is looked at again soon
        if fence > self.fence:
            raise Surpassed

    def write_outcome(self, outcome: dict[str, object]) -> None:
        """Uses the reserved space. Raises OSError."""
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
        """Says who runs, in space that was reserved when it was said before. Raises OSError."""
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
        """Shows that the supervisor lives."""
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
        """Does that once in `HEARTBEAT_SECONDS`, however often it is called; whether it did."""
        if time.monotonic() - self.beat_at < HEARTBEAT_SECONDS:
            return False
        self.beat()
        return True

    def last_beat(self) -> float | None:
        """When one was last there, in Unix seconds."""
        try:
            return status_of(self.path("heartbeat")).st_mtime
        except OSError:
            return None

    def remove_secrets(self) -> None:
        """Removes the trainer's environment."""
        remove(self.path("environment.json"))

    def remove_leftovers(self) -> None:
        """Removes what killed writers left: at once what only a supervisor writes once there is a record, and what is
        written before there is one, the trainer's environment too.
        """
        if self._record_space is not None:
            self._record_space.close()
            self._record_space = None
        if self.has("runner.json"):
            own = _OWN if self._space is None else _OWN[:-1]  # that is ours
            remove_temporaries(self.directory, 0.0, _FORMER_TEMPORARIES, only=own)
        remove_temporaries(self.directory, ABANDONED_SECONDS, _FORMER_TEMPORARIES)


def _heed(error: OSError) -> None:
    """Raises the error again where it says nothing about the file."""
    if error.errno in TROUBLE:
        raise error


def _sign(lock: int) -> None:
    write_all(lock, json.dumps({"boot_id": boot_id(), **own_identity()}).encode().ljust(LOCK_BYTES), 0)
    os.ftruncate(lock, LOCK_BYTES)


def own_identity() -> dict[str, object]:
    """This process, as it stands in a record."""
    found = read_stat(os.getpid())
    return {"pid": os.getpid(), "start": None if found is None else found.start}
