"""Copy the chosen models of trainings away from a machine that is about to end, and check each copy."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from api.domain.reason import Reason
from api.errors import ArtifactNotFound
from api.files.task_files import task_files
from api.training.output.artifacts import OpenFile, open_artifact, saved_models
from api.training.records.task_queries import ChosenModel
from api.util.files.foreign_files import write_all
from api.util.files.outside_files import sync_directory

_CHUNK = 4 * 1024 * 1024

#: Most hashes that are remembered: those of a copied model and of its copy, for far more models than a machine has.
_MOST_KNOWN = 4096

#: Returns up to so many bytes (the second argument) from an offset (the first).
Read = Callable[[int, int], bytes]


class CopyInterrupted(Exception):
    """The machine must not end now."""


class KnownHashes:
    """The SHA-256 of files that were read, so that the rounds before an end do not read unchanged files again.

    A file is unchanged while its device, inode, size and times are. Not thread-safe.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], bytes], str] = {}

    def hash(self, descriptor: int, read: Read, may_go_on: Callable[[], bool], head: bytes = b"") -> str:
        """Return the SHA-256 of what `read` returns of an open file. `head` is what it returns instead of the header.

        Raises CopyInterrupted when `may_go_on` returns False, and OSError.
        """
        identity = _identify(descriptor)
        key = identity, hashlib.sha256(head).digest()
        known = self._known.get(key)
        if known is not None:
            return known
        sha256 = hashlib.sha256()
        for chunk in _chunks(read, may_go_on):
            sha256.update(chunk)
        if _identify(descriptor) == identity:  # else it was changed meanwhile
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = sha256.hexdigest()
        return sha256.hexdigest()


def _identify(descriptor: int) -> tuple[int, ...]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class ChosenCopies:
    """Copies to `target/<task id>/<name of the download>`. Existing equal copies stay."""

    def __init__(self, models: Callable[[], list[ChosenModel]], root: Path, target: Path | None) -> None:
        """`root` is the STORAGE_ROOT; without a target nothing is copied."""
        self._models = models
        self._root = root
        self._target = target
        self._hashes = KnownHashes()

    def make(self, may_go_on: Callable[[], bool]) -> Reason | None:
        """Copy every chosen model of this storage, and return the first problem.

        `may_go_on` is called often. Raises CopyInterrupted when it returns False, and DatabaseUnavailable.
        """
        if self._target is None:
            return None
        if not self._target.is_dir():
            # Not created: without its mount the copies would be on the disk that disappears.
            return Reason.of(
                "{folder} is not there. Mount or create it, then try again.",
                "copy_folder_missing",
                folder=str(self._target),
            )
        for model in self._models():
            if not Path(model.directory).is_relative_to(self._root):
                continue  # another server has its files
            try:
                self._copy(model, self._target / model.task_id, may_go_on)
            except (OSError, ArtifactNotFound) as error:
                why = str(getattr(error, "strerror", None) or "the file is missing")
                return Reason.of(
                    "The chosen model {model} of {task_id} was not copied to {folder}: {why}. Correct this or choose "
                    "another model, then try again.",
                    "copy_failed",
                    model=model.chosen,
                    task_id=model.task_id,
                    folder=str(self._target),
                    why=why,
                )
        return None

    def _copy(self, model: ChosenModel, folder: Path, may_go_on: Callable[[], bool]) -> None:
        output = task_files(self._root, model.task_id).output
        path = saved_models(output).get(model.chosen)
        if path is None:
            raise ArtifactNotFound
        folder.mkdir(exist_ok=True)
        source = open_artifact(output, path, model.name or model.task_id)
        target = folder / source.name
        try:
            expected = self._hashes.hash(source.descriptor, source.read, may_go_on)
            if not self._is_copy(target, source.size, expected, may_go_on):
                _write(source, target, may_go_on)
                if not self._is_copy(target, source.size, expected, may_go_on):
                    raise OSError(0, "its copy differs from it")
        finally:
            source.close()

    def _is_copy(self, target: Path, size: int, sha256: str, may_go_on: Callable[[], bool]) -> bool:
        """Return whether a file has this content, as it is read from the disk."""
        try:
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if os.fstat(descriptor).st_size != size:
                return False
            read: Read = lambda offset, limit: os.pread(descriptor, limit, offset)  # noqa: E731
            return self._hashes.hash(descriptor, read, may_go_on) == sha256
        finally:
            os.close(descriptor)


def _chunks(read: Read, may_go_on: Callable[[], bool]) -> Iterator[bytes]:
    offset = 0
    while chunk := read(offset, _CHUNK):
        if not may_go_on():
            raise CopyInterrupted
        yield chunk
        offset += len(chunk)


def _write(source: OpenFile, target: Path, may_go_on: Callable[[], bool]) -> None:
    """Write a complete copy under its final name, or none."""
    unfinished = target.with_name(f".{target.name}.new")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o640)
    try:
        try:
            offset = 0
            for chunk in _chunks(source.read, may_go_on):
                write_all(descriptor, chunk, offset)
                offset += len(chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(target)
        sync_directory(target.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
