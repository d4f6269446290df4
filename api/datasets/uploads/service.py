"""Create, write, show and delete uploads. `intake` processes complete ones."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from api.datasets.records.upload_store import UploadStore
from api.datasets.service import DatasetService, StorageQuota, require_own_files
from api.datasets.uploads.metadata import check_filename, kind_of, read_batch, read_metadata
from api.domain.access.principal import Permission, current_principal
from api.domain.access.read_scope import current_scope
from api.domain.datasets.upload import (
    NewUpload,
    Upload,
    UploadBatch,
    UploadKind,
    UploadStatus,
    UploadView,
    metadata_text,
)
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
from api.util.copying import copy_fields
from api.util.files.stored_form import StoredForm
from api.util.http.pagination import Page, PageRequest, paginate_by_position
from api.web.bodies.upload_writer import Checksum, UploadWriter

logger = logging.getLogger(__name__)

#: Uploads that one clean-up pass checks.
_BATCH = 500

#: Seconds before a file without a row is an orphan: its row may not be written yet.
_LEFTOVER_SECONDS = 3600.0

#: How long a finished upload is still listed.
FINISHED = timedelta(days=7)

#: How long an upload that cannot be resumed may pause between two parts.
UNRESUMABLE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of uploads. Sizes are in bytes."""

    most: int  #: size of one upload
    min_free: int  #: free disk space that must remain
    waits: timedelta  #: pause between two parts after which an upload expires


