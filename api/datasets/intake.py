"""Makes versions of datasets from uploads that are here whole: items together, archives one by one.

Several servers on one storage may do it: who holds an upload's file works on it, and the row tells when it is done. A
kill at any point leaves the upload as it was, and what was added already is added no second time.
"""

import logging
import resource
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from api.datasets.exported import with_exported_names
from api.datasets.joining import Joined, Joining
from api.datasets.tree import (
    FileTree,
    TreeFile,
    sort_out,
    stem_of,
    without_common_directory,
    without_export_directory,
)
from api.datasets.turns import OwnerTurns
from api.datasets.upload_store import UploadStore
from api.datasets.uploads import FINISHED, UploadService
from api.domain.upload import BatchState, IntakeProgress, Upload, UploadKind, UploadProblem, UploadResult, UploadStatus
from api.errors import DatabaseUnavailable, ServiceError, Unavailable, UploadConflict, UploadNotFound
from api.files.archives.expander import Expander
from api.files.archives.limits import BadArchive
from api.files.upload_files import UploadFile, UploadFiles
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks for what came in while nobody could be told, and between two that tidy up.
LOOK_SECONDS = 5.0
TIDY_SECONDS = 60.0

#: Uploads of items that become one version together; of a batch as many as can be held open.
_TOGETHER, _MOST_TOGETHER = 200, 5_000

#: Archives that are unpacked side by side, each of another owner.
_ARCHIVES_AT_ONCE = 2

#: Seconds before what failed by no fault of the upload is tried again: the first time, and at most.
_PAUSE_SECONDS, _LONGEST_PAUSE = 5.0, 600.0

#: How long it is tried.
_PATIENCE = timedelta(hours=24)

_OUR_FAULT = UploadProblem(ServiceError.code, ServiceError.message)

#: Some of the paths that a result names.
_EXAMPLES = 20


@dataclass(slots=True)
class _Pause:
    seconds: float
    ends_at: float


