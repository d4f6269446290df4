"""Link saved models into ComfyUI's LoRA directories: with a readable name, metadata and a preview picture.

The header of each file names its training and saved model. So nothing else is stored, and files of other programs are
never changed or removed.
"""

import errno
import hashlib
import io
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path

from api.domain.finding import REFUSED, make_finding
from api.domain.reason import Reason
from api.errors import (
    CheckpointIncomplete,
    Invalid,
    NoPicture,
    SamplingUnavailable,
    StorageGone,
    TaskNotFound,
    Unavailable,
)
from api.files.task_files import task_files
from api.files.weights.rewriting import RewrittenFile
from api.jobs.sampling.request import ComfyAddress
from api.samples.rendering import require_saved
from api.samples.service import TrainingSamples
from api.samples.views import ComfyLink, ComfyLinkList
from api.training.output.artifacts import saved_models
from api.training.output.training_files import TrainingFiles
from api.util.files.foreign_files import ForeignFile, open_plain
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: How ComfyUI and LoRA managers name the preview of `name.safetensors`.
_PREVIEW = ".preview.png"

#: Longer side of a preview in pixels.
_SIDE = 512

#: Bytes of a file that tell whose it is.
_HEAD_BYTES = 2**16

#: How names of files end that are being written.
_DRAFT = ".part"

_CHUNK = 2**20

#: Seconds after which links that could not be removed are tried again.
_RETRY_SECONDS = 60.0

#: The metadata that tells whose a file is. Quotes in values are escaped, so that no text can pose as a key.
_FACT = re.compile(
    rb'"(diffusion_pipe\.(?:task_id|checkpoint)|sshs_model_hash|ss_training_finished_at|ss_output_name)":"([^"\\]*)"'
)

#: The keyword of a preview's text: the ids of its training and model.
_PREVIEW_KEY = "diffusion_pipe"


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a file says about itself. `content` is its hash, or for large files the time when it was saved."""

    task_id: str
    checkpoint: str
    content: str | None
    name: str

    @staticmethod
    def of(head: bytes) -> "_Identity | None":
        found = {key.decode(): value.decode(errors="replace") for key, value in _FACT.findall(head)}
        task_id, checkpoint = found.get("diffusion_pipe.task_id"), found.get("diffusion_pipe.checkpoint")
        name = found.get("ss_output_name")
        if task_id is None or checkpoint is None or name is None:
            return None
        content = found.get("sshs_model_hash") or found.get("ss_training_finished_at")
        return _Identity(task_id, checkpoint, content, name)

    @property
    def file_name(self) -> str:
        """The name of its link, which neither another training's model nor an earlier save of this one has.

        So a name does not reveal other files in the directory, and ComfyUI, which caches files by name, reads this one.
        """
        digest = hashlib.sha256(f"{self.task_id} {self.checkpoint} {self.content}".encode()).hexdigest()
        return f"{self.name}-{digest[:8]}.safetensors"


class LinkedModels:
    """The links in ComfyUI's directories, and the thread that removes those of deleted models. Thread-safe.

    A directory may be read-only, absent, or on a file server that hangs. So no deletion waits for it.
    """

    def __init__(
        self, addresses: Sequence[ComfyAddress], storage_root: Path, require_storage: Callable[[], None]
    ) -> None:
        """Create it. `addresses` are those of ComfyUI. `require_storage` raises StorageGone."""
        self.addresses = tuple(addresses)
        self.lock = threading.Lock()  #: held while files are placed or removed
        self._storage_root = storage_root
        self._require_storage = require_storage
        self._deleted: dict[str, set[str] | None] = {}  #: deleted models by training; None: all of them
        self._deleted_lock = threading.Lock()
        self._problem: str | None = None  #: the last one that was logged
        self._thread = PeriodicThread("comfyui-links", _RETRY_SECONDS, self.run_once)

    def start(self) -> None:
        """Start the thread, if there is a ComfyUI."""
        if self.addresses:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._thread.stop()

    def remove_soon(self, task_id: str, checkpoints: Iterable[str] | None = None) -> None:
        """Remove the links of models that were deleted; by default all of the training."""
        if not self.addresses:
            return
        with self._deleted_lock:
            known = self._deleted.get(task_id, set())
            self._deleted[task_id] = None if checkpoints is None or known is None else known | set(checkpoints)
        self._thread.trigger()

    def run_once(self) -> None:
        """Remove the links that are due. What fails is tried again."""
        with self._deleted_lock:
            due = dict(self._deleted)
        problem = None
        for task_id, checkpoints in due.items():
            failed = None
            try:
                self._require_storage()
                # A resumed training may have saved a model again.
                saved = saved_models(task_files(self._storage_root, task_id).output)
                for directory in self.directories():
                    try:
                        self._remove_from(directory, task_id, checkpoints, saved)
                    except Unavailable as error:
                        failed = str(error)
            except (OSError, StorageGone) as error:
                failed = str(error)
            problem = problem or failed
            with self._deleted_lock:
                if failed is None and self._deleted[task_id] == checkpoints:
                    del self._deleted[task_id]
        if problem is not None and problem != self._problem:
            logger.warning("links of deleted models stay in ComfyUI's directory", extra={"problem": problem})
        self._problem = problem

    def _remove_from(
        self, directory: Path, task_id: str, checkpoints: Collection[str] | None, saved: Collection[str]
    ) -> None:
        _require_directory(directory)
        with self.lock:
            for path, found in _find_in(directory, task_id):
                if found.checkpoint not in saved and (checkpoints is None or found.checkpoint in checkpoints):
                    _remove_link(path, found)

    def directories(self) -> list[Path]:
        """Return ComfyUI's directories of LoRAs."""
        return list(dict.fromkeys(Path(each.lora_directory) for each in self.addresses))


