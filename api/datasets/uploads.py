"""Uploads: begun, written part by part, looked at, taken away. What becomes of them is `intake`'s."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from api.datasets.service import DatasetService, StorageBound, require_own_files
from api.datasets.upload_metadata import check_filename, kind_of, read_batch, read_metadata
from api.datasets.upload_store import UploadStore
from api.domain.access import Permission, current_principal
from api.domain.sight import current_sight
from api.domain.upload import NewUpload, Upload, UploadBatch, UploadKind, UploadStatus, UploadView, metadata_text
from api.errors import (
    Conflict,
    DatasetExists,
    DatasetNotFound,
    HiddenDataset,
    HiddenUpload,
    InsufficientStorage,
    Invalid,
    NotYours,
    TooLarge,
    UploadConflict,
    UploadNotFound,
)
from api.files.archives.entries import SNIFFED_BYTES
from api.files.upload_files import UploadFile, UploadFiles
from api.util.batches import in_batches
from api.util.clock import Clock
from api.util.pagination import Page, PageRequest, read_page
from api.util.taken_body import TakenForm
from api.web.incoming import Checksum, Incoming

logger = logging.getLogger(__name__)

#: Uploads that are looked at by one pass that tidies up.
_BATCH = 500

#: Seconds after which a file that no upload knows is left over: its row may be on its way.
_LEFTOVER_SECONDS = 3600.0

#: Days that a finished upload can still be asked about.
FINISHED = timedelta(days=7)

#: How long an upload that cannot be resumed may take between two parts.
UNRESUMABLE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What uploads may take. Sizes are in bytes."""

    most: int  #: of one
    min_free: int  #: left free on the disk
    waits: timedelta  #: between two parts, before it expires


