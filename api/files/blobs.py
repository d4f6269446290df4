"""The blob store: files are stored once under their SHA-256, and never changed.

A new file is written under a temporary name and moved to its own when it is complete. Unneeded files are first moved
to `trash`, from where they are restored on access. They are deleted if nothing needed them for the same time again. A
kill at any point leaves either the file or its absence. An upload of the same bytes during a collection keeps them.
"""

import errno
import fcntl
import gzip
import hashlib
import os
import secrets
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from api.domain.datasets.dataset import Blob
from api.errors import BlobMissing
from api.files.blob_writer import GZIP, MODE, PLAIN, BlobWriter
from api.util.batches import in_batches
from api.util.files.outside_files import sync_directory

#: Bytes that are read and written at once.
_CHUNK = 1024 * 1024

#: Files per batch: for the duration of one batch no other process can add a file.
_BATCH = 500

#: Only the service can enter the directories of the store.
_DIRECTORY_MODE = 0o700

#: Errors of file systems without hard links, with too many links, or of links across file systems.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS)

#: Nanoseconds of a mark per unit of the number at the start of a hash.
_MARK_UNIT = 10**9 // 16

#: Returns those of these hashes that are needed.
FindNeeded = Callable[[Sequence[str]], set[str]]


@dataclass(slots=True)
class Sweep:
    """The result of a sweep: files moved to the trash, restored and deleted, with the deleted bytes."""

    set_aside: int = 0
    restored: int = 0
    removed: int = 0
    removed_bytes: int = 0


def _mark(sha256: str) -> int:
    """Return the modification time, in nanoseconds, that a file with this content gets: any write changes it."""
    return int(sha256[:8], 16) * _MARK_UNIT


