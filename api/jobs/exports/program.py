"""The program that makes a saved model of a checkpoint: `python -m api.jobs.exports.program`.

It writes a hidden directory beside the checkpoints and renames it when it is complete.
"""

import errno
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.files.weights.torch_archive import UnreadableArchive
from api.jobs.errors import JobFailed
from api.jobs.exports.request import MARK, ExportRequest
from api.jobs.kinds import EXPORT_JOB, REQUEST_FILE
from api.jobs.messages import report_progress
from api.jobs.program import JobProgram, main
from api.trainers.diffusion_pipe.models import checkpoint_adapter
from api.trainers.diffusion_pipe.models.adapter_layers import UnknownLayers
from api.trainers.protocol.checkpoints import SAVED_MODEL
from api.trainers.toy import toy_export
from api.util.files.foreign_files import ForeignFile, open_directory, open_plain_at, read
from api.util.files.foreign_trees import list_names, remove_tree_at

_MB = 2**20

#: Progress between two reports.
_REPORT_PERCENT = 2.0

#: Address space of the program. A checkpoint is untrusted: a small pickle can demand any amount of memory.
_MOST_MEMORY = 4 * 2**30

#: Seconds of computing for opening a checkpoint, which takes one: a small pickle can also demand any amount of time.
_MOST_OPENING_SECONDS = 60.0

_MOST_HEADER_BYTES = 8 * _MB

_CONFIG = "adapter_config.json"
_MOST_CONFIG_BYTES = _MB


class Maker(Protocol):
    """Makes the saved model of one checkpoint."""

    names: frozenset[str]  #: of its tensors
    total_bytes: int

    def parts(self) -> Iterator[bytes]:
        """Return the file of the weights in parts."""

    def config(self) -> dict[str, Any] | None:
        """Return the content of `adapter_config.json`, or None if there is none."""


_MAKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Maker]] = {
    checkpoint_adapter.MAKER: checkpoint_adapter.CheckpointAdapter,
    toy_export.MAKER: toy_export.ToyExport,
}


