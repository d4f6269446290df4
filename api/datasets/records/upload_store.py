"""The table of uploads. Their bytes are in files (`upload_files`)."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, func, insert, select, update

from api.db.database import Database
from api.db.dataset_tables import uploads
from api.db.rows import clean, dump_fields, read_fields, select_page, to_seconds, to_time
from api.domain.access.audit import note_change
from api.domain.datasets.upload import (
    BatchState,
    NewUpload,
    Upload,
    UploadKind,
    UploadProblem,
    UploadResult,
    UploadStatus,
)
from api.errors import UploadNotFound
from api.util.http.pagination import Page, PageRequest

#: Columns that the audit records.
_AUDITED = ("kind", "filename", "dataset", "size_bytes")


class UploadStore:
    """Stores the uploads of one blob store; uploads of other stores are not touched."""

    def __init__(self, database: Database, read_store_id: Callable[[], str]) -> None:
        """`read_store_id` returns the id of the blob store."""
        self._database = database
        self._read_store_id = read_store_id

    @functools.cached_property
    def _store_id(self) -> str:
        return self._read_store_id()

    def add(self, new: NewUpload) -> Upload:
        """Store a new upload. Raises DatabaseUnavailable."""
        values = dump_fields(
            new,
            uploads,
            place=self._store_id,
            metadata={clean(name): clean(value) for name, value in new.metadata.items()},
            status=UploadStatus.RECEIVING,
            updated_at=to_seconds(new.created_at),
            batch=None if new.batch is None else new.batch.name,
            batch_size=None if new.batch is None else new.batch.size,
        )
        with self._database.write() as connection:
            note_change(about=new.upload_id, after={name: values[name] for name in _AUDITED})
            connection.execute(insert(uploads).values(values))
        return self.get(new.upload_id)

    def get(self, upload_id: str) -> Upload:
        """Return the upload with this id. Raises UploadNotFound, DatabaseUnavailable."""
        return self._one(uploads.c.upload_id == upload_id)

    def find_task(self, task_id: str) -> Upload | None:
        """Return the upload of a task; None if this store has none."""
        try:
            return self._one(uploads.c.task_id == task_id)
        except UploadNotFound:
            return None

    def _one(self, condition: ColumnElement[bool]) -> Upload:
        query = select(uploads).where(condition, uploads.c.place == self._store_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UploadNotFound
        return _read(row)

    def page(self, owner: str | None, statuses: Sequence[UploadStatus], request: PageRequest) -> Page[Upload]:
        """Return uploads, newest first. `owner` None: of all users."""
        conditions = [uploads.c.place == self._store_id]
        if owner is not None:
            conditions.append(uploads.c.owner == owner)
        if statuses:
            conditions.append(uploads.c.status.in_(statuses))
        with self._database.read() as connection:
            return select_page(connection, select(uploads).where(*conditions), uploads.c.serial, request, _read)

    def oldest(
        self, status: UploadStatus, limit: int, kind: UploadKind | None = None, batch: BatchState | None = None
    ) -> list[Upload]:
        """Return the oldest uploads with this status, of this kind or of any.

        Without `batch`, items that belong to a batch are omitted.
        """
        query = select(uploads).where(uploads.c.place == self._store_id, uploads.c.status == status)
        if kind is not None:
            query = query.where(uploads.c.kind == kind)
        if batch is not None:
            query = query.where(uploads.c.owner.is_not_distinct_from(batch.owner), uploads.c.dataset == batch.dataset)
            query = query.where(uploads.c.batch == batch.name)
        elif kind is UploadKind.ITEM:
            query = query.where(uploads.c.batch.is_(None))
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.order_by(uploads.c.serial).limit(limit))]

    def first_of_each_owner(self, kind: UploadKind, without: Sequence[str]) -> list[Upload]:
        """Return the oldest waiting upload of each owner, of this kind, except those with these ids."""
        is_waiting = (uploads.c.place == self._store_id) & (uploads.c.status == UploadStatus.RECEIVED)
        oldest = select(func.min(uploads.c.serial)).where(is_waiting, uploads.c.kind == kind)
        oldest = oldest.where(uploads.c.upload_id.not_in(without)).group_by(uploads.c.owner)
        with self._database.read() as connection:
            rows = connection.execute(select(uploads).where(uploads.c.serial.in_(oldest)).order_by(uploads.c.serial))
            return [_read(row) for row in rows]

    def batches(self) -> list[BatchState]:
        """Return the batches with items that wait to be processed, the oldest batch first."""
        is_item = (uploads.c.status == UploadStatus.RECEIVED) & (uploads.c.kind == UploadKind.ITEM)
        target = (uploads.c.owner, uploads.c.dataset, uploads.c.batch)
        waiting, coming = (
            func.sum(case((which, 1), else_=0)) for which in (is_item, uploads.c.status == UploadStatus.RECEIVING)
        )
        query = (
            select(*target, func.max(uploads.c.batch_size), func.count(), coming, func.max(uploads.c.updated_at))
            .where(uploads.c.place == self._store_id, uploads.c.batch.is_not(None))
            .group_by(*target)
            .having(waiting > 0)
            .order_by(func.min(uploads.c.serial))
        )
        with self._database.read() as connection:
            return [
                BatchState(row[0], row[1], row[2], row[3], row[4], row[5], to_time(row[6]))
                for row in connection.execute(query)
            ]

    def bound(self, latest: datetime) -> None:
        """Limit the expiry of all uploads to this time, in case the clock was ahead when they were created."""
        seconds = to_seconds(latest)
        late = update(uploads).where(uploads.c.place == self._store_id, uploads.c.expires_at > seconds)
        with self._database.write(is_audited=False) as connection:
            connection.execute(late.values(expires_at=seconds))

    def expired(self, now: datetime, limit: int) -> list[Upload]:
        """Return expired uploads, except those that wait to be processed."""
        query = select(uploads).where(
            uploads.c.place == self._store_id,
            uploads.c.status != UploadStatus.RECEIVED,
            uploads.c.expires_at <= to_seconds(now),
        )
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.limit(limit))]

    def announced_sizes(self, owner: str | None) -> dict[str, int]:
        """Return the announced sizes in bytes of an owner's active uploads, by id; 0 if unknown."""
        query = select(uploads.c.upload_id, func.coalesce(uploads.c.size_bytes, 0).label("size")).where(
            uploads.c.place == self._store_id,
            uploads.c.status.in_([UploadStatus.RECEIVING, UploadStatus.RECEIVED]),
            uploads.c.owner.is_not_distinct_from(owner),
        )
        with self._database.read() as connection:
            return {row.upload_id: row.size for row in connection.execute(query)}

    def extend(self, upload_id: str, now: datetime, expires_at: datetime) -> None:
        """Extend the expiry of an upload that is being received. Raises DatabaseUnavailable."""
        self._change(upload_id, UploadStatus.RECEIVING, now, {"expires_at": to_seconds(expires_at)}, is_audited=False)

    def receive(self, upload_id: str, now: datetime, size_bytes: int, **facts: Any) -> bool:
        """Mark an upload as completely received, with these facts; return False if another server was first."""
        values = {"status": UploadStatus.RECEIVED, "size_bytes": size_bytes, **facts}
        return self._change(upload_id, UploadStatus.RECEIVING, now, values)

    def complete(self, upload_id: str, now: datetime, expires_at: datetime, result: UploadResult) -> bool:
        """Record the result of an upload; return False if it is not waiting any more."""
        values = {"status": UploadStatus.COMPLETED, "expires_at": to_seconds(expires_at), "result": asdict(result)}
        return self._change(upload_id, UploadStatus.RECEIVED, now, values)

    def fail(self, upload_id: str, now: datetime, expires_at: datetime, problem: UploadProblem) -> bool:
        """Record why an upload failed; return False if it is not waiting any more."""
        values = {"status": UploadStatus.FAILED, "expires_at": to_seconds(expires_at), "problem": asdict(problem)}
        return self._change(upload_id, UploadStatus.RECEIVED, now, values)

    def _change(
        self, upload_id: str, status: UploadStatus, now: datetime, values: dict[str, Any], is_audited: bool = True
    ) -> bool:
        statement = (
            update(uploads)
            .where(uploads.c.upload_id == upload_id, uploads.c.place == self._store_id, uploads.c.status == status)
            .values({"updated_at": to_seconds(now), **values})
        )
        with self._database.write(is_audited) as connection:
            return connection.execute(statement).rowcount == 1

    def remove(self, upload_id: str, *statuses: UploadStatus) -> bool:
        """Delete an upload that has one of these statuses; return False if it has none of them."""
        statement = delete(uploads).where(
            uploads.c.upload_id == upload_id, uploads.c.place == self._store_id, uploads.c.status.in_(statuses)
        )
        with self._database.write() as connection:
            note_change(about=upload_id)
            return connection.execute(statement).rowcount == 1

    def known(self, upload_ids: Sequence[str]) -> set[str]:
        """Return those of these ids that belong to uploads."""
        query = select(uploads.c.upload_id).where(uploads.c.upload_id.in_(upload_ids))
        with self._database.read() as connection:
            return set(connection.scalars(query))


def _read(row: Row[Any]) -> Upload:
    return read_fields(Upload, row)
