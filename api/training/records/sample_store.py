"""Samples of trainings in the database."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from api.db.database import Database
from api.db.dataset_tables import dataset_versions as versions
from api.db.insertion import insert_or_update
from api.db.rows import clean, to_seconds, to_time
from api.db.saved_tables import sample_orders, sampled_models
from api.db.tables import tasks, tracker_runs
from api.db.tables import training_samples as table
from api.domain.access.audit import note_change
from api.domain.datasets.dataset import PinnedDataset
from api.errors import SampleNotFound
from api.jobs.sampling.request import SampleRecord

#: Columns that a later record of the same sample replaces. The rating is not among them.
_RECORDED = (
    "file", "sha256", "pixels", "width", "height", "frames", "keys_missing", "workflow_hash", "comfyui_version",
    "problem",
)  # fmt: skip

#: Most versions of a dataset whose origins are searched for a trigger word.
_MOST_VERSIONS = 200
#: Limit of samples that a ranking or a sheet reads.
_MOST_READ = 20_000


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample with its prompt."""

    task_id: str  #: the training
    sampling_id: str  #: the task that renders it
    record: SampleRecord
    settings: str  #: a hash of prompt, seed, size, steps and workflow
    text: str
    negative: str | None
    created_at: datetime
    rating: int | None = None  #: 1 to 5, 0 for a rejected one; None: not rated
    serial: int = 0  #: assigned by the store

    @property
    def sample_id(self) -> str:
        """Its id, which is the same for every record of this checkpoint and prompt in the same task."""
        named = f"{self.sampling_id} {self.record.checkpoint or ''} {self.record.prompt}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]


class TrainingSampleStore:
    """The table of samples."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, samples: Sequence[StoredSample]) -> None:
        """Add samples, or replace what an earlier record of them said. Repeated calls change nothing."""
        rows = {each.sample_id: _row(each) for each in samples}
        if rows:
            with self._database.write() as connection:
                insert_or_update(connection, table, list(rows.values()), "sample_id", _RECORDED)

    def page(
        self,
        task_id: str,
        checkpoint: str | None,
        prompt: str | None,
        limit: int,
        offset: int | None,
        cursor: int | None,
    ) -> tuple[list[StoredSample], int]:
        """Return samples of a training, newest first, after the serial number `cursor`, and the total number.

        `checkpoint` is empty for the base model, None for all. `prompt` is the text of a prompt.
        """
        conditions = [table.c.task_id == task_id]
        if checkpoint is not None:
            conditions.append(table.c.checkpoint == checkpoint)
        if prompt is not None:
            conditions.append(table.c.text == prompt)
        query = select(table).where(*conditions).order_by(table.c.serial.desc()).limit(limit)
        query = query.offset(offset) if cursor is None else query.where(table.c.serial < cursor)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
            return [_read(row) for row in connection.execute(query)], total

    def after(self, task_id: str, serial: int, limit: int) -> list[StoredSample]:
        """Return samples of a training after this serial number, oldest first."""
        query = select(table).where(table.c.task_id == task_id, table.c.serial > serial)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.order_by(table.c.serial).limit(limit))]

    def get(self, task_id: str, sample_id: str) -> StoredSample:
        """Return a sample of a training. Raise SampleNotFound."""
        with self._database.read() as connection:
            return _find(connection, task_id, sample_id)

    def rate(self, task_id: str, sample_id: str, rating: int | None) -> StoredSample:
        """Store or remove a rating. Raise SampleNotFound."""
        with self._database.write() as connection:
            before = _find(connection, task_id, sample_id)
            note_change(about=sample_id, before={"rating": before.rating}, after={"rating": rating})
            connection.execute(update(table).where(*_is(task_id, sample_id)).values(rating=rating))
            return _find(connection, task_id, sample_id)

    def common(self, task_ids: Collection[str], most: int) -> tuple[list[list[StoredSample]], int]:
        """Return the samples of prompts that at least two of these trainings have with the same seed.

        One list per prompt and seed, of the `most` sampled last, with the newest sample of each saved model. Return
        also the number of such prompts.
        """
        is_theirs = table.c.task_id.in_(task_ids)
        shared = (
            select(table.c.text, table.c.seed, func.max(table.c.serial).label("newest"))
            .where(is_theirs)
            .group_by(table.c.text, table.c.seed)
            .having(func.count(table.c.task_id.distinct()) > 1)
        ).subquery()
        shown = select(shared).order_by(shared.c.newest.desc()).limit(most).subquery()
        newest = select(func.max(table.c.serial)).where(is_theirs)
        newest = newest.group_by(table.c.task_id, table.c.checkpoint, table.c.text, table.c.seed)
        is_shown = (shown.c.text == table.c.text) & (shown.c.seed == table.c.seed)
        query = select(table, shown.c.newest).join(shown, is_shown).where(table.c.serial.in_(newest))
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(shared)) or 0
            rows = connection.execute(query.order_by(shown.c.newest.desc(), table.c.serial)) if total else ()
            groups = [[_read(row) for row in group] for _, group in groupby(rows, lambda row: row.newest)]
        return groups, total

    def cells(self, task_id: str) -> list[StoredSample]:
        """Return the newest sample of each saved model, prompt and strength, oldest first, of at most 20,000 samples.

        Its rating is that of the newest rated one, so that rendering again loses none.
        """
        query = select(table).where(table.c.task_id == task_id).order_by(table.c.serial.desc()).limit(_MOST_READ)
        found: dict[tuple[str, str, float], StoredSample] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                sample, key = _read(row), (row.checkpoint, row.settings, row.strength)
                newest = found.setdefault(key, sample)
                if newest.rating is None and sample.rating is not None:
                    found[key] = replace(newest, rating=sample.rating)
        return list(reversed(found.values()))

    def best(self, task_id: str, checkpoint: str, limit: int) -> list[StoredSample]:
        """Return the pictures of a model, the best rated first, each prompt and its settings once; no rejected ones."""
        query = select(table).where(
            table.c.task_id == task_id,
            table.c.checkpoint == checkpoint,
            table.c.file.is_not(None),
            func.coalesce(table.c.rating, 1) > 0,
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(func.coalesce(table.c.rating, 0).desc(), table.c.serial.desc()))
            found = {row.settings: _read(row) for row in reversed(rows.all())}
        return list(reversed(found.values()))[:limit]

    def pictured(self, task_id: str) -> list[str]:
        """Return the models of which there are pictures that were not rejected."""
        query = select(table.c.checkpoint).where(
            table.c.task_id == task_id,
            table.c.checkpoint != "",
            table.c.file.is_not(None),
            func.coalesce(table.c.rating, 1) > 0,
        )
        with self._database.read() as connection:
            return sorted(connection.scalars(query.distinct()))

    def find_trigger(self, datasets: Sequence[PinnedDataset]) -> str | None:
        """Return the trigger word that preprocessing put in front of these datasets' captions, or None."""
        for pin in datasets:
            origin = (
                select(versions.c.origin["task"].as_string())
                .where(versions.c.dataset == pin.serial, versions.c.ordinal <= pin.version)
                .order_by(versions.c.ordinal.desc())
            )
            with self._database.read() as connection:
                for task_id in filter(None, connection.scalars(origin.limit(_MOST_VERSIONS))):
                    request = connection.scalar(select(tasks.c.request).where(tasks.c.task_id == task_id))
                    trigger = _trigger_in(request)
                    if trigger is not None:
                        return trigger
        return None