class ComfyModels:
    """The use cases of `/training/{task_id}/comfyui`. Thread-safe."""

    def __init__(
        self,
        trainings: TrainingFiles,
        samples: TrainingSamples,
        linked: LinkedModels,
        note: Callable[[str, str, str, bool, str], None],
    ) -> None:
        """Create the service.

        `note` records a change: the training, its model, the file's name, whether it is linked, and the actor.
        """
        self._note = note
        self._trainings = trainings
        self._samples = samples
        self.linked = linked
        self._addresses = linked.addresses

    def list(self, task_id: str) -> ComfyLinkList:
        """Return the models of a training that are linked. Raise TaskNotFound, Unavailable."""
        self._trainings.require(task_id)
        links = tuple(self._show(server, path, found) for server, path, found in self._find(task_id))
        return ComfyLinkList(links, tuple(each.url for each in self._addresses), tuple(self._samples.pictured(task_id)))

    def link(self, task_id: str, checkpoint: str, url: str | None, actor: str) -> ComfyLink:
        """Place a saved model and its preview, by default for the first ComfyUI.

        Raise TaskNotFound, CheckpointNotFound, CheckpointIncomplete, SamplingUnavailable, Invalid, DecoderBusy,
        Unavailable.
        """
        server = self._choose(url)
        self._trainings.require(task_id)
        saved = saved_models(self._samples.output_of(task_id))
        require_saved(task_id, saved, [checkpoint])
        file = self._trainings.open_artifact(task_id, saved[checkpoint])
        try:
            mine = _Identity.of(file.head[:_HEAD_BYTES]) if isinstance(file, RewrittenFile) else None
            if mine is None or not isinstance(file, RewrittenFile):
                raise CheckpointIncomplete(f"{checkpoint} is not complete. Wait until the trainer has written it.")
            preview = self._draw(task_id, checkpoint)
            target = Path(server.lora_directory) / mine.file_name
            with self.linked.lock:
                is_new = _identify(target) != mine
                if is_new:
                    _write_new(target, lambda at: file.read(at, _CHUNK))
                self._place_preview(preview, target, task_id, checkpoint)
        except OSError as error:
            raise Unavailable(
                f"{checkpoint} cannot be placed in {server.lora_directory} ({error.strerror}): correct COMFYUI_LORAS,"
                " its rights or its free space."
            ) from error
        finally:
            file.close()
        if is_new:
            try:
                self._note(task_id, checkpoint, target.name, True, actor)
            except TaskNotFound:
                self.linked.remove_soon(task_id)
                raise
        return self._show(server, target, mine)

    def unlink(self, task_id: str, checkpoint: str, actor: str) -> ComfyLinkList:
        """Remove a model with its preview from every directory; return the rest. Raise TaskNotFound, Unavailable."""
        self._trainings.require(task_id)
        with self.linked.lock:
            for _, path, found in self._find(task_id):
                if found.checkpoint == checkpoint:
                    _remove_link(path, found)
                    self._note(task_id, checkpoint, path.name, False, actor)
        for directory in self.linked.directories():
            # The file is still there if its directory is not mounted.
            _require_directory(directory)
        return self.list(task_id)

    def draw_preview(self, task_id: str, checkpoint: str) -> tuple[str, bytes]:
        """Return the preview of a saved model with its file name.

        Raise TaskNotFound, CheckpointNotFound, NoPicture, DecoderBusy.
        """
        self._trainings.require(task_id)
        saved = saved_models(self._samples.output_of(task_id))
        require_saved(task_id, saved, [checkpoint])
        content = self._draw(task_id, checkpoint)
        if content is None:
            raise NoPicture(f"There is no picture of {checkpoint}: render samples of it first.")
        file = self._trainings.open_artifact(task_id, saved[checkpoint], is_raw=True)
        file.close()
        return _preview_of(Path(file.name)).name, content

    def _choose(self, url: str | None) -> ComfyAddress:
        if not self._addresses:
            raise SamplingUnavailable
        if url is None:
            return self._addresses[0]
        found = next((each for each in self._addresses if each.url.rstrip("/") == url.rstrip("/")), None)
        if found is None:
            urls = ", ".join(each.url for each in self._addresses)
            why = Reason.of("COMFYUI_URL has only {urls}", "no_such_comfyui", urls=urls)
            raise Invalid(mistakes=[make_finding("/url", REFUSED, why=why)])
        return found

    def _draw(self, task_id: str, checkpoint: str) -> bytes | None:
        """Return the preview of a model: its best rated sample. None: it has none. Raise DecoderBusy."""
        for sample, _ in self._samples.best(task_id, checkpoint, 1):
            with suppress(NoPicture):
                return _as_png(self._samples.draw(sample, _SIDE), task_id, checkpoint)
        return None

    def _place_preview(self, content: bytes | None, target: Path, task_id: str, checkpoint: str) -> None:
        """Write the preview, also over an earlier one of this model. A file of others stays. Raise OSError."""
        path = _preview_of(target)
        if content is None:
            return
        if _is_preview(path, task_id, checkpoint):
            path.unlink()
        with suppress(FileExistsError):
            _write_new(path, lambda at: content[at : at + _CHUNK])

    def _find(self, task_id: str) -> Iterator[tuple[ComfyAddress, Path, _Identity]]:
        for server in {each.lora_directory: each for each in reversed(self._addresses)}.values():
            yield from ((server, *each) for each in _find_in(Path(server.lora_directory), task_id))

    def _show(self, server: ComfyAddress, path: Path, found: _Identity) -> ComfyLink:
        preview = _preview_of(path)
        has_preview = _is_preview(preview, found.task_id, found.checkpoint)
        return ComfyLink(found.checkpoint, path.name, preview.name if has_preview else None, server.url)


