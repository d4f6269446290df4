"""Files in places that a trainer can write to: its run directory, and those of its attempt and its task.

Whatever stands there under a name that we read or write may be a link out, a named pipe, a device, a directory, or a
file without end. So nothing here follows a link, waits for a peer, or reads more than was asked for; what is written
gets a name that nobody can foresee first, and then takes the place of whatever stands at the right one.

The standard library only: a supervisor loads this too.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator

MAX_BYTES = 2**20  #: the most bytes of a file that is read as a whole
MAX_NAMES = 20_000  #: the most entries of one directory that are looked at

#: How many of the last parts of a directory's path are entered without following a link: a task's directory, and two
#: below it. Those above are the administrator's, who may use links.
OWN_LEVELS = 3

TEMPORARY_SUFFIX = ".new"
_ASIDE_SUFFIX = ".foreign"
_TOKEN_CHARACTERS = 16
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

#: The errors of opening a link, a socket, or a directory for writing.
_FOREIGN_ERRORS = (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.EMLINK)


#: Errors that say nothing about the file that was asked for: the disk, the network or this process is in trouble.
TROUBLE = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR}
)


class ForeignFile(OSError):
    """What stands under this name is not a plain file of ours, and is neither read nor written."""


def open_directory(path: str, levels: int = OWN_LEVELS) -> int:
    """A handle of a directory, its last `levels` parts entered without following a link. Raises OSError."""
    parts = [part for part in os.path.abspath(path).split("/") if part]
    handle = os.open("/" + "/".join(parts[:-levels] if levels else parts), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[len(parts) - min(levels, len(parts)) :]:
            below = _enter(handle, part)
            os.close(handle)
            handle = below
        return _enter(handle, ".", os.O_RDONLY)
    except OSError as error:
        raise _told(error, path) from None
    finally:
        os.close(handle)


def make_directory(path: str, levels: int = OWN_LEVELS) -> None:
    """Makes a directory that may be there, and those above it, through none of the trainer's links. Raises OSError."""
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
        raise _told(error, path) from None
    finally:
        os.close(handle)


def _enter(directory: int, name: str, flags: int = os.O_PATH) -> int:
    try:
        return os.open(name, flags | _DIRECTORY, dir_fd=directory)
    except PermissionError:
        # A trainer that runs as the same user may have closed its own directory to us; it is ours to open again.
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
    """A handle of a regular file, open for reading. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return open_plain_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def open_plain_at(directory: int, name: str) -> int:
    """A handle of a regular file in this directory, open for reading. Raises OSError."""
    return _open_at(directory, name, os.O_RDONLY)


def _open_at(directory: int, name: str, flags: int, mode: int = 0o600) -> int:
    try:
        handle = os.open(name, flags | _PLAIN, mode, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EACCES and flags & os.O_ACCMODE == os.O_RDONLY:
            # The directory could be entered: a file that is closed to us in it is none of ours.
            raise ForeignFile(errno.EINVAL, "it is closed to us", name) from None
        raise _told(error, name) from None
    status = os.fstat(handle)
    # Another name of the same file may be somebody else's: it is read, and not written to.
    if stat.S_ISREG(status.st_mode) and (status.st_nlink <= 1 or flags & os.O_ACCMODE == os.O_RDONLY):
        return handle
    os.close(handle)
    raise ForeignFile(errno.EINVAL, "it is not a plain file", name)


def _told(error: OSError, name: str) -> OSError:
    if error.errno in _FOREIGN_ERRORS:
        return ForeignFile(error.errno, f"it is not a plain file ({error.strerror})", name)
    return error


def read(path: str, most: int = MAX_BYTES, levels: int = OWN_LEVELS) -> bytes:
    """What a file holds. Raises OSError; ForeignFile for one that is no regular file or longer than `most` bytes."""
    return read_with_status(path, most, levels)[0]


def read_with_status(path: str, most: int = MAX_BYTES, levels: int = OWN_LEVELS) -> tuple[bytes, os.stat_result]:
    """What `read` gives, and the status of that very file. Raises OSError, ForeignFile."""
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
            if size > most:  # it grew meanwhile
                raise ForeignFile(errno.EFBIG, f"it is longer than {most} bytes", path)
        return b"".join(parts), status
    finally:
        os.close(handle)


def status_of(path: str, levels: int = OWN_LEVELS) -> os.stat_result:
    """The status of what stands under this name; a link is not followed. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return os.stat(os.path.basename(path), dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)