class UploadIntake:
    """The loops of one server."""

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
        self.progress: dict[str, IntakeProgress] = {}  #: by the id of the upload
        self._items = PeriodicThread("upload-items", LOOK_SECONDS, _patient(self.take_items))
        self._archives = tuple(
            PeriodicThread(f"upload-archives-{number}", LOOK_SECONDS, _patient(self.take_archives))
            for number in range(1, 1 + _ARCHIVES_AT_ONCE)
        )
        self._turns = {kind: OwnerTurns() for kind in UploadKind}
        self._tidying = PeriodicThread("upload-tidy", TIDY_SECONDS, _patient(uploads.tidy))
        self._models = PeriodicThread("upload-models", LOOK_SECONDS, _patient(self.take_models))
        self._follow_up: Callable[[Upload, Joined], None] = lambda upload, joined: None
        self._others: dict[UploadKind, Callable[[Upload, Path], UploadResult]] = {}
        uploads.on_received(self.wake)

    def follow_with(self, go_on: Callable[[Upload, Joined], None]) -> None:
        """Has `go_on` called for each upload when a version has it, before that is noted: perhaps more than once."""
        self._follow_up = go_on

    def make_with(self, kind: UploadKind, take: Callable[[Upload, Path], UploadResult]) -> None:
        """Has `take` make something of each upload of this kind: perhaps called more than once for one."""
        self._others[kind] = take

    def start(self) -> None:
        """Starts the loops."""
        for thread in (self._items, *self._archives, self._models, self._tidying):
            thread.start()

    def stop(self) -> None:
        """Stops the loops; what is under way begins anew with the next start."""
        for thread in (self._tidying, self._models, *self._archives, self._items):
            thread.stop(timeout=0.5)

    def wake(self) -> None:
        """Has what came in looked at now."""
        for thread in (self._items, *self._archives, self._models):
            thread.trigger()

    def take_items(self) -> None:
        """Takes the single files that are here, those for one dataset together; and each batch that is whole."""
        self._take_single_items()
        for batch in self._store.batches():
            if batch.is_ready(self._clock.now()):
                self._take_group(self._waiting(UploadKind.ITEM, batch))
                self._take_single_items()

    def _take_single_items(self) -> None:
        found = self._waiting(UploadKind.ITEM)
        for _, group in groupby(sorted(found, key=_target), key=_target):
            self._take_group(list(group))
        if len(found) == _TOGETHER:
            self._items.trigger()

    def take_archives(self) -> None:
        """Takes the archives that are here, of owners in turn; several threads do that at once."""
        self._take_in_turns(UploadKind.ARCHIVE, self._take_archive)

    def take_models(self) -> None:
        """Takes the models, and their samples, that are here."""
        for kind, take in self._others.items():
            self._take_in_turns(kind, partial(self._take_other, take=take))

    def _take_in_turns(self, kind: UploadKind, take: Callable[[Upload], None]) -> None:
        def find(tried: Collection[str]) -> list[Upload]:
            now = self._clock.monotonic()
            paused = [upload_id for upload_id, pause in list(self._pauses.items()) if pause.ends_at > now]
            return self._store.first_of_each_owner(kind, [*tried, *paused[:_MOST_TOGETHER]])

        if not self._turns[kind].take_all(find, take):
            self.wake()

    def _take_other(self, upload: Upload, take: Callable[[Upload, Path], UploadResult]) -> None:
        with self._holding([upload]) as held, self._answering(held, splits=False):
            for each in held:
                self.progress[upload.upload_id] = IntakeProgress("adding")
                self._complete(each, take(each.upload, each.file.path))

    def _waiting(self, kind: UploadKind, batch: BatchState | None = None) -> list[Upload]:
        now, pauses = self._clock.monotonic(), self._pauses
        most = _TOGETHER if batch is None else min(_MOST_TOGETHER, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        found = self._store.oldest(UploadStatus.RECEIVED, most, kind, batch)
        return [each for each in found if each.upload_id not in pauses or pauses[each.upload_id].ends_at <= now]

    # -- items -------------------------------------------------------------------------------------------------------

    def _take_group(self, group: Sequence[Upload]) -> None:
        with self._holding(group) as held, self._answering(held, splits=len(held) > 1) as failed:
            refused: dict[str, BadArchive] = {}
            tree = sort_out([_as_file(each) for each in held], partial(_refuse_caption, refused))
            for each in held:
                if (error := refused.get(_path_of(each.upload))) is not None:
                    self._fail(each, _problem_of(error, [each]))
            taken = [each for each in held if _path_of(each.upload) not in refused]
            if taken:
                for each in taken:
                    _take_prompt(tree, each.upload, [_path_of(each.upload)])
                joined = self._joining.join(tree, taken[0].upload, self._teller(taken))
                for each in taken:
                    self._follow_up(each.upload, _share_of(each.upload, joined, is_alone=len(taken) == 1))
                    self._complete(each, _result_of_item(each.upload, joined))
        if failed and len(group) > 1:
            # One of them is at fault, and the others need not suffer for it. Captions follow their media.
            ordered = sorted(group, key=lambda upload: _path_of(upload).lower().endswith((".txt", ".json", ".jsonl")))
            self._take_group(ordered[: len(ordered) // 2])
            self._take_group(ordered[len(ordered) // 2 :])

    # -- archives ----------------------------------------------------------------------------------------------------

    def _take_archive(self, upload: Upload) -> None:
        with self._holding([upload]) as held, self._answering(held, splits=False):
            for each in held:
                self._files.remove_unpacked(upload.upload_id)
                try:
                    joined = self._join_archive(each)
                finally:
                    self._files.remove_unpacked(upload.upload_id)
                self._follow_up(each.upload, joined)
                self._complete(each, _result_of(joined))

    def _join_archive(self, held: "_Held") -> Joined:
        upload_id = held.upload.upload_id
        told = self.progress[upload_id] = IntakeProgress("unpacking")

        def listen(entries: int, written: int) -> None:
            told.done = entries

        place = self._files.new_unpacked(upload_id)
        listed = self._expander.expand(held.file.path, place, listen)
        files = [TreeFile(each.name, place / each.file, each.size_bytes) for each in listed]
        exported = with_exported_names(without_export_directory(without_common_directory(files)))
        tree = sort_out(exported.files)
        exported.give_captions(tree)
        _take_prompt(tree, held.upload, [each.path for each in tree.pictures if tree.caption_of(each.path) is None])
        return self._joining.join(tree, held.upload, self._teller([held]))

    # -- both --------------------------------------------------------------------------------------------------------

    def _teller(self, held: Sequence["_Held"]) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            for each in held:
                self.progress[each.upload.upload_id] = IntakeProgress("adding", done, total)

        return tell

    @contextmanager
    def _holding(self, group: Sequence[Upload]) -> Iterator[list["_Held"]]:
        """The uploads of these that nobody else works on, and that still wait."""
        held: list[_Held] = []
        with ExitStack() as stack:
            for upload in group:
                with suppress(UploadConflict, UploadNotFound):
                    file = stack.enter_context(self._files.open(upload.upload_id))
                    if self._store.get(upload.upload_id).status is UploadStatus.RECEIVED:
                        held.append(_Held(upload, file))
            yield held
        for upload in group:
            self.progress.pop(upload.upload_id, None)

    @contextmanager
    def _answering(self, held: Sequence["_Held"], *, splits: bool) -> Iterator[list[UploadProblem]]:
        """Notes what is wrong with uploads, and puts off what is wrong with this service. With `splits` the first is
        only told to the caller.
        """
        failed: list[UploadProblem] = []
        try:
            yield failed
        except BadArchive as error:
            failed.append(_problem_of(error, held))
        except ServiceError as error:
            if error.status < 500:
                failed.append(UploadProblem(error.code, error.detail))
            else:
                self._put_off(held, error.code, error.detail)
        except OSError as error:
            self._put_off(held, Unavailable.code, f"The storage cannot be read or written ({error.strerror}).")
        except Exception:
            # Whatever is the matter with this one, those behind it shall not wait for it.
            told = {"uploads": [each.upload.upload_id for each in held]}
            logger.exception("an upload is too much for the service", extra=told)
            if splits:
                failed.append(_OUR_FAULT)
            else:
                self._put_off(held, _OUR_FAULT.code, _OUR_FAULT.message)
        if failed and not splits:
            for each in held:
                self._fail(each, failed[0])

    def _put_off(self, held: Sequence["_Held"], code: str, why: str) -> None:
        for each in held:
            upload_id = each.upload.upload_id
            if self._clock.steady.now() - each.upload.updated_at > _PATIENCE:
                self._fail(each, UploadProblem(code, why))
                continue
            before = self._pauses.get(upload_id)
            seconds = _PAUSE_SECONDS if before is None else min(2 * before.seconds, _LONGEST_PAUSE)
            self._pauses[upload_id] = _Pause(seconds, self._clock.monotonic() + seconds)
            told = {"upload_id": upload_id, "problem": why, "again_in_seconds": seconds}
            logger.warning("an upload cannot be taken at present", extra=told)

    def _complete(self, held: "_Held", result: UploadResult) -> None:
        now = self._clock.now()
        self._store.complete(held.upload.upload_id, now, self._clock.steady.now() + FINISHED, result)
        self._forget(held)
        logger.info(
            "upload taken", extra={"upload_id": held.upload.upload_id, "dataset": result.dataset, "model": result.model}
        )

    def _fail(self, held: "_Held", problem: UploadProblem) -> None:
        now = self._clock.now()
        self._store.fail(held.upload.upload_id, now, self._clock.steady.now() + FINISHED, problem)
        self._forget(held)
        logger.info("upload refused", extra={"upload_id": held.upload.upload_id, "problem": problem.code})

    def _forget(self, held: "_Held") -> None:
        held.file.remove()
        self._pauses.pop(held.upload.upload_id, None)


@dataclass(frozen=True, slots=True)
class _Held:
    """An upload that nobody else works on."""

    upload: Upload
    file: UploadFile


def _patient(body: Callable[[], None]) -> Callable[[], None]:
    """The same body, for which a database that does not answer is no failure: the next round tries again."""

    def run() -> None:
        try:
            body()
        except DatabaseUnavailable as error:
            logger.debug("uploads wait for the database", extra={"problem": error.detail})

    return run


def _refuse_caption(refused: dict[str, BadArchive], error: BadArchive) -> None:
    """Note a caption that costs itself alone. Raises the error of a list of captions."""
    if error.entry is None or not error.entry.lower().endswith(".txt"):
        raise error
    refused[error.entry] = error


def _target(upload: Upload) -> tuple[str, str]:
    return upload.dataset or "", upload.owner or ""


def _as_file(held: _Held) -> TreeFile:
    return TreeFile(_path_of(held.upload), held.file.path, held.file.offset)


def _problem_of(error: BadArchive, held: Sequence[_Held]) -> UploadProblem:
    is_archive = any(each.upload.kind is UploadKind.ARCHIVE for each in held)
    code = "archive_refused" if is_archive else "upload_refused"
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
    """What an upload of one file was: an item, or what stands beside items of its stem."""
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
    """Of what was joined together, what this upload was."""
    path = _path_of(upload)
    added, changed = (
        tuple(each for each in paths if _is_about(path, each)) for paths in (joined.added, joined.changed)
    )
    return replace(joined, added=added, changed=changed, is_all=joined.is_all and is_alone)


def _is_about(path: str, item: str) -> bool:
    return path == item or (path.lower().endswith(".txt") and stem_of(path) == stem_of(item))


def _path_of(upload: Upload) -> str:
    return upload.filename or upload.upload_id


def _take_prompt(tree: FileTree, upload: Upload, paths: Iterable[str]) -> None:
    """Takes what was said with an upload as the caption of these paths."""
    prompt = upload.metadata.get("prompt", "").strip()
    if prompt:
        tree.captions.update(dict.fromkeys(paths, prompt))