def _trigger_in(request: Any) -> str | None:
    """Return the trigger word of the stored request of a preprocessing task, or None."""
    config = request.get("config") if isinstance(request, dict) else None
    captions = config.get("captions") if isinstance(config, dict) else None
    trigger = captions.get("trigger") if isinstance(captions, dict) else None
    return trigger if isinstance(trigger, str) and trigger else None


def remove_samples(connection: Connection, task_id: str) -> None:
    """Delete the samples of a training, its automatic ones to come and what trackers received; or those of a task."""
    connection.execute(delete(table).where((table.c.task_id == task_id) | (table.c.sampling_id == task_id)))
    for each in (sample_orders, sampled_models, tracker_runs):
        connection.execute(delete(each).where(each.c.task_id == task_id))


def _is(task_id: str, sample_id: str) -> tuple[ColumnElement[bool], ...]:
    return table.c.task_id == task_id, table.c.sample_id == sample_id


def _find(connection: Connection, task_id: str, sample_id: str) -> StoredSample:
    row = connection.execute(select(table).where(*_is(task_id, sample_id))).one_or_none()
    if row is None:
        raise SampleNotFound
    return _read(row)


def _row(sample: StoredSample) -> dict[str, Any]:
    record = sample.record
    values = {name: getattr(record, name) for name in _RECORDED}
    return {
        **{name: clean(value) if isinstance(value, str) else value for name, value in values.items()},
        "sample_id": sample.sample_id,
        "task_id": sample.task_id,
        "sampling_id": sample.sampling_id,
        "checkpoint": record.checkpoint or "",
        "prompt_index": record.prompt,
        "settings": sample.settings,
        "text": clean(sample.text),
        "negative": None if sample.negative is None else clean(sample.negative),
        "seed": record.seed,
        "strength": record.strength,
        "created_at": to_seconds(sample.created_at),
    }


def _read(row: Row[Any]) -> StoredSample:
    record = SampleRecord(
        row.checkpoint or None,
        row.prompt_index,
        row.seed,
        row.strength,
        **{name: getattr(row, name) for name in _RECORDED},
    )
    return StoredSample(
        row.task_id,
        row.sampling_id,
        record,
        row.settings,
        row.text,
        row.negative,
        to_time(row.created_at),
        row.rating,
        row.serial,
    )
