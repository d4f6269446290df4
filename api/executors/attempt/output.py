"""Store the trainer's output until it is in the log.

No process's death may lose or block output, and a full disk must not make the trainer's `print` fail. So the trainer
appends to a file. Its blocks are reserved in advance and freed once they are in the log.

If the file system does not support that, or the disk is already full, the output is a pipe that the trainer itself
holds open. Its content then lives as long as a process has it open, and a trainer whose pipe is not read eventually
blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator

from api.util.files.foreign_files import close, is_gone, open_there, remove

from .ledger import UNKNOWN, Ledger
from .log import CHUNK, LogWriter
from .processes import is_alive
from .small_files import PATIENCE_PACE, PATIENCE_SECONDS, complain, retry_disk_errors

OUTPUT, PIPE = "output", "output.fifo"
PIPE_BYTES = 256 * 1024  #: 64 such pipes stay below the kernel's limit per user
RESERVE_BYTES = 32 * 2**20  #: output that fits while the disk is full: days of steps, seconds of a flood
STEP_BYTES = 2**20  #: unit in which blocks are freed and reserved
BACKLOG_BYTES = 256 * 2**20  #: the most output that may wait for copying; beyond it the oldest is lost
KEPT_BYTES = 2**20  #: what remains when the backlog is dropped
PATIENT_BYTES = RESERVE_BYTES // 4  #: the most output that waits for a log that cannot be written
DRAIN_BYTES = 2**20  #: the most read from a pipe at the end: a process outside of the attempt may write, too

# The kernel's fallocate(FALLOC_FL_KEEP_SIZE) and PUNCH_HOLE (linux/falloc.h), by an ioctl that needs no ctypes.
_RESERVE = 0x4030582A  # FS_IOC_RESVSP64
_PUNCH = 0x4030582B  # FS_IOC_UNRESVSP64
_SPACE = struct.Struct("=hhxxxxqqiI16x")  # struct space_resv


def _fallocate(handle: int, request: int, start: int, length: int) -> None:
    if length > 0:
        fcntl.ioctl(handle, request, _SPACE.pack(0, os.SEEK_SET, start, length, 0, 0))


class OutputFile:
    """A file to which the trainer appends."""

    flags = os.O_WRONLY | os.O_APPEND  #: the flags with which the trainer opens it

    def __init__(self, path: str, handle: int, ledger: Ledger) -> None:
        self.path = path
        self._handle = handle
        self._ledger = ledger
        self._freed_to = 0
        self._reserved_to = 0
        self._give_up_at: float | None = None  # monotonic; set when the trainer has ended
        self.is_waiting = False  #: whether some output could not be copied just now

    @classmethod
    def create(cls, path: str, ledger: Ledger) -> OutputFile:
        """Create a new file.

        Raises OSError if the file system cannot reserve blocks and free them.
        """
        handle = open_there(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            _fallocate(handle, _RESERVE, 0, RESERVE_BYTES)
            if os.fstat(handle).st_blocks * 512 < RESERVE_BYTES:
                raise OSError(errno.EOPNOTSUPP, "the file system reserves no blocks")
            _fallocate(handle, _PUNCH, 0, STEP_BYTES)
            _fallocate(handle, _RESERVE, 0, STEP_BYTES)
            ledger.open()
        except OSError:
            os.close(handle)
            remove(path)
            raise
        made = cls(path, handle, ledger)
        made._reserved_to = RESERVE_BYTES
        return made

    @classmethod
    def resume(cls, path: str, ledger: Ledger, trainer: int | None = None) -> OutputFile:
        """Open the file of an earlier supervisor, through the trainer if its name was deleted.

        Raises OSError.
        """
        try:
            handle = open_there(path, os.O_RDWR)
        except FileNotFoundError:
            if trainer is None:
                raise
            handle = _open_of(trainer)
        try:
            if not ledger.open():
                # Bytes that are no longer in the file are in the log.
                ledger.taken = _first_byte(handle)
        except OSError:
            os.close(handle)
            raise
        return cls(path, handle, ledger)

    def take(self, log: LogWriter | None) -> bytes:
        """Copy at most one chunk to the log. Return its bytes, even if they were dropped."""
        try:
            return self._take(log)
        except OSError as error:
            complain(f"the output cannot be read: {error}")
            self.is_waiting = self._may_wait(0)
            return b""

    def _take(self, log: LogWriter | None) -> bytes:
        size = os.fstat(self._handle).st_size
        if size < self._ledger.taken:
            # A child of the trainer has reopened /dev/stdout and truncated the file.
            self._ledger.taken, self._freed_to, self._reserved_to = 0, 0, 0
            _note(log)
        waiting = size - self._ledger.taken
        if waiting > BACKLOG_BYTES:
            self._drop(log, waiting - KEPT_BYTES)
        data = os.pread(self._handle, min(CHUNK, size - self._ledger.taken), self._ledger.taken)
        taken = len(data)
        if data and log is not None:
            # A temporary disk error loses no line: the bytes are safe here as long as the reserve lasts.
            taken = log.offer(data, self._may_wait(waiting))
        elif data:
            self._drop(log, len(data))
        self.is_waiting = taken < len(data)
        self._tend(log, size)
        return data[:taken]

    def _may_wait(self, waiting: int) -> bool:
        if self._give_up_at is not None:
            return time.monotonic() < self._give_up_at
        return waiting <= PATIENT_BYTES

    def _drop(self, log: LogWriter | None, count: int) -> None:
        if log is None:
            self._ledger.drop(count, UNKNOWN)
        else:
            log.skip(count, "they came faster than they could be stored")

    def _tend(self, log: LogWriter | None, size: int) -> None:
        """Free blocks that were copied, and reserve new ones. The log may use what the reserve does not need."""
        done = self._ledger.taken // STEP_BYTES * STEP_BYTES
        try:
            if done > self._freed_to:
                _note(log)
                _fallocate(self._handle, _PUNCH, self._freed_to, done - self._freed_to)
                self._freed_to = done
            if self._give_up_at is not None:
                return
            self._reserved_to = max(self._reserved_to, size // STEP_BYTES * STEP_BYTES)
            while self._reserved_to < size + RESERVE_BYTES:
                _fallocate(self._handle, _RESERVE, self._reserved_to, STEP_BYTES)
                self._reserved_to += STEP_BYTES
        except OSError as error:
            complain(f"no more disk space can be reserved for the output: {error}")
        if log is not None:
            log.must_drop = self._reserved_to - size < RESERVE_BYTES // 2

    def start_draining(self, log: LogWriter | None) -> int:
        """Free the reserve after the trainer has ended. Return the most bytes that may still be copied."""
        self._give_up_at = time.monotonic() + PATIENCE_SECONDS
        if log is not None:
            log.must_drop = False
        try:
            os.ftruncate(self._handle, os.fstat(self._handle).st_size)
        except OSError as error:
            complain(f"the reserved disk space cannot be freed: {error}")
        return 2 * BACKLOG_BYTES

    def remove(self) -> None:
        close(self._handle)
        remove(self.path)


def _open_of(trainer: int) -> int:
    """Open the deleted file to which a live trainer writes.

    Raises OSError.
    """
    handle = os.open(f"/proc/{trainer}/fd/1", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and not found.st_nlink:
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "the trainer writes to another file")


def _first_byte(handle: int) -> int:
    try:
        return os.lseek(handle, 0, os.SEEK_DATA)
    except OSError:
        return os.fstat(handle).st_size


def drain(output: OutputFile | OutputPipe, log: LogWriter | None) -> Iterator[bytes]:
    """Move the remaining output to the log after the trainer has ended, with retries; yield each chunk."""
    left = output.start_draining(log)
    while left > 0:
        data = output.take(log)
        if not data and not output.is_waiting:
            return
        if not data:
            time.sleep(PATIENCE_PACE)
        left -= len(data)
        yield data


def _note(log: LogWriter | None) -> None:
    if log is not None:
        log.note_taken()


class OutputPipe:
    """A pipe that the trainer opens for reading and writing, so that it outlives the supervisor's end."""

    flags = os.O_RDWR
    is_waiting = False

    def __init__(self, path: str) -> None:
        """Open the pipe, and create it if needed.

        Raises OSError.
        """
        self.path = path
        if not os.path.lexists(path):
            os.mkfifo(path, 0o600)
        self.handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not stat.S_ISFIFO(os.fstat(self.handle).st_mode):
            os.close(self.handle)
            raise OSError(errno.EINVAL, "the pipe was replaced by another file")
        try:
            fcntl.fcntl(self.handle, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError as error:
            complain(f"the size of the pipe cannot be changed: {error}")

    def take(self, log: LogWriter | None) -> bytes:
        """Move at most one chunk to the log. Return its bytes, even if they were dropped."""
        try:
            return os.read(self.handle, CHUNK) if log is None else log.take(self.handle)
        except BlockingIOError:
            return b""

    def start_draining(self, _: LogWriter | None) -> int:
        """Return the most bytes that may still be read.

        A process outside of the attempt may write forever.
        """
        return DRAIN_BYTES

    def remove(self) -> None:
        os.close(self.handle)
        remove(self.path)


def make_output(directory: str, ledger: Ledger) -> OutputFile | OutputPipe:
    """Create the output for a trainer that is about to start.

    Raises OSError.
    """
    path, pipe = f"{directory}/{OUTPUT}", f"{directory}/{PIPE}"
    for leftover in (path, pipe, ledger.path):
        remove(leftover)
    try:
        return OutputFile.create(path, ledger)
    except OSError as error:
        complain(f"the output uses a pipe: {error}")
    return OutputPipe(pipe)


def find_output(directory: str, ledger: Ledger, trainer: tuple[int, int] | None) -> OutputFile | OutputPipe | None:
    """Return the output of a trainer that was started earlier, or None."""
    path, pipe = f"{directory}/{OUTPUT}", f"{directory}/{PIPE}"
    pid = trainer[0] if trainer is not None and is_alive(*trainer) else None
    try:
        return retry_disk_errors(lambda: OutputFile.resume(path, ledger, pid) if is_gone(pipe) else OutputPipe(pipe))
    except OSError as error:
        complain(f"the output cannot be opened: {error}")
    return None
