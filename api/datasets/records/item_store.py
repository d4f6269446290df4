"""Items of manifests as database rows, for paging. Missing rows are created again from the manifest."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.dataset_tables import dataset_items, dataset_versions, datasets, manifests, media_facts
from api.db.insertion import insert_missing
from api.db.rows import to_seconds
from api.domain.datasets.dataset import (
    ANY_PROBLEM,
    DatasetItem,
    ItemFilter,
    ItemProblem,
    ManifestItem,
    MediaFacts,
    MediaKind,
)
from api.errors import ItemNotFound

#: Rows per transaction, so that other writers are not blocked for long.
_BATCH = 2000

#: Most changed rows for which the rows of an earlier manifest are reused, in the transaction of the version.
MOST_MOVED = 5_000

_FACTS = [column.label(f"fact_{column.name}") for column in media_facts.c]
_WITH_FACTS = dataset_items.outerjoin(media_facts, media_facts.c.sha256 == dataset_items.c.sha256)
_IS_OTHER = media_facts.c.kind == MediaKind.OTHER


class DatasetItemStore:
    """Rows of items by manifest. Each manifest has a serial number here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, manifest_sha256: str, read: Callable[[], Iterable[ManifestItem]], now: datetime) -> int:
        """Return the serial number of a manifest and create missing rows; `read` returns the items in order.

        May be interrupted, or run in parallel: the rows of a manifest are always the same.
        """
        serial, is_indexed = self._serial(manifest_sha256, now)
        if is_indexed:
            return serial
        rows = (_write(serial, position, item) for position, item in enumerate(read()))
        while batch := list(islice(rows, _BATCH)):
            with self._database.write(is_audited=False) as connection:
                insert_missing(connection, dataset_items, batch)
        self._mark(serial)
        return serial

    def is_indexed(self, manifest_sha256: str) -> bool:
        """Return whether all items of a manifest have rows."""
        query = select(manifests.c.is_indexed).where(manifests.c.sha256 == manifest_sha256)
        with self._database.read() as connection:
            return bool(connection.scalar(query))

    def is_of(self, serial: int, manifest_sha256: str) -> bool:
        """Return whether the rows under this number still belong to this manifest."""
        query = select(manifests.c.sha256).where(manifests.c.serial == serial)
        with self._database.read() as connection:
            return connection.scalar(query) == manifest_sha256

    def move(
        self,
        connection: Connection,
        base: str,
        manifest_sha256: str,
        changed: Mapping[int, ManifestItem],
        now: datetime,
    ) -> bool:
        """Turn the rows of the manifest `base` into those of another one, in the transaction of this connection.

        The other manifest has the same items, except `changed` (items by position). Returns False, and changes
        nothing, if the base has no rows or the other has some.

        A later read of the base creates its rows again; usually only the newer version is read.
        """
        rows = connection.execute(
            select(manifests).where(manifests.c.sha256.in_((base, manifest_sha256))).with_for_update()
        ).all()
        if [(row.sha256, row.is_indexed) for row in rows] != [(base, True)]:
            return False
        is_it = manifests.c.serial == rows[0].serial
        moved = {"sha256": manifest_sha256, "used_at": to_seconds(now)}
        connection.execute(update(manifests).where(is_it).values(moved))
        here = (dataset_items.c.manifest == bindparam("its_manifest")) & (
            dataset_items.c.position == bindparam("its_position")
        )
        written = [_write(rows[0].serial, position, item) for position, item in changed.items()]
        values = [{"its_manifest": row.pop("manifest"), "its_position": row.pop("position"), **row} for row in written]
        if values:
            connection.execute(update(dataset_items).where(here), values)
        return True

    def _mark(self, serial: int) -> None:
        with self._database.write(is_audited=False) as connection:
            connection.execute(update(manifests).where(manifests.c.serial == serial).values(is_indexed=True))

    def _serial(self, manifest_sha256: str, now: datetime) -> tuple[int, bool]:
        is_it = manifests.c.sha256 == manifest_sha256
        query, seconds = select(manifests).where(is_it), to_seconds(now)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            row = self._add(manifest_sha256, query, seconds)
        elif seconds - row.used_at > 3600:
            with self._database.write(is_audited=False) as connection:
                connection.execute(update(manifests).where(is_it).values(used_at=seconds))
        return row.serial, row.is_indexed

    def _add(self, manifest_sha256: str, query: Select[Any], seconds: float) -> Row[Any]:
        new = {"sha256": manifest_sha256, "is_indexed": False, "used_at": seconds}
        try:
            with self._database.write(is_audited=False) as connection:
                connection.execute(insert(manifests).values(new))
        except IntegrityError:
            pass  # another writer was first
        with self._database.read() as connection:
            return connection.execute(query).one()

    def page(
        self, manifest: int, wanted: ItemFilter, limit: int, offset: int | None, cursor: int | None
    ) -> tuple[list[DatasetItem], int | None]:
        """Return up to `limit` items by path, after the position `cursor`, and their total number.

        The number is None if there is no filter.
        """
        conditions = [dataset_items.c.manifest == manifest]
        conditions += _conditions(manifest, wanted, is_sqlite=self._database.is_sqlite)
        query = select(dataset_items, *_FACTS).select_from(_WITH_FACTS).where(*conditions)
        query = query.order_by(dataset_items.c.position).limit(limit)
        if cursor is not None:
            query = query.where(dataset_items.c.position > cursor)
        elif offset and wanted.is_empty:
            # Positions have no gaps, so skipped rows need not be read.
            query = query.where(dataset_items.c.position >= offset)
        elif offset:
            query = query.offset(offset)
        with self._database.read() as connection:
            rows = [_read(row) for row in connection.execute(query)]
            if wanted.is_empty:
                return rows, None
            if cursor is None and not offset and len(rows) < limit:
                return rows, len(rows)  # a small result scans all rows; avoid a second scan
            counted = select(func.count()).select_from(dataset_items).where(*conditions)
            return rows, connection.scalar(counted) or 0

    def get(self, manifest: int, item_id: str) -> DatasetItem:
        """Return the item with this id. Raises ItemNotFound."""
        query = select(dataset_items, *_FACTS).select_from(_WITH_FACTS)
        with self._database.read() as connection:
            row = connection.execute(
                query.where(dataset_items.c.manifest == manifest, dataset_items.c.item_id == item_id)
            ).one_or_none()
        if row is None:
            raise ItemNotFound(f'The version has no item with the id "{item_id[:40]}".')
        return _read(row)

    def prune(self, before: datetime) -> int:
        """Remove the rows of manifests that are unused since this time, unless they are a dataset's newest version.

        Returns the number of manifests.
        """
        latest = exists().where(
            dataset_versions.c.manifest == manifests.c.sha256,
            dataset_versions.c.dataset == datasets.c.serial,
            datasets.c.latest == dataset_versions.c.ordinal,
            datasets.c.deleted_at.is_(None),
        )
        is_old = manifests.c.used_at < to_seconds(before)
        with self._database.write(is_audited=False) as connection:
            # Serial numbers are not reused: a later read of such a manifest creates rows under a new number.
            removed = connection.execute(delete(manifests).where(is_old, ~latest)).rowcount
        self._remove_orphans()
        return removed

    def _remove_orphans(self) -> None:
        """Remove the rows of manifests that do not exist, including those left by a killed pass."""
        last = 0
        while True:
            with self._database.read() as connection:
                found = connection.scalar(
                    select(func.min(dataset_items.c.manifest)).where(dataset_items.c.manifest > last)
                )
                if found is None:
                    return
                is_known = connection.scalar(select(manifests.c.serial).where(manifests.c.serial == found))
            if is_known is None:
                self._remove_rows(found)
            last = found

    def _remove_rows(self, manifest: int) -> None:
        mine = dataset_items.c.manifest == manifest
        last: int | None = 0
        while last is not None:
            with self._database.write(is_audited=False) as connection:
                last = connection.scalar(select(func.max(dataset_items.c.position)).where(mine))
                if last is not None:
                    connection.execute(delete(dataset_items).where(mine, dataset_items.c.position > last - _BATCH))


