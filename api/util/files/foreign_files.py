"""Access to files in directories that a trainer can write to: its run directory, and those of its attempt and its task.

A trainer may have put a link, a named pipe, a device, a directory or an endless file under any name that we read or
write. So no function here follows a link, waits for a peer, or reads more than requested. A new file is written under
an unpredictable name, and then replaces whatever has the final name.

This module uses only the standard library, since supervisors load it, too.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator

MAX_BYTES = 2**20  #: maximum size of a file that is read completely
MAX_NAMES = 20_000  #: maximum number of entries that are read of one directory

#: Number of last parts of a directory's path that must not be links: a task's directory, and two levels below it. The
#: administrator owns the parts above and may use links there.
OWN_LEVELS = 3

TEMPORARY_SUFFIX = ".new"
_ASIDE_SUFFIX = ".foreign"
_TOKEN_CHARACTERS = 16
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

#: The errors when a link, a socket, or a directory is opened for writing.
_FOREIGN_ERRORS = (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.EMLINK)


#: Errors that do not concern the file itself: the disk, the network or this process is in trouble.
TROUBLE = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR}
)


class ForeignFile(OSError):
    """The path is not a regular file of this service. It is neither read nor written."""


def open_directory(path: str, levels: int = OWN_LEVELS) -> int:
    """Return a handle of a directory; its last `levels` parts must not be links. Raises OSError."""
    parts = [part for part in os.path.abspath(path).split("/") if part]
    handle = os.open("/" + "/".join(parts[:-levels] if levels else parts), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[len(parts) - min(levels, len(parts)) :]:
            below = _enter(handle, part)
            os.close(handle)
            handle = below
        return _enter(handle, ".", os.O_RDONLY)
    except OSError as error:
        raise _as_foreign(error, path) from None
    finally:
        os.close(handle)


def make_directory(path: str, levels: int = OWN_LEVELS) -> None:
    """Create a directory and its parents if missing; the last `levels` parts must not be links. Raises OSError."""
    parts = [part for part in os.path.abspath(path).split("/") if part]
    above = "/" + "/".join(parts[: len(parts) - levels])
    if not os.path.exists(above):
        os.makedirs(above, exist_ok=True)
    handle = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[len(parts) - levels :]:
            _make_at(handle, part)
            below = _enter(handle, part)
            os.close(handle)
            handle = below
    except OSError as error:
        raise _as_foreign(error, path) from None
    finally:
        os.close(handle)


def _enter(directory: int, name: str, flags: int = os.O_PATH) -> int:
    try:
        return os.open(name, flags | _DIRECTORY, dir_fd=directory)
    except PermissionError:
        # A trainer that runs as the same user may have removed our access; as the owner we can restore it.
        status = os.fstat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o700 == 0o700:
            raise
        os.chmod(f"/proc/self/fd/{directory}", stat.S_IMODE(status.st_mode) | 0o700)
        return os.open(name, flags | _DIRECTORY, dir_fd=directory)


def _make_at(directory: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        return


def open_plain(path: str, levels: int = OWN_LEVELS) -> int:
    """Return a handle of a regular file for reading. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return open_plain_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def open_plain_at(directory: int, name: str) -> int:
    """Return a handle of a regular file in this directory for reading. Raises OSError."""
    return _open_at(directory, name, os.O_RDONLY)


