"""The directory of an attempt, as its supervisor uses it. The package's docstring lists its files."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time

from api.util.files.foreign_files import (
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

from .processes import boot_id, read_stat
from .small_files import complain, retry_disk_errors, write_json

HEARTBEAT_SECONDS = 2.0  #: interval between updates of `heartbeat`
LOCK_SECONDS = 2.0  #: the lock may stay held for a moment by a killed predecessor's child that has not executed yet
LOCK_BYTES = 160
RESERVED_BYTES = 16 * 1024
RECORD_BYTES = 8 * 1024
ABANDONED_SECONDS = 60.0  #: age after which a partial file's writer is assumed dead

#: Prefixes that older versions used for partial files, some of which contain secrets.
_FORMER_TEMPORARIES = ("environment.json.", "spec.json.", "runner.json.new", "exit.json.new")


#: Files that only the supervisor with the lock writes once `runner.json` exists: their partial files are removed
#: immediately.
_OWN = ("environment.json", "spec.json", "runner.json", "exit.json")


class Superseded(Exception):
    """A later supervisor has taken over this attempt."""


class AttemptDirectory:
    """The files of one attempt.

    A full disk must not stop the supervisor: failures go to `supervisor.log`, unless the method documents an error.
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
        """Return whether the file is certainly missing."""
        return is_gone(self.path(name))

    def is_there(self) -> bool:
        """Return whether the directory exists, or may exist because the disk has errors."""
        try:
            return stat.S_ISDIR(os.stat(self.directory).st_mode)
        except OSError as error:
            return error.errno in TROUBLE

    def take_lock(self) -> int:
        """Take the lock for this process's lifetime. Return its handle, or -1 if another supervisor has it.

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
        """Write the holder into the lock file, increment the fence, and reserve space for the outcome."""
        self._lock = lock
        try:
            self.fence = retry_disk_errors(self._read_fence) + 1
            _sign(lock)
            self._write_fence()
        except OSError as error:
            complain(f"the lock's holder cannot be recorded: {error}")
        try:
            self._space = Space(self.path("exit.json"), RESERVED_BYTES)
        except OSError as error:
            complain(f"no space can be reserved for the outcome: {error}")

    def recreate(self, spec: dict[str, object]) -> None:
        """Recreate the directory and its files after they were removed.

        Raises OSError; Superseded if a later supervisor has taken over.
        """
        make_directory(self.directory)
        if not self._has_own_lock():
            lock = self.take_lock()
            if lock < 0:
                raise Superseded
            self.check_fence()
            os.close(self._lock)
            self._lock = lock
            _sign(lock)
            self._write_fence()
        if not self.has("spec.json"):
            write_json(self.path("spec.json"), spec)

    def _has_own_lock(self) -> bool:
        """Return whether the lock file is still this supervisor's.

        Raises OSError instead of guessing: taking its own lock again would look like another supervisor's.
        """
        try:
            return os.path.samestat(status_of(self.path("lock")), os.fstat(self._lock))
        except OSError as error:
            _raise_disk_error(error)
            return False

    def _read_fence(self) -> int:
        """Return the fence, or 0 without a valid one.

        Raises OSError if the disk has errors.
        """
        try:
            return int(read(self.path("fence"), 64))
        except OSError as error:
            _raise_disk_error(error)
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
        """Raise the fence above that of an earlier supervisor's record, in case the file was unreadable."""
        self.fence = max(self.fence, int(earlier or 0) + 1)

    def supersede(self) -> None:
        """Raise the fence above that of the lock's holder, which then gives way.

        Raises OSError.
        """
        self.fence = self._read_fence() + 1
        self._write_fence()

    def check_fence(self) -> None:
        """Raise Superseded if a later supervisor has raised the fence."""
        try:
            fence = self._read_fence()
        except OSError:
            return  # checked again soon
        if fence > self.fence:
            raise Superseded

    def write_outcome(self, outcome: dict[str, object]) -> None:
        """Write `exit.json` into the reserved space.

        Raises OSError.
        """
        if self._space is None:
            self._space = Space(self.path("exit.json"), 0)
        try:
            self._space.fill(json.dumps(outcome).encode())
        except (FileNotFoundError, ForeignFile):
            # Another process replaced the file in the meantime; the caller retries with a new one.
            self._drop_space()
            raise
        self._drop_space()

    def write_record(self, record: dict[str, object]) -> None:
        """Write `runner.json` into the space that the previous call reserved, and reserve space for the next.

        Raises OSError.
        """
        path = self.path("runner.json")
        space, self._record_space = self._record_space or Space(path, 0), None
        try:
            space.fill(json.dumps(record).encode())
        finally:
            space.close()
        try:
            self._record_space = Space(path, RECORD_BYTES)
        except OSError:
            return  # the next record then needs free disk space

    def _drop_space(self) -> None:
        if self._space is not None:
            self._space.close()
        self._space = None

    def beat(self) -> None:
        """Update the time of `heartbeat`, which shows that the supervisor lives."""
        self.beat_at = time.monotonic()
        try:
            handle = open_own(self.path("heartbeat"), os.O_WRONLY)
            try:
                os.utime(handle)
            finally:
                close(handle)
        except OSError as error:
            complain(f"the heartbeat cannot be written: {error}")

    def beat_if_due(self) -> bool:
        """Call `beat` if HEARTBEAT_SECONDS have passed since the last one. Return whether it did."""
        if time.monotonic() - self.beat_at < HEARTBEAT_SECONDS:
            return False
        self.beat()
        return True

    def last_beat(self) -> float | None:
        """Return the time of the latest heartbeat of any supervisor (Unix seconds), or None."""
        try:
            return status_of(self.path("heartbeat")).st_mtime
        except OSError:
            return None

    def remove_secrets(self) -> None:
        """Remove `environment.json`, which may contain secrets."""
        remove(self.path("environment.json"))

    def remove_leftovers(self) -> None:
        """Remove partial files of killed writers.

        Those that only a supervisor writes are removed immediately, others once they are ABANDONED_SECONDS old.
        """
        if self._record_space is not None:
            self._record_space.close()
            self._record_space = None
        if self.has("runner.json"):
            own = _OWN if self._space is None else _OWN[:-1]  # except `exit.json`, whose partial file is ours
            remove_temporaries(self.directory, 0.0, _FORMER_TEMPORARIES, only=own)
        remove_temporaries(self.directory, ABANDONED_SECONDS, _FORMER_TEMPORARIES)


def _raise_disk_error(error: OSError) -> None:
    """Raise the error again if the disk, not the file, is the problem."""
    if error.errno in TROUBLE:
        raise error


def _sign(lock: int) -> None:
    write_all(lock, json.dumps({"boot_id": boot_id(), **own_identity()}).encode().ljust(LOCK_BYTES), 0)
    os.ftruncate(lock, LOCK_BYTES)


def own_identity() -> dict[str, object]:
    """Return the identity of this process in the form of the records."""
    found = read_stat(os.getpid())
    return {"pid": os.getpid(), "start": None if found is None else found.start}