def _conditions(manifest: int, wanted: ItemFilter, *, is_sqlite: bool) -> Iterator[ColumnElement[bool]]:
    if wanted.search:
        columns = (dataset_items.c.path, dataset_items.c.caption)
        # SQLite's LIKE ignores case by itself, and is twice as fast as comparing lower().
        sought = re.sub(r"([\\\\%_])", r"\\\1", wanted.search)
        like = [
            column.like(f"%{sought}%", escape="\\") if is_sqlite else column.ilike(f"%{sought}%", escape="\\")
            for column in columns
        ]
        yield or_(*like)
    if wanted.excluded is not None:
        yield dataset_items.c.excluded.is_(True) if wanted.excluded else dataset_items.c.excluded.is_not(True)
    if wanted.problem == ANY_PROBLEM:
        # SQLite uses an index for a range; "is not null" would scan every row.
        problems = (media_facts.c.problem > "", media_facts.c.is_variable_rate.is_(True), _IS_OTHER)
        # One query per condition, so that each uses its index.
        each = (dataset_items.c.problem.is_not(None), *map(_has_facts, problems))
        found = (select(dataset_items.c.position).where(dataset_items.c.manifest == manifest, one) for one in each)
        yield dataset_items.c.position.in_(union(*found))
    elif wanted.problem in (ItemProblem.MISSING_CAPTION, ItemProblem.EMPTY_CAPTION):
        yield dataset_items.c.problem == wanted.problem
    elif wanted.problem == ItemProblem.VARIABLE_RATE:
        yield _has_facts(media_facts.c.is_variable_rate.is_(True))
    elif wanted.problem == ItemProblem.NOT_MEDIA:
        yield _has_facts(_IS_OTHER & media_facts.c.problem.is_(None))
    elif wanted.problem is not None:
        yield _has_facts(media_facts.c.problem == wanted.problem)


def _has_facts(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return dataset_items.c.sha256.in_(select(media_facts.c.sha256).where(condition))


def _write(manifest: int, position: int, item: ManifestItem) -> dict[str, Any]:
    return {
        "manifest": manifest,
        "position": position,
        "item_id": item.item_id,
        "path": item.path,
        "sha256": item.sha256,
        "size_bytes": item.size_bytes,
        "caption": item.caption,
        "mask": item.mask_sha256,
        "control": item.control_sha256,
        "problem": item.caption_problem,
        "excluded": item.excluded,
    }


def _read(row: Row[Any]) -> DatasetItem:
    item = ManifestItem(row.path, row.sha256, row.size_bytes, row.caption, row.mask, row.control, bool(row.excluded))
    return DatasetItem(item, _read_facts(row), row.position)


def _read_facts(row: Row[Any]) -> MediaFacts | None:
    if row.fact_sha256 is None:
        return None
    return MediaFacts(
        kind=MediaKind(row.fact_kind),
        format=row.fact_format,
        width=row.fact_width,
        height=row.fact_height,
        duration=row.fact_duration,
        fps=row.fact_fps,
        frame_count=row.fact_frame_count,
        is_variable_rate=row.fact_is_variable_rate,
        problem=row.fact_problem,
        problem_text=row.fact_problem_text,
    )
