"""The bytes of uploads: a file each, appended to by who holds its lock. Its length is how far the upload is.

The lock is the kernel's, so that no death of a writer leaves it behind, and it holds between processes on one storage.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from api.errors import UploadConflict, UploadNotFound
from api.files.blob_writer import PLAIN
from api.util.durable import sync_directory

#: Beside an upload's file: how long it was before bytes came whose checksum is not known to be right yet.
_UNCHECKED = ".unchecked"

#: In the name of what is unpacked of an upload.
_UNPACKED = ".unpacked."

#: In the second name of a file that is about to be moved away.
_TWIN = ".twin."


class UploadFiles:
    """The files of the uploads of one store. Ids are this service's own, never a client's words."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Makes the directory. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, upload_id: str) -> None:
        """Makes the empty file of an upload, durably. Raises OSError."""
        self.prepare()
        os.close(os.open(self.path(upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600))
        sync_directory(self._root)

    def path(self, upload_id: str) -> Path:
        """Where the bytes of an upload lie."""
        return self._root / upload_id

    def open(self, upload_id: str) -> "UploadFile":
        """The file of an upload, held by nobody else. Raises UploadNotFound, UploadConflict, OSError."""
        path = self.path(upload_id)
        try:
            handle = _open(path)
        except FileNotFoundError:
            raise UploadNotFound from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink == 0:
                raise UploadNotFound
        except BlockingIOError:
            os.close(handle)
            raise UploadConflict(
                "Another request writes this upload at present: wait for it, or end it.", headers={"Retry-After": "1"}
            ) from None
        except BaseException:
            os.close(handle)
            raise
        return UploadFile(path, handle)

    def offset(self, upload_id: str) -> int:
        """Bytes of an upload that are on disk, and not in doubt. Raises UploadNotFound, OSError."""
        path = self.path(upload_id)
        try:
            handle = os.open(path, os.O_RDONLY | PLAIN)
        except FileNotFoundError:
            raise UploadNotFound from None
        try:
            size = os.fstat(handle).st_size
            os.fdatasync(handle)
        finally:
            os.close(handle)
        checked = _read_mark(path)
        return size if checked is None else min(size, checked)

    def remove(self, upload_id: str) -> None:
        """Removes the bytes of an upload, and what was unpacked of it. Raises UploadConflict, OSError."""
        with suppress(UploadNotFound), self.open(upload_id) as file:
            file.remove()
        self.remove_unpacked(upload_id)

    def new_unpacked(self, upload_id: str) -> Path:
        """A new name for a directory in which an upload can be unpacked."""
        return self._root / f"{upload_id}{_UNPACKED}{secrets.token_hex(8)}"

    def twin_of(self, path: Path) -> Path:
        """A second name for a file of these, which may be moved elsewhere. Raises OSError."""
        place = path if path.parent == self._root else path.parent
        twin = self._root / f"{place.name.partition('.')[0]}{_TWIN}{secrets.token_hex(8)}"
        os.link(path, twin, follow_symlinks=False)
        return twin

    def remove_unpacked(self, upload_id: str) -> None:
        """Removes what was unpacked of an upload, also by a process that was killed."""
        for path in self._root.glob(f"{upload_id}{_UNPACKED}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self._root.glob(f"{upload_id}{_TWIN}*"):
            path.unlink(missing_ok=True)

    def ids(self) -> Iterator[str]:
        """The ids of the uploads that have files here."""
        with suppress(FileNotFoundError), os.scandir(self._root) as found:
            yield from {entry.name.partition(".")[0] for entry in found}

    def age(self, upload_id: str, now: float) -> float:
        """Seconds since the file of an upload was written last, by the wall clock; 0 when there is none."""
        try:
            return now - self.path(upload_id).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def missing_bytes(self, sizes: Mapping[str, int]) -> int:
        """Bytes that are still to come of uploads of these sizes, by id."""
        missing = 0
        for upload_id, size in sizes.items():
            with suppress(FileNotFoundError):
                missing += max(0, size - self.path(upload_id).stat(follow_symlinks=False).st_size)
        return missing

    def free_bytes(self) -> int:
        """Bytes that are free on the disk. Raises OSError."""
        found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize


class UploadFile:
    """The file of one upload, held. Leaving its `with` block lets go of it."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        mark = _read_mark(path)
        if mark is not None:
            # Its last writer was killed before it knew whether these bytes are right.
            self.cut(mark)
        self.offset = os.fstat(handle).st_size

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Writes at the end. Raises OSError; what was written until then stays."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._handle, rest, self.offset)
            self.offset += written
            rest = rest[written:]

    def cut(self, offset: int) -> None:
        """Takes the bytes from this one on away again, and with them the doubt about them. Raises OSError."""
        os.ftruncate(self._handle, offset)
        os.fdatasync(self._handle)
        self.offset = offset
        self.confirm()

    def doubt(self) -> None:
        """Whatever is appended from now on counts only once it is confirmed. Raises OSError."""
        mark = _mark_of(self._path)
        temporary = mark.with_name(f"{mark.name}.{secrets.token_hex(8)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
        try:
            os.write(handle, str(self.offset).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, mark)
        sync_directory(mark.parent)

    def confirm(self) -> None:
        """What was appended counts, once it is on disk. Raises OSError."""
        with suppress(FileNotFoundError):
            _mark_of(self._path).unlink()
            sync_directory(self._path.parent)

    def sync(self) -> None:
        """Waits until the bytes are on disk. Raises OSError."""
        os.fdatasync(self._handle)

    def head(self, size: int) -> bytes:
        """The first bytes. Raises OSError."""
        return os.pread(self._handle, size, 0)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def remove(self) -> None:
        """Removes the file. Raises OSError."""
        self._path.unlink(missing_ok=True)
        self.confirm()

    def close(self) -> None:
        """Lets go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "UploadFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | PLAIN)
    except PermissionError:
        # It was about to become a blob when its server was killed: nobody writes to it any more.
        return os.open(path, os.O_RDONLY | PLAIN)


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + _UNCHECKED)


def _read_mark(path: Path) -> int | None:
    try:
        return int(_mark_of(path).read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise OSError(errno.EIO, "The mark beside an upload cannot be read", str(path)) from None