class ExportProgram(JobProgram):
    """One run of an export."""

    kind = EXPORT_JOB
    umask = 0o007  #: the trainer, perhaps of another user in the same group, may replace the files

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        self._request = ExportRequest.from_json(json.loads((work / REQUEST_FILE).read_bytes()))
        self._target_dir = Path(self._request.run_dir)
        self._file_name = str(self._request.options["file_name"])
        #: Of this task, so that a second run removes what the first has left.
        self._draft = f".{work.parent.name}.unfinished"

    def execute(self) -> None:
        """Write the saved model. Raises JobFailed, StopRequested, OSError."""
        try:
            directory = open_directory(self._request.run_dir)
        except OSError as error:
            raise self._gone() from error
        try:
            remove_tree_at(directory, self._draft)
            maker = self._open_checkpoint()
            earlier = self._find_earlier(maker)
            os.mkdir(self._draft, 0o770, dir_fd=directory)
            draft = os.open(self._draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            try:
                self._write_all(draft, maker, earlier)
                self.stop_if_requested()
                self._put(directory, draft)
            finally:
                os.close(draft)
        finally:
            remove_tree_at(directory, self._draft)
            os.close(directory)

    def _open_checkpoint(self) -> Maker:
        make = _MAKERS[self._request.options["maker"]]
        try:
            with _limited_time():
                return make(self._target_dir / self._request.checkpoint, self._request.options)
        except FileNotFoundError as error:
            raise self._gone() from error
        except ForeignFile as error:
            raise self._unreadable(str(error.strerror)) from error
        except (UnknownLayers, UnreadableArchive, ValueError, MemoryError) as error:
            raise self._unreadable(str(error) or "it needs too much memory") from error

    def _gone(self) -> JobFailed:
        return JobFailed(
            Reason.of(
                "{checkpoint} was deleted in the meantime. Choose another checkpoint.",
                "export_gone",
                checkpoint=self._request.checkpoint,
            ),
            CauseCode.MISSING_FILE,
        )

    def _unreadable(self, why: str) -> JobFailed:
        return JobFailed(
            Reason.of(
                "No LoRA can be made of {checkpoint}: {why}. Let the trainer make it, which takes its GPUs and one "
                'more step: "method": "resume".',
                "export_unreadable",
                checkpoint=self._request.checkpoint,
                why=why,
            ),
            CauseCode.REFUSED_FILE,
        )

    def _find_earlier(self, maker: Maker) -> Path | None:
        """Return a model that the trainer saved in this run, or None. Raise JobFailed if its names differ."""
        for name in sorted(filter(SAVED_MODEL.fullmatch, list_names(self._request.run_dir)[0])):
            found = None
            with suppress(OSError, ValueError, RecursionError):
                found = _read_names(self._target_dir / name / self._file_name)
            if found is None:
                continue
            if found != maker.names:
                raise self._unreadable(f"its tensors would have other names than those of {name}")
            return self._target_dir / name
        return None

    def _write_all(self, draft: int, maker: Maker, earlier: Path | None) -> None:
        _write(draft, MARK, [json.dumps(self._request.mark()).encode()])
        config = self._adapter_config(maker, earlier)
        if config is not None:
            _write(draft, _CONFIG, [config])
        if self._request.config is not None:
            with suppress(FileNotFoundError):
                _write(draft, os.path.basename(self._request.config), [read(self._request.config)])
        _write(draft, self._file_name, self._watched(maker))

    def _adapter_config(self, maker: Maker, earlier: Path | None) -> bytes | None:
        made = maker.config()
        if made is None:
            return None
        if earlier is not None:
            with suppress(OSError):
                return read(str(earlier / _CONFIG), _MOST_CONFIG_BYTES, levels=4)
        return json.dumps(made, indent=2).encode()

    def _watched(self, maker: Maker) -> Iterator[bytes]:
        total, done, reported = -(-maker.total_bytes // _MB), 0, -_REPORT_PERCENT
        for part in self._read_parts(maker):
            self.stop_if_requested()
            yield part
            done += len(part)
            percent = 100.0 * done / maker.total_bytes
            if percent >= reported + _REPORT_PERCENT or done == maker.total_bytes:
                reported = percent
                report_progress("MB", -(-done // _MB), total, percent, None)

    def _read_parts(self, maker: Maker) -> Iterator[bytes]:
        try:
            yield from maker.parts()
        except (UnreadableArchive, MemoryError) as error:
            raise self._unreadable(str(error) or "it needs too much memory") from error

    def _put(self, directory: int, draft: int) -> None:
        """Rename the complete directory. Replace the files of an older export, the weights last."""
        target = self._request.target
        try:
            os.rename(self._draft, target, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            with closing(self._open_target(directory)) as existing:
                names = [name for name in os.listdir(draft) if name != self._file_name]
                for name in (*names, self._file_name):
                    os.replace(name, name, src_dir_fd=draft, dst_dir_fd=existing.handle)
        os.fsync(directory)

    def _open_target(self, directory: int) -> "_Directory":
        target = self._request.target
        try:
            return _Directory(directory, target)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise self._unreadable(f"{target} is in the way, which is no directory; rename it") from error


@contextmanager
def _limited_time() -> Iterator[None]:
    """End the process by SIGVTALRM if it computes too long. No Python code could interrupt the reader of pickles.

    `JobTrainer.diagnose` explains this end.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, _MOST_OPENING_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class _Directory:
    """An open directory in another."""

    def __init__(self, parent: int, name: str) -> None:
        self.handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)

    def close(self) -> None:
        os.close(self.handle)


def _write(directory: int, name: str, parts: Iterable[bytes]) -> None:
    """Write a new file and its bytes to the disk."""
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o660, dir_fd=directory)
    with open(handle, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _read_names(path: Path) -> frozenset[str]:
    """Return the names of a saved model's tensors. Raises OSError, ValueError."""
    directory = open_directory(str(path.parent), levels=4)
    try:
        with open(open_plain_at(directory, path.name), "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MOST_HEADER_BYTES:
                raise ValueError(size)
            found = json.loads(file.read(size))
    finally:
        os.close(directory)
    if not isinstance(found, dict):
        raise ValueError("its header is no object")
    return frozenset(found) - {"__metadata__"}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    sys.exit(main(ExportProgram, __doc__))
