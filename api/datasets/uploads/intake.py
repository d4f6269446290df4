"""Turn received uploads into dataset versions: items together, archives one by one.

Several servers may do this on one storage. The server that holds the lock of an upload's file processes it and records
the result in the database. After a kill at any point the upload is processed again, and nothing is added twice.
"""

import logging
import resource
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from api.datasets.items.joining import Joined, Joining
from api.datasets.items.tree import (
    FileTree,
    TreeFile,
    sort_files,
    stem_of,
    without_common_directory,
    without_export_directory,
)
from api.datasets.records.upload_store import UploadStore
from api.datasets.uploads.service import FINISHED, UploadService
from api.datasets.uploads.turns import OwnerTurns
from api.datasets.versions.reimport import with_exported_names
from api.domain.datasets.upload import (
    BatchState,
    IntakeProgress,
    Upload,
    UploadKind,
    UploadProblem,
    UploadResult,
    UploadStatus,
)
from api.errors import ArchiveRefused, DatabaseUnavailable, ServiceError, Unavailable, UploadConflict, UploadNotFound
from api.files.archives.expander import Expander
from api.files.archives.limits import BadArchive
from api.files.upload_files import UploadFile, UploadFiles
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two checks for received uploads that sent no notification, and between two clean-ups.
CHECK_SECONDS = 5.0
TIDY_SECONDS = 60.0

#: Uploads of items that become one version together; the second number is the limit for a batch (open files).
_GROUP_SIZE, _MAX_GROUP_SIZE = 200, 5_000

#: Seconds that items wait together for files which are still locked by the requests that have just completed them.
_HANDOVER_SECONDS, _LOOK_SECONDS = 1.0, 0.01

#: Archives that are unpacked in parallel, each of a different owner.
_ARCHIVES_AT_ONCE = 2

#: Seconds before a failure that is not the upload's fault is retried: first pause, and longest pause.
_PAUSE_SECONDS, _LONGEST_PAUSE = 5.0, 600.0

#: Time for which a failure that is not the upload's fault is retried before the upload fails.
_RETRY_TIME = timedelta(hours=24)

_INTERNAL_ERROR = UploadProblem(ServiceError.code, ServiceError.message)

#: Number of example paths that a result lists.
_EXAMPLES = 20


@dataclass(slots=True)
class _Pause:
    seconds: float
    ends_at: float