class UploadService:
    """The use cases of `/uploads`, for whoever the present request comes from."""

    def __init__(
        self,
        store: UploadStore,
        files: UploadFiles,
        datasets: DatasetService,
        bound: StorageBound,
        limits: UploadLimits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._files = files
        self._datasets = datasets
        self._bound = bound
        self._clock = clock
        self.limits = limits
        self._listeners: list[Callable[[], None]] = []
        self._checks: dict[UploadKind, Callable[[Mapping[str, str]], None]] = {}

    def on_received(self, listener: Callable[[], None]) -> None:
        """Has `listener` called, at once and in the same thread, when all of an upload is here."""
        self._listeners.append(listener)

    def take_also(self, kind: UploadKind, check: Callable[[Mapping[str, str]], None]) -> None:
        """Takes uploads of this kind too, which are for no dataset; `check` looks at their metadata when they begin."""
        self._checks[kind] = check

    def find_file(self, upload_id: str) -> Path:
        """Where the bytes of an upload are that whoever asks may see. Raises UploadNotFound."""
        return self._files.path(self._find(upload_id).upload_id)

    # -- beginning ---------------------------------------------------------------------------------------------------

    def begin(self, size_bytes: int, metadata: Mapping[str, str]) -> Upload:
        """Begins an upload of this size. Raises Invalid, TooLarge, Conflict, NotYours, InsufficientStorage."""
        other = next((kind for kind in self._checks if kind == metadata_text(metadata, "kind")), None)
        if other is not None:
            self._check(other, metadata)
            filename = metadata_text(metadata, "filename")
            return self._begin(None, filename, other, metadata, size_bytes, self.limits.waits)
        dataset, filename, kind = read_metadata(metadata)
        batch = read_batch(metadata)
        self._require_target(dataset)
        return self._begin(dataset, filename, kind, metadata, size_bytes, self.limits.waits, batch)

    def _check(self, kind: UploadKind, metadata: Mapping[str, str]) -> None:
        mistakes = check_filename(metadata_text(metadata, "filename"), "/Upload-Metadata/filename")
        if mistakes:
            raise Invalid(mistakes=mistakes)
        self._checks[kind](metadata)

    def begin_whole(self, at_least: int = 0) -> Upload:
        """Begins an upload that comes in one request, of which neither size nor dataset is known yet: it has at least
        so many bytes. Raises TooLarge, InsufficientStorage, QuotaExceeded.
        """
        self._require_room(current_principal.get().owner, at_least)
        return self._begin(None, None, None, {}, None, UNRESUMABLE)

    def _begin(
        self,
        dataset: str | None,
        filename: str | None,
        kind: UploadKind | None,
        metadata: Mapping[str, str],
        size_bytes: int | None,
        waits: timedelta,
        batch: UploadBatch | None = None,
    ) -> Upload:
        owner, now = current_principal.get().owner, self._clock.now()
        self._require_room(owner, size_bytes or 0)
        ends = self._clock.steady.now() + waits
        new = NewUpload(secrets.token_hex(16), owner, kind, filename, dataset, metadata, size_bytes, now, ends, batch)
        self._files.create(new.upload_id)
        made = self._store.add(new)
        logger.info("upload begun", extra={"upload_id": made.upload_id, "size_bytes": size_bytes})
        if size_bytes == 0:
            self._settle(made)
        return made

    def _require_target(self, name: str) -> None:
        """Lets a dataset pass that is new, or that whoever asks may add to."""
        principal = current_principal.get()
        try:
            found = self._datasets.find(name)
        except HiddenDataset:
            raise DatasetExists(f"A dataset {name} exists already, and is not yours: take another name.") from None
        except DatasetNotFound:
            return
        require_own_files(found)
        if principal.owner != found.owner and not principal.may(Permission.TASKS_WRITE_ANY):
            raise NotYours(f"The dataset {name} belongs to somebody else: only they and administrators may add to it.")

    def _require_room(self, owner: str | None, size: int) -> None:
        if size > self.limits.most:
            raise TooLarge(
                f"The upload is larger than the {self.limits.most:,} bytes that are taken (MAX_UPLOAD_BYTES).",
                data={"max_bytes": self.limits.most},
                headers={"Tus-Max-Size": str(self.limits.most)},
            )
        announced = self._store.sizes_announced(owner)
        self._bound.require_storage(owner, size + sum(announced.values()))
        self._files.prepare()
        # Of other owners only what has arrived counts: announcing an upload must not take the disk from them.
        free = self._files.free_bytes() - self._files.missing_bytes(announced) - self.limits.min_free
        if size > free:
            raise InsufficientStorage(
                f"The disk has room for {max(0, free):,} bytes more beside your uploads that are under way, and this "
                f"one has {size:,}: make room, finish or cancel the others.",
                data={"available_bytes": max(0, free)},
            )

    # -- writing -----------------------------------------------------------------------------------------------------

    def open(self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None) -> Incoming:
        """Takes hold of an upload for a request that goes on at `offset` (None: wherever it is) with `announced` bytes
        (None: not said). Raises UploadNotFound, UploadConflict, NotYours, TooLarge.
        """
        upload = self._find_own(upload_id)
        if upload.status is not UploadStatus.RECEIVING:
            raise UploadConflict("All of this upload is here already.", data={"offset": upload.size_bytes})
        file = self._files.open(upload_id)
        try:
            if offset not in (None, file.offset):
                raise UploadConflict(
                    f"The upload is at byte {file.offset:,}, and not at {offset:,}: go on from there.",
                    data={"offset": file.offset},
                    headers={"Upload-Offset": str(file.offset)},
                )
            most = self.limits.most if upload.size_bytes is None else upload.size_bytes
            if announced is not None and file.offset + announced > most:
                raise TooLarge(f"This is more than the {most:,} bytes of the upload.", data={"max_bytes": most})
            return Incoming(upload, file, self._files, most, self.limits.min_free, checksum)
        except BaseException:
            file.close()
            raise

    def close(self, incoming: Incoming, *, is_whole: bool) -> UploadView:
        """Ends what `open` began, and lets go of the upload. Raises ChecksumMismatch, and 503 or 507 for the disk."""
        upload, now = incoming.upload, self._clock.now()
        with incoming.file:
            (incoming.finish if is_whole else incoming.stop)()
            if incoming.offset == upload.size_bytes:
                self._receive(upload, incoming.file)
            else:
                waits = UNRESUMABLE if upload.size_bytes is None else self.limits.waits
                self._store.extend(upload.upload_id, now, self._clock.steady.now() + waits)
        if incoming.offset == upload.size_bytes:
            self._tell()
        return self.show(self._store.get(upload.upload_id))

    def _receive(self, upload: Upload, file: UploadFile) -> None:
        kind = upload.kind or kind_of(file.head(SNIFFED_BYTES))
        self._store.receive(upload.upload_id, self._clock.now(), file.offset, kind=kind)

    def hand_over(
        self, upload_id: str, dataset: str, filename: str | None, task_id: str, metadata: Mapping[str, str]
    ) -> Upload:
        """Ends an upload that came in one request: what it is for is known now. Raises UploadNotFound, Conflict,
        NotYours, UploadConflict.
        """
        self._require_target(dataset)
        told = {"dataset": dataset, "filename": filename, "task_id": task_id, "metadata": dict(metadata)}
        return self._hand_over(upload_id, None, told)

    def hand_over_as(self, kind: UploadKind, form: TakenForm, metadata: Mapping[str, str]) -> UploadView:
        """The same, for what becomes of no dataset. Raises what `begin` raises for its metadata, and the rest."""
        try:
            self._check(kind, metadata)
        except Invalid as error:
            # In a form there is no such header.
            told = [replace(each, pointer=each.pointer.removeprefix("/Upload-Metadata")) for each in error.mistakes]
            raise Invalid(mistakes=told) from None
        self._bound.require_storage(current_principal.get().owner, form.size_bytes)
        facts = {"filename": form.base_name, "metadata": dict(metadata)}
        return self.show(self._hand_over(form.upload_id, kind, facts))

    def _hand_over(self, upload_id: str, kind: UploadKind | None, told: Mapping[str, Any]) -> Upload:
        self._find_own(upload_id)
        with self._files.open(upload_id) as file:
            facts = {**told, "kind": kind or kind_of(file.head(SNIFFED_BYTES))}
            if not self._store.receive(upload_id, self._clock.now(), file.offset, **facts):
                raise UploadConflict
        self._tell()
        return self._store.get(upload_id)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _settle(self, upload: Upload) -> None:
        """Notes that all of an upload is here, whose last writer could not do that any more."""
        with suppress(UploadConflict, UploadNotFound), self._files.open(upload.upload_id) as file:
            if file.offset == upload.size_bytes:
                self._receive(upload, file)
                self._tell()

    # -- looking -----------------------------------------------------------------------------------------------------

    def get(self, upload_id: str) -> UploadView:
        """How far an upload is, or what has become of it. Raises UploadNotFound, DatabaseUnavailable."""
        upload = self._find(upload_id)
        view = self.show(upload)
        if upload.status is UploadStatus.RECEIVING and view.offset == upload.size_bytes:
            self._settle(upload)
            view = self.show(self._store.get(upload_id))
        return view

    def get_page(self, statuses: Sequence[UploadStatus], owner: str | None, page: PageRequest) -> Page[UploadView]:
        """A page of the uploads that whoever asks may see, newest first."""
        seen_by = current_sight.get().only_of
        owner = seen_by if seen_by is not None and owner in (None, seen_by) else owner
        is_hidden = seen_by is not None and owner != seen_by

        def read(limit: int, offset: int, cursor: int | None) -> tuple[list[Upload], int]:
            return ([], 0) if is_hidden else self._store.page(owner, statuses, limit, offset, cursor)

        return read_page(read, lambda row: row.serial, page).map(self.show)

    def show(self, upload: Upload) -> UploadView:
        """The upload as it is answered."""
        offset = upload.size_bytes
        if upload.status is UploadStatus.RECEIVING:
            with suppress(UploadNotFound):
                offset = self._files.offset(upload.upload_id)
        return UploadView(
            upload.upload_id,
            upload.status,
            upload.kind,
            upload.filename,
            upload.dataset,
            upload.owner,
            offset,
            upload.size_bytes,
            upload.task_id,
            upload.result,
            upload.problem,
            upload.created_at,
            upload.updated_at,
            # Kept by the steady time, shown by the wall clock.
            upload.expires_at + self._clock.steady.behind(),
        )

    def metadata_of(self, upload_id: str) -> Mapping[str, str]:
        """What the client said of its upload, as it said it. Raises UploadNotFound."""
        return self._find(upload_id).metadata

    def _find(self, upload_id: str) -> Upload:
        found = self._store.get(upload_id)
        if not current_sight.get().sees(found.owner):
            raise HiddenUpload
        return found

    def _find_own(self, upload_id: str) -> Upload:
        found, principal = self._find(upload_id), current_principal.get()
        if principal.owner != found.owner and not principal.may(Permission.TASKS_WRITE_ANY):
            raise NotYours("This upload belongs to somebody else: only they and administrators may change it.")
        return found

    # -- taking away -------------------------------------------------------------------------------------------------

    def remove(self, upload_id: str) -> None:
        """Takes an upload away; what has become of it stays. Raises UploadNotFound, UploadConflict, NotYours."""
        self._remove(self._find_own(upload_id))

    def discard(self, upload_id: str) -> None:
        """Takes an upload away that came in one request, unless something is to become of it."""
        with suppress(UploadNotFound):
            upload = self._find_own(upload_id)
            if upload.status is UploadStatus.RECEIVING:
                with self._files.open(upload_id) as file:
                    # First of all: a database that has no room gets it by this.
                    file.cut(0)
                self._remove(upload)

    def _remove(self, upload: Upload) -> None:
        with suppress(UploadNotFound), self._files.open(upload.upload_id) as file:
            if not self._store.remove(upload.upload_id, *UploadStatus):
                return
            file.remove()
        self._store.remove(upload.upload_id, *UploadStatus)
        self._files.remove_unpacked(upload.upload_id)

    def tidy(self) -> None:
        """Takes away what has expired and what is left over, and settles what is whole."""
        now = self._clock.steady.now()
        self._store.bound(now + max(FINISHED, self.limits.waits))
        for upload in self._store.expired(now, _BATCH):
            with suppress(UploadConflict):  # somebody writes it: then it is wanted
                self._remove(upload)
                logger.info("upload expired", extra={"upload_id": upload.upload_id, "status": upload.status})
        for upload in self._store.oldest(UploadStatus.RECEIVING, _BATCH):
            with suppress(UploadNotFound):
                if self._files.offset(upload.upload_id) == upload.size_bytes:
                    self._settle(upload)
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        now = self._clock.steady.now().timestamp()
        old = [each for each in self._files.ids() if self._files.age(each, now) > _LEFTOVER_SECONDS]
        for batch in in_batches(old, _BATCH):
            for upload_id in set(batch) - self._store.known(batch):
                with suppress(Conflict):
                    self._files.remove(upload_id)
