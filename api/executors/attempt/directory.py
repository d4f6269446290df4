"""The directory of an attempt, as its supervisor uses it. The package's description says what is in it."""

from __future__ import annotations

import fcntl
import json
import os
import time

from .files import complain, read_file, remove, write_all, write_json
from .processes import boot_id, read_stat

HEARTBEAT_SECONDS = 2.0  #: between two changes of the time of `heartbeat`
LOCK_SECONDS = 2.0  #: a killed predecessor's half-started child holds the lock until it has executed
RESERVED_BYTES = 16 * 1024
ABANDONED_SECONDS = 60.0  #: after which a half-written file of secrets has lost its writer


class Surpassed(Exception):
    """A later supervisor has this attempt."""


class AttemptDirectory:
    """Its files. A full disk stops none of this, so failures are told in `supervisor.log` unless it says otherwise."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.fence = 0
        self.beat_at = 0.0  #: monotonic

    @property
    def name(self) -> str:
        return os.path.basename(self.directory)

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def has(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def is_there(self) -> bool:
        return os.path.isdir(self.directory)

    def take_lock(self) -> int:
        """The lock, for as long as this process lives; -1 when another supervisor has it. Raises OSError."""
        handle = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        give_up_at = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except OSError:
                if time.monotonic() > give_up_at:
                    return -1
                time.sleep(0.05)

    def claim(self, lock: int) -> None:
        """Says who has the lock, raises the fence, and reserves the space of the outcome."""
        try:
            write_all(lock, json.dumps({"boot_id": boot_id(), **own_identity()}).encode().ljust(160), 0)
            self.fence = self._read_fence() + 1
            self._write_fence()
        except OSError as error:
            complain(f"who runs cannot be recorded: {error}")
        try:
            self._reserve_space()
        except OSError as error:
            complain(f"no space could be reserved for the outcome: {error}")

    def _read_fence(self) -> int:
        try:
            return int(read_file(self.path("fence")))
        except (OSError, ValueError):
            return 0

    def _write_fence(self) -> None:
        handle = os.open(self.path("fence"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            write_all(handle, b"%020d\n" % self.fence, 0)
            os.fsync(handle)
        finally:
            os.close(handle)

    def check_fence(self) -> None:
        """Raises Surpassed."""
        if self._read_fence() > self.fence:
            raise Surpassed

    def _reserve_space(self) -> None:
        handle = os.open(self.path("exit.json.new"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, RESERVED_BYTES)
        finally:
            os.close(handle)

    def write_outcome(self, outcome: dict[str, object]) -> None:
        """Uses the reserved space. Raises OSError."""
        write_json(self.path("exit.json"), outcome, self.path("exit.json.new"))

    def beat(self) -> None:
        """Shows that the supervisor lives."""
        self.beat_at = time.monotonic()
        try:
            os.close(os.open(self.path("heartbeat"), os.O_WRONLY | os.O_CREAT, 0o600))
            os.utime(self.path("heartbeat"))
        except OSError as error:
            complain(f"no heartbeat: {error}")

    def last_beat(self) -> float | None:
        """When one was last there, in Unix seconds."""
        try:
            return os.stat(self.path("heartbeat")).st_mtime
        except OSError:
            return None

    def remove_secrets(self) -> None:
        """Removes the trainer's environment."""
        remove(self.path("environment.json"))

    def remove_abandoned_secrets(self) -> None:
        """Removes what a killed writer left of the trainer's environment."""
        try:
            names = [name for name in os.listdir(self.directory) if name.startswith("environment.json.")]
            for name in names:
                if time.time() - os.stat(self.path(name)).st_mtime > ABANDONED_SECONDS:
                    remove(self.path(name))
        except OSError:
            return


def own_identity() -> dict[str, object]:
    """This process, as it stands in a record."""
    stat = read_stat(os.getpid())
    return {"pid": os.getpid(), "start": None if stat is None else stat.start}