class UploadProcessor:
    """The loops of one server that process received uploads."""

    def __init__(
        self,
        uploads: UploadService,
        store: UploadStore,
        files: UploadFiles,
        joining: Joining,
        expander: Expander,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._files = files
        self._joining = joining
        self._expander = expander
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}
        self.progress: dict[str, IntakeProgress] = {}  #: by upload id
        self._items = PeriodicThread("upload-items", CHECK_SECONDS, _tolerate_outage(self.process_items))
        self._archives = tuple(
            PeriodicThread(f"upload-archives-{number}", CHECK_SECONDS, _tolerate_outage(self.process_archives))
            for number in range(1, 1 + _ARCHIVES_AT_ONCE)
        )
        self._turns = {kind: OwnerTurns() for kind in UploadKind}
        self._tidying = PeriodicThread("upload-tidy", TIDY_SECONDS, _tolerate_outage(uploads.tidy))
        self._models = PeriodicThread("upload-models", CHECK_SECONDS, _tolerate_outage(self.process_models))
        self._follow_up: Callable[[Upload, Joined], None] = lambda upload, joined: None
        self._others: dict[UploadKind, Callable[[Upload, Path], UploadResult]] = {}
        uploads.on_received(self.wake)

    def set_follow_up(self, follow_up: Callable[[Upload, Joined], None]) -> None:
        """Call `follow_up` for each upload after a version contains it and before that is recorded.

        It may be called more than once for the same upload.
        """
        self._follow_up = follow_up

    def set_handler(self, kind: UploadKind, process: Callable[[Upload, Path], UploadResult]) -> None:
        """Process uploads of this kind with `process`, which may be called more than once for the same upload."""
        self._others[kind] = process

    def start(self) -> None:
        """Start the loops."""
        for thread in (self._items, *self._archives, self._models, self._tidying):
            thread.start()

    def stop(self) -> None:
        """Stop the loops; work in progress starts again from the beginning with the next start."""
        for thread in (self._tidying, self._models, *self._archives, self._items):
            thread.stop(timeout=0.5)

    def wake(self) -> None:
        """Check for received uploads now."""
        for thread in (self._items, *self._archives, self._models):
            thread.trigger()

    def process_items(self) -> None:
        """Process received single files, those for one dataset together, and each complete batch."""
        self._process_single_items()
        for batch in self._store.batches():
            if batch.is_ready(self._clock.now()):
                self._process_group(self._waiting(UploadKind.ITEM, batch))
                self._process_single_items()

    def _process_single_items(self) -> None:
        found = self._waiting(UploadKind.ITEM)
        for _, group in groupby(sorted(found, key=_target), key=_target):
            self._process_group(list(group))
        if len(found) == _GROUP_SIZE:
            self._items.trigger()

    def process_archives(self) -> None:
        """Process received archives, owner by owner; several threads do this in parallel."""
        self._process_in_turns(UploadKind.ARCHIVE, self._process_archive)

    def process_models(self) -> None:
        """Process received models and their samples."""
        for kind, process in self._others.items():
            self._process_in_turns(kind, partial(self._process_other, process=process))

    def _process_in_turns(self, kind: UploadKind, process: Callable[[Upload], None]) -> None:
        def find(tried: Collection[str]) -> list[Upload]:
            now = self._clock.monotonic()
            paused = [upload_id for upload_id, pause in list(self._pauses.items()) if pause.ends_at > now]
            return self._store.first_of_each_owner(kind, [*tried, *paused[:_MAX_GROUP_SIZE]])

        if not self._turns[kind].process_all(find, process):
            self.wake()

    def _process_other(self, upload: Upload, process: Callable[[Upload, Path], UploadResult]) -> None:
        with self._locking([upload]) as locked, self._recording_problems(locked, splits=False):
            for each in locked:
                self.progress[upload.upload_id] = IntakeProgress("adding")
                self._complete(each, process(each.upload, each.file.path))

    def _waiting(self, kind: UploadKind, batch: BatchState | None = None) -> list[Upload]:
        now, pauses = self._clock.monotonic(), self._pauses
        most = (
            _GROUP_SIZE if batch is None else min(_MAX_GROUP_SIZE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        )
        found = self._store.oldest(UploadStatus.RECEIVED, most, kind, batch)
        return [each for each in found if each.upload_id not in pauses or pauses[each.upload_id].ends_at <= now]

    # -- items -------------------------------------------------------------------------------------------------------

    def _process_group(self, group: Sequence[Upload]) -> None:
        with (
            self._locking(group, _HANDOVER_SECONDS) as locked,
            self._recording_problems(locked, splits=len(locked) > 1) as failed,
        ):
            invalid: dict[str, BadArchive] = {}
            tree = sort_files([_as_file(each) for each in locked], partial(_record_invalid_caption, invalid))
            for each in locked:
                if (error := invalid.get(_path_of(each.upload))) is not None:
                    self._fail(each, _problem_of(error, [each]))
            accepted = [each for each in locked if _path_of(each.upload) not in invalid]
            if accepted:
                for each in accepted:
                    _apply_prompt(tree, each.upload, [_path_of(each.upload)])
                joined = self._joining.join(tree, accepted[0].upload, self._progress_reporter(accepted))
                for each in accepted:
                    self._follow_up(each.upload, _share_of(each.upload, joined, is_alone=len(accepted) == 1))
                    self._complete(each, _result_of_item(each.upload, joined))
        if failed and len(group) > 1:
            # One of them is invalid and must not fail the others, so try each half. Captions follow their media.
            ordered = sorted(group, key=lambda upload: _path_of(upload).lower().endswith((".txt", ".json", ".jsonl")))
            self._process_group(ordered[: len(ordered) // 2])
            self._process_group(ordered[len(ordered) // 2 :])

    # -- archives ----------------------------------------------------------------------------------------------------

    def _process_archive(self, upload: Upload) -> None:
        with self._locking([upload]) as locked, self._recording_problems(locked, splits=False):
            for each in locked:
                self._files.remove_unpacked(upload.upload_id)
                try:
                    joined = self._join_archive(each)
                finally:
                    self._files.remove_unpacked(upload.upload_id)
                self._follow_up(each.upload, joined)
                self._complete(each, _result_of(joined))

    def _join_archive(self, locked: "_LockedUpload") -> Joined:
        upload_id = locked.upload.upload_id
        progress = self.progress[upload_id] = IntakeProgress("unpacking")

        def report(entries: int, written: int) -> None:
            progress.done = entries

        directory = self._files.new_unpacked(upload_id)
        listed = self._expander.expand(locked.file.path, directory, report)
        files = [TreeFile(each.name, directory / each.file, each.size_bytes) for each in listed]
        exported = with_exported_names(without_export_directory(without_common_directory(files)))
        tree = sort_files(exported.files)
        exported.restore_captions(tree)
        _apply_prompt(tree, locked.upload, [each.path for each in tree.pictures if tree.caption_of(each.path) is None])
        return self._joining.join(tree, locked.upload, self._progress_reporter([locked]))

    # -- locking and results -----------------------------------------------------------------------------------------

    def _progress_reporter(self, locked: Sequence["_LockedUpload"]) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            for each in locked:
                self.progress[each.upload.upload_id] = IntakeProgress("adding", done, total)

        return report

    @contextmanager
    def _locking(self, group: Sequence[Upload], patience_seconds: float = 0.0) -> Iterator[list["_LockedUpload"]]:
        """Open and lock those uploads that still wait and that no other server processes.

        `patience_seconds` is for all of them together.
        """
        locked: list[_LockedUpload] = []
        ends_at = time.monotonic() + patience_seconds
        with ExitStack() as stack:
            for upload in group:
                with suppress(UploadConflict, UploadNotFound):
                    file = stack.enter_context(self._open(upload.upload_id, ends_at))
                    if self._store.get(upload.upload_id).status is UploadStatus.RECEIVED:
                        locked.append(_LockedUpload(upload, file))
            yield locked
        for upload in group:
            self.progress.pop(upload.upload_id, None)

    def _open(self, upload_id: str, ends_at: float) -> UploadFile:
        """Open and lock an upload, which may take until a monotonic time. Raises UploadConflict, UploadNotFound."""
        while time.monotonic() < ends_at:
            with suppress(UploadConflict):
                return self._files.open(upload_id)
            time.sleep(_LOOK_SECONDS)
        return self._files.open(upload_id)

    @contextmanager
    def _recording_problems(self, locked: Sequence["_LockedUpload"], *, splits: bool) -> Iterator[list[UploadProblem]]:
        """Record problems of uploads, and postpone uploads when the problem is this service's.

        With `splits` the first problem is only passed to the caller, who retries with fewer uploads.
        """
        failed: list[UploadProblem] = []
        try:
            yield failed
        except BadArchive as error:
            failed.append(_problem_of(error, locked))
        except ServiceError as error:
            if error.status < 500:
                failed.append(UploadProblem(error.code, error.detail))
            else:
                self._postpone(locked, error.code, error.detail)
        except OSError as error:
            self._postpone(locked, Unavailable.code, f"The storage cannot be read or written ({error.strerror}).")
        except Exception:
            # An unexpected error of one upload must not block the uploads behind it.
            extra = {"uploads": [each.upload.upload_id for each in locked]}
            logger.exception("upload failed unexpectedly", extra=extra)
            if splits:
                failed.append(_INTERNAL_ERROR)
            else:
                self._postpone(locked, _INTERNAL_ERROR.code, _INTERNAL_ERROR.message)
        if failed and not splits:
            for each in locked:
                self._fail(each, failed[0])

    def _postpone(self, locked: Sequence["_LockedUpload"], code: str, why: str) -> None:
        for each in locked:
            upload_id = each.upload.upload_id
            if self._clock.steady.now() - each.upload.updated_at > _RETRY_TIME:
                self._fail(each, UploadProblem(code, why))
                continue
            before = self._pauses.get(upload_id)
            seconds = _PAUSE_SECONDS if before is None else min(2 * before.seconds, _LONGEST_PAUSE)
            self._pauses[upload_id] = _Pause(seconds, self._clock.monotonic() + seconds)
            extra = {"upload_id": upload_id, "problem": why, "retry_in_seconds": seconds}
            logger.warning("upload postponed", extra=extra)

    def _complete(self, locked: "_LockedUpload", result: UploadResult) -> None:
        now = self._clock.now()
        self._store.complete(locked.upload.upload_id, now, self._clock.steady.now() + FINISHED, result)
        self._forget(locked)
        logger.info(
            "upload processed",
            extra={"upload_id": locked.upload.upload_id, "dataset": result.dataset, "model": result.model},
        )

    def _fail(self, locked: "_LockedUpload", problem: UploadProblem) -> None:
        now = self._clock.now()
        self._store.fail(locked.upload.upload_id, now, self._clock.steady.now() + FINISHED, problem)
        self._forget(locked)
        logger.info("upload rejected", extra={"upload_id": locked.upload.upload_id, "problem": problem.code})

    def _forget(self, locked: "_LockedUpload") -> None:
        locked.file.remove()
        self._pauses.pop(locked.upload.upload_id, None)


@dataclass(frozen=True, slots=True)
class _LockedUpload:
    """An upload whose file this server has locked."""

    upload: Upload
    file: UploadFile


def _tolerate_outage(body: Callable[[], None]) -> Callable[[], None]:
    """Wrap a loop body so that an unavailable database is logged and not raised: the next round tries again."""

    def run() -> None:
        try:
            body()
        except DatabaseUnavailable as error:
            logger.debug("uploads wait: the database is unavailable", extra={"problem": error.detail})

    return run


def _record_invalid_caption(invalid: dict[str, BadArchive], error: BadArchive) -> None:
    """Record an invalid `.txt` file, without which the upload continues. Re-raise the error of any other file."""
    if error.entry is None or not error.entry.lower().endswith(".txt"):
        raise error
    invalid[error.entry] = error


def _target(upload: Upload) -> tuple[str, str]:
    return upload.dataset or "", upload.owner or ""


def _as_file(locked: _LockedUpload) -> TreeFile:
    return TreeFile(_path_of(locked.upload), locked.file.path, locked.file.offset)


def _problem_of(error: BadArchive, locked: Sequence[_LockedUpload]) -> UploadProblem:
    is_archive = any(each.upload.kind is UploadKind.ARCHIVE for each in locked)
    code = ArchiveRefused.code if is_archive else "upload_refused"
    subject = f'"{error.entry}"' if error.entry is not None else "The archive" if is_archive else "The upload"
    return UploadProblem(code, f"{subject} {error.reason}.", error.entry)


def _result_of(joined: Joined) -> UploadResult:
    return UploadResult(
        joined.dataset,
        joined.version,
        len(joined.added),
        len(joined.changed),
        len(joined.left_out),
        tuple(joined.left_out[:_EXAMPLES]),
        tuple([*joined.added, *joined.changed][:_EXAMPLES]),
        joined.num_repeats,
        joined.further_captions,
    )


def _result_of_item(upload: Upload, joined: Joined) -> UploadResult:
    """Return the result of an upload of one file: an item, or a file that belongs to items with the same stem."""
    path, share = _path_of(upload), _share_of(upload, joined, is_alone=False)
    is_left_out = path in joined.left_out
    return UploadResult(
        joined.dataset,
        joined.version,
        added=len(share.added),
        changed=len(share.changed),
        left_out=int(is_left_out),
        left_out_examples=(path,) if is_left_out else (),
        paths=(*share.added, *share.changed)[:_EXAMPLES],
        num_repeats=joined.num_repeats,
        item=path if path in joined.facts and not is_left_out else None,
        facts=joined.facts.get(path),
    )


def _share_of(upload: Upload, joined: Joined, *, is_alone: bool) -> Joined:
    """Return the part of the joined files that this upload contributed."""
    path = _path_of(upload)
    added, changed = (
        tuple(each for each in paths if _is_about(path, each)) for paths in (joined.added, joined.changed)
    )
    return replace(joined, added=added, changed=changed, is_all=joined.is_all and is_alone)


def _is_about(path: str, item: str) -> bool:
    return path == item or (path.lower().endswith(".txt") and stem_of(path) == stem_of(item))


def _path_of(upload: Upload) -> str:
    return upload.filename or upload.upload_id


def _apply_prompt(tree: FileTree, upload: Upload, paths: Iterable[str]) -> None:
    """Use the prompt in an upload's metadata as the caption of these paths."""
    prompt = upload.metadata.get("prompt", "").strip()
    if prompt:
        tree.captions.update(dict.fromkeys(paths, prompt))