def _open_at(directory: int, name: str, flags: int, mode: int = 0o600) -> int:
    try:
        handle = os.open(name, flags | _PLAIN, mode, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EACCES and flags & os.O_ACCMODE == os.O_RDONLY:
            # The directory is accessible: an inaccessible file in it is not ours.
            raise ForeignFile(errno.EINVAL, "it is not readable", name) from None
        raise _as_foreign(error, name) from None
    status = os.fstat(handle)
    # A second name of the file may belong to another program: such a file is read, but not written.
    if stat.S_ISREG(status.st_mode) and (status.st_nlink <= 1 or flags & os.O_ACCMODE == os.O_RDONLY):
        return handle
    os.close(handle)
    raise ForeignFile(errno.EINVAL, "it is not a plain file", name)


def _as_foreign(error: OSError, name: str) -> OSError:
    if error.errno in _FOREIGN_ERRORS:
        return ForeignFile(error.errno, f"it is not a plain file ({error.strerror})", name)
    return error


def read(path: str, most: int = MAX_BYTES, levels: int = OWN_LEVELS) -> bytes:
    """Return the content of a file.

    Raises OSError, and ForeignFile if it is not a plain file or longer than `most` bytes.
    """
    return read_with_status(path, most, levels)[0]


def read_with_status(path: str, most: int = MAX_BYTES, levels: int = OWN_LEVELS) -> tuple[bytes, os.stat_result]:
    """Return the content of a file as `read` does, and its status. Raises OSError, ForeignFile."""
    handle = open_plain(path, levels)
    try:
        status = os.fstat(handle)
        if status.st_size > most:
            raise ForeignFile(errno.EFBIG, f"it is longer than {most} bytes", path)
        parts: list[bytes] = []
        size = 0
        while part := os.read(handle, most + 1 - size):
            parts.append(part)
            size += len(part)
            if size > most:  # it has grown in the meantime
                raise ForeignFile(errno.EFBIG, f"it is longer than {most} bytes", path)
        return b"".join(parts), status
    finally:
        os.close(handle)


def status_of(path: str, levels: int = OWN_LEVELS) -> os.stat_result:
    """Return the status of this path, without following a link. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return os.stat(os.path.basename(path), dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)


def is_gone(path: str) -> bool:
    """Return whether nothing exists under this name. False also if the disk is in trouble, so that this is unknown."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno not in TROUBLE
    return False


def write(path: str, content: bytes, levels: int = OWN_LEVELS, mode: int = 0o600) -> None:
    """Write a file durably, by default readable for its owner only. A failure leaves the old file. Raises OSError."""
    space = Space(path, 0, levels, mode)
    try:
        space.fill(content)
    finally:
        space.close()


def put_empty(path: str, levels: int = OWN_LEVELS) -> None:
    """Create an empty file that everyone may read, unless a regular file exists. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    name = os.path.basename(path)
    try:
        if _is_plain_at(directory, name):
            return
        temporary = _temporary(name)
        close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o666, dir_fd=directory))
        try:
            _put(directory, temporary, name)
        except OSError:
            remove_at(directory, temporary)
            raise
    finally:
        os.close(directory)


def _is_plain_at(directory: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


class Space:
    """A file that is being written, under an unpredictable name, with its blocks reserved. Raises OSError."""

    def __init__(self, path: str, size: int, levels: int = OWN_LEVELS, mode: int = 0o600) -> None:
        self._path = path
        self._name = os.path.basename(path)
        self._temporary = _temporary(self._name)
        self._handle = -1
        self._directory = open_directory(os.path.dirname(path), levels)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _PLAIN
            self._handle = os.open(self._temporary, flags, 0o600, dir_fd=self._directory)
            if mode != 0o600:
                os.fchmod(self._handle, mode)  # independent of the umask
            if size:
                os.posix_fallocate(self._handle, 0, size)
        except OSError:
            self.close()
            raise

    def fill(self, content: bytes) -> None:
        """Write the content and move the file to its name, durably.

        Raises OSError; it can be called again then.
        """
        write_all(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))
        os.fsync(self._handle)
        here = os.stat(self._temporary, dir_fd=self._directory, follow_symlinks=False)
        if not os.path.samestat(here, os.fstat(self._handle)):
            raise ForeignFile(errno.EINVAL, "another program has replaced the file", self._path)
        _put(self._directory, self._temporary, self._name)
        self._temporary = ""
        os.fsync(self._directory)

    def close(self) -> None:
        """Delete the file unless it was moved to its name."""
        if self._handle >= 0:
            close(self._handle)
            if self._temporary:
                remove_at(self._directory, self._temporary)
            self._handle = -1
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def _temporary(name: str) -> str:
    return f".{name}.{os.urandom(_TOKEN_CHARACTERS // 2).hex()}{TEMPORARY_SUFFIX}"


def _put(directory: int, temporary: str, name: str) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except IsADirectoryError:
        _put_aside(directory, name)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _put_aside(directory: int, name: str) -> None:
    # Renamed instead of deleted, since its owner and content are unknown.
    aside = f".{name}.{os.urandom(_TOKEN_CHARACTERS // 2).hex()}{_ASIDE_SUFFIX}"
    os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)


def put_aside(path: str, levels: int = OWN_LEVELS) -> None:
    """Rename the file or directory at a path that the service needs. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        _put_aside(directory, os.path.basename(path))
    finally:
        os.close(directory)


def open_own(path: str, flags: int, levels: int = OWN_LEVELS) -> int:
    """Return a handle of a regular file that is written in place; create it if missing. Raises OSError.

    Anything else at the path (a link, a pipe, a second name of another file) is renamed.
    """
    directory = open_directory(os.path.dirname(path), levels)
    name = os.path.basename(path)
    try:
        try:
            return _open_at(directory, name, flags | os.O_CREAT)
        except ForeignFile:
            _put_aside(directory, name)
            return _open_at(directory, name, flags | os.O_CREAT)
    finally:
        os.close(directory)


def open_there(path: str, flags: int, levels: int = OWN_LEVELS) -> int:
    """Return a handle of a regular file, opened with these flags. Anything else at the path stays. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return _open_at(directory, os.path.basename(path), flags)
    finally:
        os.close(directory)


def remove(path: str, levels: int = OWN_LEVELS) -> None:
    """Delete a file, or a link itself, if it exists. A file that cannot be deleted stays."""
    try:
        directory = open_directory(os.path.dirname(path), levels)
    except OSError:
        return
    try:
        remove_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def remove_at(directory: int, name: str) -> None:
    """Delete a name in an open directory, as `remove` does."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return


def entries(directory: int, most: int = MAX_NAMES) -> Iterator[os.DirEntry[str]]:
    """Yield at most `most` entries of an open directory. Raises OSError."""
    with os.scandir(directory) as found:
        for count, entry in enumerate(found, 1):
            yield entry
            if count >= most:
                return


def remove_temporaries(
    path: str,
    seconds: float,
    names: tuple[str, ...] = (),
    levels: int = OWN_LEVELS,
    only: tuple[str, ...] | None = None,
) -> None:
    """Delete unfinished files of killed writers from a directory, once they are this many seconds old.

    `names` are prefixes of further temporary files. `only` lists the files that may have been in progress.
    """
    try:
        directory = open_directory(path, levels)
    except OSError:
        return
    try:
        found = [entry.name for entry in entries(directory) if _is_temporary(entry.name, names)]
        for name in [name for name in found if only is None or name.startswith((*(f".{n}." for n in only), *names))]:
            if abs(time.time() - os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime) >= seconds:
                remove_at(directory, name)
    except OSError:
        return
    finally:
        os.close(directory)


def _is_temporary(name: str, names: tuple[str, ...]) -> bool:
    token = name.removesuffix(TEMPORARY_SUFFIX)[-_TOKEN_CHARACTERS:]
    is_ours = name.startswith(".") and name.endswith(TEMPORARY_SUFFIX) and not set(token) - set("0123456789abcdef")
    return is_ours or name.startswith(names or ("\0",))


def close(handle: int) -> None:
    """Close a handle. Errors are ignored: the handle is closed anyway, and durable content was synced before."""
    try:
        os.close(handle)
    except OSError:
        return


def write_all(handle: int, content: bytes, offset: int) -> None:
    """Write the complete content at this offset. Raises OSError."""
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written
