"""Samples of versions in the database."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from api.db.database import Database
from api.db.registry_tables import registry_models, registry_samples, registry_versions
from api.db.rows import dump_fields, read_fields, to_seconds
from api.domain.access.audit import note_change
from api.domain.datasets.dataset import MediaKind
from api.domain.samples.library_sample import MOST_SAMPLES, ModelSample, NewSample, SampleSettings
from api.errors import SampleNotFound, TooManySamples

#: The facts of a file that are stored.
_FACTS = ("kind", "width", "height", "duration", "fps", "frame_count")


class RegistrySampleStore:
    """The table of samples. A version is identified by its model's serial and its number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: int, ordinal: int, new: NewSample, now: datetime) -> ModelSample:
        """Add a sample. Repeated calls with its id add it once.

        Raises TooManySamples, and SampleNotFound if its version was deleted.
        """
        with self._database.write() as connection:
            # Concurrent calls wait here, so that each counts the samples of the one before.
            _lock(connection, model)
            mine = (registry_samples.c.model == model) & (registry_samples.c.ordinal == ordinal)
            is_it = registry_samples.c.sample_id == new.sample_id
            if connection.scalar(select(registry_samples.c.serial).where(mine, is_it)) is None:
                if (
                    connection.scalar(select(func.count()).select_from(registry_samples).where(mine)) or 0
                ) >= MOST_SAMPLES:
                    raise TooManySamples(data={"most": MOST_SAMPLES})
                version = (registry_versions.c.model == model) & (registry_versions.c.ordinal == ordinal)
                if connection.scalar(select(registry_versions.c.ordinal).where(version)) is None:
                    raise SampleNotFound("The version of the sample was deleted.")
                connection.execute(insert(registry_samples).values(_row(model, ordinal, new, now)))
                note_change(about=new.sample_id, after={"version": ordinal, "sha256": new.sha256})
        return self.get(model, ordinal, new.sample_id)

    def get(self, model: int, ordinal: int, sample_id: str) -> ModelSample:
        """Return a sample of a version. Raises SampleNotFound."""
        found = next((each for each in self.of_version(model, ordinal) if each.sample_id == sample_id), None)
        if found is None:
            raise SampleNotFound
        return found

    def of_version(self, model: int, ordinal: int) -> list[ModelSample]:
        """Return the samples of a version, oldest first."""
        mine = (registry_samples.c.model == model) & (registry_samples.c.ordinal == ordinal)
        with self._database.read() as connection:
            query = select(registry_samples).where(mine).order_by(registry_samples.c.serial)
            return [_read(row) for row in connection.execute(query)]

    def remove(self, model: int, ordinal: int, sample_id: str) -> None:
        """Delete a sample. Raises SampleNotFound."""
        mine = (registry_samples.c.model == model) & (registry_samples.c.ordinal == ordinal)
        with self._database.write() as connection:
            note_change(about=sample_id, before={"version": ordinal})
            is_it = registry_samples.c.sample_id == sample_id
            if connection.execute(delete(registry_samples).where(mine, is_it)).rowcount == 0:
                raise SampleNotFound


def needed_by_samples(connection: Connection, hashes: Sequence[str]) -> set[str]:
    """Return those of these blobs that are samples."""
    query = select(registry_samples.c.sha256).where(registry_samples.c.sha256.in_(hashes))
    return set(connection.scalars(query))


def bytes_of_samples(connection: Connection) -> dict[str, int]:
    """Return the bytes of the samples of each user's models."""
    query = (
        select(registry_models.c.owner, func.sum(registry_samples.c.size_bytes).label("bytes"))
        .join(registry_samples, registry_models.c.serial == registry_samples.c.model)
        .where(registry_models.c.owner.is_not(None))
        .group_by(registry_models.c.owner)
    )
    return {row.owner: int(row.bytes) for row in connection.execute(query)}


def copy_samples(connection: Connection, model: int, source: int, target: int) -> None:
    """Copy the samples of a version to another version of the same model with the same tensors."""
    mine = (registry_samples.c.model == model) & (registry_samples.c.ordinal == source)
    query = select(registry_samples).where(mine).order_by(registry_samples.c.serial)
    for row in connection.execute(query).mappings().all():
        values = {name: value for name, value in row.items() if name != "serial"}
        changed = {"ordinal": target, "sample_id": secrets.token_hex(16)}
        connection.execute(insert(registry_samples).values({**values, **changed}))


def remove_samples(connection: Connection, model: int, ordinal: int | None = None) -> None:
    """Delete the samples of a version, or of all versions of a model if `ordinal` is None."""
    mine = registry_samples.c.model == model
    if ordinal is not None:
        mine &= registry_samples.c.ordinal == ordinal
    connection.execute(delete(registry_samples).where(mine))


def _lock(connection: Connection, model: int) -> None:
    connection.execute(select(registry_models.c.serial).where(registry_models.c.serial == model).with_for_update())


def _row(model: int, ordinal: int, new: NewSample, now: datetime) -> dict[str, Any]:
    facts = asdict(new.facts)
    return dump_fields(
        new,
        registry_samples,
        **dump_fields(new.settings, registry_samples),
        model=model,
        ordinal=ordinal,
        facts={name: facts[name] for name in _FACTS},
        created_at=to_seconds(now),
    )


def _read(row: Row[Any]) -> ModelSample:
    facts = {**row.facts, "kind": MediaKind(row.facts["kind"])}
    return read_fields(ModelSample, row, **facts, settings=SampleSettings(row.prompt, row.seed, row.step))
