"""Stored facts about the bytes of blobs, shared by all datasets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select

from api.db.database import Database
from api.db.dataset_tables import media_facts
from api.db.insertion import insert_missing
from api.db.rows import read_fields, to_seconds
from api.domain.datasets.dataset import MediaFacts
from api.domain.datasets.media import PROBER, MediaProbe
from api.util.batches import in_batches

#: Hashes per statement, and rows per transaction.
_BATCH = 500


class MediaFactsStore:
    """Facts by the SHA-256 of a blob. Facts of an earlier version of the prober count as unknown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, hashes: Collection[str]) -> dict[str, MediaProbe]:
        """Return the facts about these blobs; unknown ones are omitted."""
        found: dict[str, MediaProbe] = {}
        for batch in _batches(hashes):
            query = select(media_facts).where(media_facts.c.sha256.in_(batch), media_facts.c.prober == PROBER)
            with self._database.read() as connection:
                found.update((row.sha256, _read(row)) for row in connection.execute(query))
        return found

    def put(self, probes: Mapping[str, MediaProbe], now: datetime) -> None:
        """Store facts about blobs. Existing facts are not changed: the same bytes have the same facts."""
        for batch in _batches(probes):
            rows = [_write(sha256, probes[sha256], now) for sha256 in batch]
            with self._database.write(is_audited=False) as connection:
                outdated = media_facts.c.sha256.in_(batch) & (media_facts.c.prober != PROBER)
                connection.execute(delete(media_facts).where(outdated))
                insert_missing(connection, media_facts, rows)


def _batches(hashes: Collection[str]) -> Iterator[Sequence[str]]:
    # Sorted, so that two concurrent writers lock rows in the same order.
    return in_batches(sorted(hashes), _BATCH)


def _write(sha256: str, probe: MediaProbe, now: datetime) -> dict[str, Any]:
    facts = probe.facts
    return {
        **asdict(facts),
        "sha256": sha256,
        "format": None if facts.format is None else facts.format[:32],
        "stated_frames": _bounded(probe.stated_frames),
        "rotation": probe.rotation,
        "perceptual_hash": probe.perceptual_hash,
        "prober": PROBER,
        "probed_at": to_seconds(now),
    }


def _bounded(value: int | None) -> int | None:
    """Return a number from a header, which may be anything, or None if it is impossible."""
    return value if value is not None and 0 <= value < 2**31 else None


def _read(row: Row[Any]) -> MediaProbe:
    facts = read_fields(MediaFacts, row)
    return MediaProbe(facts, row.stated_frames, row.rotation or 0, row.perceptual_hash)