@contextmanager
def _as_unavailable(path: Path) -> Iterator[None]:
    """Turn an OSError into Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path} cannot be used ({error.strerror}): correct COMFYUI_LORAS or its rights.") from error


def _require_directory(directory: Path) -> None:
    """Raise Unavailable if the directory cannot be read: all its files may still be there."""
    with _as_unavailable(directory):
        os.scandir(directory).close()


def _remove_link(path: Path, found: _Identity) -> None:
    """Remove a linked model and its preview. Raise Unavailable."""
    preview = _preview_of(path)
    with _as_unavailable(path):
        if _is_preview(preview, found.task_id, found.checkpoint):
            preview.unlink()
        path.unlink()


def _find_in(directory: Path, task_id: str) -> list[tuple[Path, _Identity]]:
    """Return the linked models of a training in one directory. Raise Unavailable."""
    with _as_unavailable(directory):
        paths = sorted(directory.glob("[!.]*.safetensors"))
        # A file with another name is a copy that a user has made.
    known = [(path, found) for path in paths if (found := _identify(path)) and found.file_name == path.name]
    return [each for each in known if each[1].task_id == task_id]


def _preview_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".safetensors") + _PREVIEW)


def _read_head(path: Path) -> bytes:
    """Return the beginning of a file, empty if it is missing or no plain one. Raise OSError."""
    try:
        handle = open_plain(str(path), 0)
    except (FileNotFoundError, ForeignFile):
        return b""
    try:
        return os.pread(handle, _HEAD_BYTES, 0)
    finally:
        os.close(handle)


def _identify(path: Path) -> _Identity | None:
    """Return the identity in a file's header, or None if this service did not create the file. Raise OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return _read_identity(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=5000)
def _read_identity(path: Path, inode: int, size: int, written_at: int) -> _Identity | None:
    # Pages ask again and again, and directories hold hundreds of LoRAs.
    return _Identity.of(_read_head(path))


def _is_preview(path: Path, task_id: str, checkpoint: str) -> bool:
    """Return whether this service made the picture for this model. Raise OSError."""
    return f"{_PREVIEW_KEY}\0{task_id} {checkpoint}".encode() in _read_head(path)


def _as_png(picture: bytes, task_id: str, checkpoint: str) -> bytes:
    # It takes memory, and most servers never need it.
    from PIL import Image  # noqa: PLC0415
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415

    facts, content = PngInfo(), io.BytesIO()
    facts.add_text(_PREVIEW_KEY, f"{task_id} {checkpoint}")
    with Image.open(io.BytesIO(picture), formats=("JPEG",)) as opened:
        opened.save(content, "PNG", pnginfo=facts)
    return content.getvalue()


def _write_new(target: Path, read: Callable[[int], bytes]) -> None:
    """Write a file that appears when it is complete, and replaces none. Raise FileExistsError, OSError."""
    # What a killed server left.
    for old in target.parent.glob(f".{escape(target.name)}.*{_DRAFT}"):
        old.unlink(missing_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_DRAFT}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as copy:
            # ComfyUI may run as another user.
            os.fchmod(copy.fileno(), 0o644)
            while part := read(copy.tell()):
                copy.write(part)
            copy.flush()
            os.fsync(copy.fileno())
        _link_or_rename(draft, target)
    finally:
        with suppress(OSError):
            draft.unlink()


def _link_or_rename(draft: Path, target: Path) -> None:
    try:
        # A link, not a rename, because it does not replace a file that appeared in the meantime.
        os.link(draft, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # File systems without hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        draft.rename(target)