class BlobStore:
    """The blobs below one directory. Several processes may use it; each sees a file either complete or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._aside_since: dict[str, float] = {}

    def prepare(self) -> None:
        """Create the directories. Raises OSError."""
        for directory in (self.root, self._incoming, self._blobs, self._trash):
            directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)

    @property
    def _incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def _blobs(self) -> Path:
        return self.root / "sha256"

    @property
    def _trash(self) -> Path:
        return self.root / "trash"

    def identity(self) -> str:
        """Return the id of this store, which identifies it if its directory is replaced. Raises OSError."""
        path = self.root / "store"
        if not path.exists():
            self.prepare()
            own = self.root / f".store.{secrets.token_hex(8)}"
            own.write_text(secrets.token_hex(16))
            with suppress(FileExistsError):  # another server was first
                os.link(own, path)
            own.unlink()
        return path.read_text()

    # -- adding ------------------------------------------------------------------------------------------------------

    def begin(self, *, compresses: bool = False) -> BlobWriter:
        """Start a new file; a compressed one can be read with `lines` only. Raises OSError."""
        self.prepare()
        return BlobWriter(self._incoming / secrets.token_hex(16), self.put, compresses=compresses)

    def adopt(self, path: Path, sha256: str | None = None) -> Blob:
        """Move a complete file of the same file system into the store; no process may write to it any more.

        Raises OSError; ValueError if its content has another hash than this, and leaves the file.
        """
        self.prepare()
        handle = os.open(path, os.O_RDONLY | PLAIN)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "It is not a regular file", str(path))
            found, size = _digest(handle)
            if sha256 is not None and found != sha256:
                raise ValueError(f"its content has the SHA-256 {found}, not {sha256}")
            os.fchmod(handle, MODE)
            os.fsync(handle)
        finally:
            os.close(handle)
        self.put(path, found, size)
        return Blob(found, size)

    def put(self, path: Path, sha256: str, size_bytes: int) -> None:
        """Move a complete file of `incoming` with this content to its name, or delete it if that blob exists."""
        target = self._path_of(sha256)
        os.utime(path, ns=(_mark(sha256), _mark(sha256)))
        with self._lock(fcntl.LOCK_SH):
            if self._touch(sha256) and self._is_intact(target, sha256, size_bytes):
                path.unlink()
                return
            self._make_prefix(target)
            os.rename(path, target)
            sync_directory(target.parent)

    def keep(self, hashes: Iterable[str]) -> list[str]:
        """Protect these files from the next sweeps, as if they were new, and return the missing ones.

        Call it before a version refers to files that nothing else needs yet.
        """
        self.prepare()
        missing: list[str] = []
        for batch in in_batches(list(hashes), _BATCH):
            with self._lock(fcntl.LOCK_SH):
                missing.extend(sha256 for sha256 in batch if not self._touch(sha256))
        return missing

    def _touch(self, sha256: str) -> bool:
        """Renew a file, and take it out of the trash; return False if it is missing."""
        target = self._path_of(sha256)
        try:
            self._renew(target)
        except FileNotFoundError:
            return self._restore(sha256)
        return True

    @staticmethod
    def _renew(target: Path) -> None:
        # Setting the same permissions renews the time of the last status change.
        target.chmod(MODE)

    def _restore(self, sha256: str) -> bool:
        target = self._path_of(sha256)
        self._make_prefix(target)
        try:
            os.rename(self._trash / sha256, target)
        except FileNotFoundError:
            return target.exists()  # another process was first
        self._renew(target)
        return True

    def _make_prefix(self, target: Path) -> None:
        with suppress(FileExistsError):
            target.parent.mkdir(mode=_DIRECTORY_MODE)
            sync_directory(self._blobs)

    # -- reading -------------------------------------------------------------------------------------------------------

    def path(self, sha256: str) -> Path:
        """Return the path of a file, which is read-only. Raises BlobMissing."""
        target = self._path_of(sha256)
        if not target.exists() and self.keep([sha256]):
            raise BlobMissing(f"The file with the SHA-256 {sha256} is missing.", data={"sha256": sha256})
        return target

    def hash_of(self, path: Path) -> str | None:
        """Return the hash of the blob that this hard or symbolic link refers to, or None."""
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                source = Path(os.readlink(path))
                return source.name if source.parent.parent == self._blobs else None
            first = f"{status.st_mtime_ns // _MARK_UNIT:08x}"
            names = [name for name in os.listdir(self._blobs / first[:2]) if name.startswith(first)]
            return next((name for name in names if os.path.samestat((self._path_of(name)).lstat(), status)), None)
        except OSError:
            return None

    def has(self, sha256: str) -> bool:
        """Return whether the file exists."""
        return self._path_of(sha256).exists() or (self._trash / sha256).exists()

    def open(self, sha256: str) -> int:
        """Open a file for reading; the caller must close the descriptor. Raises BlobMissing, OSError."""
        try:
            return os.open(self.path(sha256), os.O_RDONLY | PLAIN)
        except FileNotFoundError:
            raise BlobMissing(f"The file with the SHA-256 {sha256} is missing.", data={"sha256": sha256}) from None

    def lines(self, sha256: str) -> Iterator[bytes]:
        """Yield the lines of a file, which may be compressed. Raises BlobMissing, OSError."""
        with os.fdopen(self.open(sha256), "rb") as file:
            if not file.peek(len(GZIP)).startswith(GZIP):
                yield from file
                return
            try:
                yield from gzip.GzipFile(fileobj=file)
            except (EOFError, zlib.error) as error:
                raise OSError(errno.EIO, f"The stored file {sha256} is damaged ({error})") from error

    def is_intact(self, sha256: str, size_bytes: int) -> bool:
        """Return whether the file exists and is unchanged; its content is only read if its mark is wrong."""
        return self._is_intact(self._path_of(sha256), sha256, size_bytes)

    def _is_intact(self, target: Path, sha256: str, size_bytes: int) -> bool:
        try:
            status = target.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != size_bytes:
            return False
        if status.st_mtime_ns // 10**9 == _mark(sha256) // 10**9:
            return True
        handle = os.open(target, os.O_RDONLY | PLAIN)
        try:
            is_same = _digest(handle)[0] == sha256
        finally:
            os.close(handle)
        if is_same:  # e.g. restored from a backup
            os.utime(target, ns=(_mark(sha256), _mark(sha256)))
        return is_same

    def link_into(self, sha256: str, target: Path, *, may_symlink: bool = True) -> None:
        """Give the file another name elsewhere: a hard link, else a symbolic link, else a copy.

        With `may_symlink` False the reader cannot enter the store, so no symbolic link is made. Raises BlobMissing,
        OSError; FileExistsError.
        """
        source = self.path(sha256)
        try:
            os.link(source, target, follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        if may_symlink:
            target.symlink_to(source)
            return
        with os.fdopen(self.open(sha256), "rb") as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _CHUNK)

    # -- collecting ----------------------------------------------------------------------------------------------------

    def sweep(self, needed: FindNeeded, older_than_seconds: float) -> Sweep:
        """Remove unneeded files: move them to the trash, and delete them in a sweep that is this much later.

        Files that were added or protected within that time stay. Raises OSError.
        """
        self.prepare()
        done = Sweep()
        self._empty_trash(needed, older_than_seconds, done)
        for prefix in sorted(os.listdir(self._blobs)):
            for batch in in_batches(os.listdir(self._blobs / prefix), _BATCH):
                old = [sha256 for sha256 in batch if self._age(sha256) >= older_than_seconds]
                unneeded = set(old) - needed(old) if old else set()
                if unneeded:
                    self._set_aside(unneeded, older_than_seconds, done)
        self._remove_leftovers(older_than_seconds)
        return done

    def _set_aside(self, unneeded: set[str], older_than_seconds: float, done: Sweep) -> None:
        with self._lock(fcntl.LOCK_EX):
            for sha256 in unneeded:
                # Checked again under the lock: a process that needs the file by now has renewed it.
                if self._age(sha256) < older_than_seconds:
                    continue
                with suppress(FileNotFoundError):
                    os.rename(self._path_of(sha256), self._trash / sha256)
                    self._aside_since[sha256] = time.monotonic()
                    done.set_aside += 1

    def _empty_trash(self, needed: FindNeeded, older_than_seconds: float, done: Sweep) -> None:
        for batch in in_batches(os.listdir(self._trash), _BATCH):
            wanted = needed(batch)
            with self._lock(fcntl.LOCK_EX):
                for sha256 in batch:
                    if sha256 in wanted:
                        done.restored += self._restore(sha256)
                    elif self._has_waited(sha256, older_than_seconds):
                        path = self._trash / sha256
                        with suppress(FileNotFoundError):
                            size = path.lstat().st_size
                            path.unlink()
                            done.removed += 1
                            done.removed_bytes += size
                        self._aside_since.pop(sha256, None)

    def _has_waited(self, sha256: str, seconds: float) -> bool:
        # Measured by the monotonic clock; after a restart of the server the time starts again.
        now = time.monotonic()
        return now - self._aside_since.setdefault(sha256, now) >= seconds

    def _remove_leftovers(self, older_than_seconds: float) -> None:
        """Delete what killed writers left; active writers hold a lock on their file."""
        for name in os.listdir(self._incoming):
            path = self._incoming / name
            with suppress(OSError):
                if abs(time.time() - path.lstat().st_mtime) < older_than_seconds:
                    continue
                handle = os.open(path, os.O_RDONLY | PLAIN)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(handle)

    def _age(self, sha256: str) -> float:
        """Return the seconds since the file was added or renewed; a changed clock only causes a wait in the trash."""
        try:
            return abs(time.time() - self._path_of(sha256).lstat().st_ctime)
        except FileNotFoundError:
            return 0.0

    def _path_of(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        """Lock the store: shared to add files, exclusively to move files to the trash."""
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)


def _digest(handle: int) -> tuple[str, int]:
    """Return the SHA-256 and the size of an open file."""
    found, size = hashlib.sha256(), 0
    while part := os.read(handle, _CHUNK):
        found.update(part)
        size += len(part)
    return found.hexdigest(), size