class UploadService:
    """Use cases of `/uploads`, for the principal of the current request."""

    def __init__(
        self,
        store: UploadStore,
        files: UploadFiles,
        datasets: DatasetService,
        bound: StorageQuota,
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
        """Call `listener` when an upload is complete, immediately and in the same thread."""
        self._listeners.append(listener)

    def accept_kind(self, kind: UploadKind, check: Callable[[Mapping[str, str]], None]) -> None:
        """Accept uploads of this kind, which belong to no dataset; `check` validates their metadata at the start."""
        self._checks[kind] = check

    def find_file(self, upload_id: str) -> Path:
        """Return the path of an upload that the caller may see. Raises UploadNotFound."""
        return self._files.path(self._find(upload_id).upload_id)

    # -- creation ----------------------------------------------------------------------------------------------------

    def begin(self, size_bytes: int, metadata: Mapping[str, str]) -> Upload:
        """Create an upload of this size. Raises Invalid, TooLarge, Conflict, NotYours, InsufficientStorage."""
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

    def begin_form(self, at_least: int = 0) -> Upload:
        """Create an upload that arrives in one request, with at least this many bytes; size and dataset are unknown.

        Raises TooLarge, InsufficientStorage, QuotaExceeded.
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
        logger.info("upload created", extra={"upload_id": made.upload_id, "size_bytes": size_bytes})
        if size_bytes == 0:
            self._settle(made)
        return made

    def _require_target(self, name: str) -> None:
        """Accept a dataset that is new, or that the caller may add to. Raises DatasetExists, NotYours."""
        principal = current_principal.get()
        try:
            found = self._datasets.find(name)
        except HiddenDataset:
            raise DatasetExists(f"A dataset {name} exists already and is not yours: choose another name.") from None
        except DatasetNotFound:
            return
        require_own_files(found)
        if principal.owner != found.owner and not principal.may(Permission.TASKS_WRITE_ANY):
            raise NotYours(
                f"The dataset {name} belongs to another user: only its owner and administrators may add to it."
            )

    def _require_room(self, owner: str | None, size: int) -> None:
        if size > self.limits.most:
            raise TooLarge(
                f"The upload is larger than the limit of {self.limits.most:,} bytes (MAX_UPLOAD_BYTES).",
                data={"max_bytes": self.limits.most},
                headers={"Tus-Max-Size": str(self.limits.most)},
            )
        announced = self._store.announced_sizes(owner)
        self._bound.require_storage(owner, size + sum(announced.values()))
        self._files.prepare()
        # Of other owners only received bytes count: announcing an upload must not reserve the disk.
        free = self._files.free_bytes() - self._files.missing_bytes(announced) - self.limits.min_free
        if size > free:
            raise InsufficientStorage(
                f"The disk has {max(0, free):,} bytes free beside your uploads in progress, and this upload has "
                f"{size:,}: free disk space, or finish or cancel the other uploads.",
                data={"available_bytes": max(0, free)},
            )

    # -- writing -----------------------------------------------------------------------------------------------------

    def open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> UploadWriter:
        """Lock an upload for a request that continues at `offset` with `announced` bytes.

        `offset` None continues at the current end; `announced` None means an unknown length. Raises UploadNotFound,
        UploadConflict, NotYours, TooLarge.
        """
        upload = self._find_own(upload_id)
        if upload.status is not UploadStatus.RECEIVING:
            raise UploadConflict("This upload is already complete.", data={"offset": upload.size_bytes})
        file = self._files.open(upload_id)
        try:
            if offset not in (None, file.offset):
                raise UploadConflict(
                    f"The upload is at byte {file.offset:,}, not at {offset:,}: continue from there.",
                    data={"offset": file.offset},
                    headers={"Upload-Offset": str(file.offset)},
                )
            most = self.limits.most if upload.size_bytes is None else upload.size_bytes
            if announced is not None and file.offset + announced > most:
                raise TooLarge(f"This exceeds the {most:,} bytes of the upload.", data={"max_bytes": most})
            return UploadWriter(upload, file, self._files, most, self.limits.min_free, checksum)
        except BaseException:
            file.close()
            raise

    def close(self, incoming: UploadWriter, *, is_whole: bool) -> UploadView:
        """End a write that `open` started, and unlock the upload.

        Raises ChecksumMismatch, and 503 or 507 for the disk.
        """
        upload, now = incoming.upload, self._clock.now()
        with incoming.file:
            (incoming.finish if is_whole else incoming.stop)()
            if incoming.offset == upload.size_bytes:
                self._receive(upload, incoming.file)
            else:
                waits = UNRESUMABLE if upload.size_bytes is None else self.limits.waits
                self._store.extend(upload.upload_id, now, self._clock.steady.now() + waits)
        if incoming.offset == upload.size_bytes:
            self._notify()
        return self.show(self._store.get(upload.upload_id))

    def _receive(self, upload: Upload, file: UploadFile) -> None:
        kind = upload.kind or kind_of(file.head(SNIFFED_BYTES))
        self._store.receive(upload.upload_id, self._clock.now(), file.offset, kind=kind)

    def hand_over(
        self, upload_id: str, dataset: str, filename: str | None, task_id: str, metadata: Mapping[str, str]
    ) -> Upload:
        """Complete an upload that came in one request, now that its purpose is known.

        Raises UploadNotFound, Conflict, NotYours, UploadConflict.
        """
        self._require_target(dataset)
        facts = {"dataset": dataset, "filename": filename, "task_id": task_id, "metadata": dict(metadata)}
        return self._hand_over(upload_id, None, facts)

    def complete_form_as(self, kind: UploadKind, form: StoredForm, metadata: Mapping[str, str]) -> UploadView:
        """Complete an upload of a kind without a dataset. Raises the errors of `begin` and `hand_over`."""
        try:
            self._check(kind, metadata)
        except Invalid as error:
            # A form does not have this header.
            mistakes = [replace(each, pointer=each.pointer.removeprefix("/Upload-Metadata")) for each in error.mistakes]
            raise Invalid(mistakes=mistakes) from None
        self._bound.require_storage(current_principal.get().owner, form.size_bytes)
        facts = {"filename": form.base_name, "metadata": dict(metadata)}
        return self.show(self._hand_over(form.upload_id, kind, facts))

    def _hand_over(self, upload_id: str, kind: UploadKind | None, facts: Mapping[str, Any]) -> Upload:
        self._find_own(upload_id)
        with self._files.open(upload_id) as file:
            columns = {**facts, "kind": kind or kind_of(file.head(SNIFFED_BYTES))}
            if not self._store.receive(upload_id, self._clock.now(), file.offset, **columns):
                raise UploadConflict
        self._notify()
        return self._store.get(upload_id)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def _settle(self, upload: Upload) -> None:
        """Mark an upload as received if its last writer ended before it could do so."""
        with suppress(UploadConflict, UploadNotFound), self._files.open(upload.upload_id) as file:
            if file.offset == upload.size_bytes:
                self._receive(upload, file)
                self._notify()

    # -- views -------------------------------------------------------------------------------------------------------

    def get(self, upload_id: str) -> UploadView:
        """Return the progress or result of an upload. Raises UploadNotFound, DatabaseUnavailable."""
        upload = self._find(upload_id)
        view = self.show(upload)
        if upload.status is UploadStatus.RECEIVING and view.offset == upload.size_bytes:
            self._settle(upload)
            view = self.show(self._store.get(upload_id))
        return view

    def get_page(self, statuses: Sequence[UploadStatus], owner: str | None, page: PageRequest) -> Page[UploadView]:
        """Return a page of the uploads that the caller may see, newest first."""
        seen_by = current_scope.get().only_of
        owner = seen_by if seen_by is not None and owner in (None, seen_by) else owner
        if seen_by is not None and owner != seen_by:
            return paginate_by_position((), page)
        return self._store.page(owner, statuses, page).map(self.show)

    def show(self, upload: Upload) -> UploadView:
        """Return the view of an upload."""
        offset = upload.size_bytes
        if upload.status is UploadStatus.RECEIVING:
            with suppress(UploadNotFound):
                offset = self._files.offset(upload.upload_id)
        # Stored in steady time, shown in wall-clock time.
        expires_at = upload.expires_at + self._clock.steady.behind()
        return copy_fields(UploadView, upload, offset=offset, expires_at=expires_at)

    def metadata_of(self, upload_id: str) -> Mapping[str, str]:
        """Return the client's metadata of an upload, unchanged. Raises UploadNotFound."""
        return self._find(upload_id).metadata

    def _find(self, upload_id: str) -> Upload:
        found = self._store.get(upload_id)
        if not current_scope.get().sees(found.owner):
            raise HiddenUpload
        return found

    def _find_own(self, upload_id: str) -> Upload:
        found, principal = self._find(upload_id), current_principal.get()
        if principal.owner != found.owner and not principal.may(Permission.TASKS_WRITE_ANY):
            raise NotYours("This upload belongs to another user: only its owner and administrators may change it.")
        return found

    # -- deletion ----------------------------------------------------------------------------------------------------

    def remove(self, upload_id: str) -> None:
        """Delete an upload; datasets keep files that they have taken from it.

        Raises UploadNotFound, UploadConflict, NotYours.
        """
        self._remove(self._find_own(upload_id))

    def discard(self, upload_id: str) -> None:
        """Delete an upload that came in one request, unless it is already being processed."""
        with suppress(UploadNotFound):
            upload = self._find_own(upload_id)
            if upload.status is UploadStatus.RECEIVING:
                with self._files.open(upload_id) as file:
                    # Free the disk space first: a full database may need it.
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
        """Delete expired and orphaned uploads, and mark complete ones as received."""
        now = self._clock.steady.now()
        self._store.bound(now + max(FINISHED, self.limits.waits))
        for upload in self._store.expired(now, _BATCH):
            with suppress(UploadConflict):  # a request is writing it, so it is in use
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