def is_gone(path: str) -> bool:
    """Whether nothing stands under this name; False also where the disk is in trouble, and so cannot tell."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno not in TROUBLE
    return False


def write(path: str, content: bytes, levels: int = OWN_LEVELS, mode: int = 0o600) -> None:
    """Writes a file, by default for its owner only, durably; a failure leaves what was there. Raises OSError."""
    space = Space(path, 0, levels, mode)
    try:
        space.fill(content)
    finally:
        space.close()


def put_empty(path: str, levels: int = OWN_LEVELS) -> None:
    """Makes an empty file that everybody may read, unless a plain file stands there already. Raises OSError."""
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
    """A file in the making, under a name that nobody can foresee, with its blocks reserved. Raises OSError."""

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
                os.fchmod(self._handle, mode)  # whatever the umask is
            if size:
                os.posix_fallocate(self._handle, 0, size)
        except OSError:
            self.close()
            raise

    def fill(self, content: bytes) -> None:
        """Writes the content and moves the file to its name, durably. Raises OSError; it can be called again then."""
        write_all(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))
        os.fsync(self._handle)
        here = os.stat(self._temporary, dir_fd=self._directory, follow_symlinks=False)
        if not os.path.samestat(here, os.fstat(self._handle)):
            raise ForeignFile(errno.EINVAL, "somebody else has put a file in its place", self._path)
        _put(self._directory, self._temporary, self._name)
        self._temporary = ""
        os.fsync(self._directory)

    def close(self) -> None:
        """Removes the file, unless it was moved to its name."""
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
    # Renamed and not removed: whose it is, and what is in it, is not known.
    aside = f".{name}.{os.urandom(_TOKEN_CHARACTERS // 2).hex()}{_ASIDE_SUFFIX}"
    os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)


def put_aside(path: str, levels: int = OWN_LEVELS) -> None:
    """Renames what stands under a name that a file of ours needs. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        _put_aside(directory, os.path.basename(path))
    finally:
        os.close(directory)


def open_own(path: str, flags: int, levels: int = OWN_LEVELS) -> int:
    """A handle of a plain file that is written in place; it is made where there is none. Raises OSError.

    What stands there instead (a link, a pipe, a second name of another file) is put aside.
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
    """A handle of a plain file, opened with these flags; whatever else stands there stays. Raises OSError."""
    directory = open_directory(os.path.dirname(path), levels)
    try:
        return _open_at(directory, os.path.basename(path), flags)
    finally:
        os.close(directory)


def remove(path: str, levels: int = OWN_LEVELS) -> None:
    """Removes a file, or the link itself, that may be gone already; what cannot be removed stays."""
    try:
        directory = open_directory(os.path.dirname(path), levels)
    except OSError:
        return
    try:
        remove_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def remove_at(directory: int, name: str) -> None:
    """What `remove` does, by name in an open directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return


def entries(directory: int, most: int = MAX_NAMES) -> Iterator[os.DirEntry[str]]:
    """The entries of an open directory, `most` of them at most. Raises OSError."""
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
    """Removes half-written files of killed writers from a directory, once they are so many seconds old.

    `names` are beginnings of further names that count as such. `only` are the files that may have been in the making.
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
    """Closes a handle; errors are ignored: it is closed all the same, and what must last was synced before."""
    try:
        os.close(handle)
    except OSError:
        return


def write_all(handle: int, content: bytes, offset: int) -> None:
    """Writes the whole content at this offset. Raises OSError."""
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written
