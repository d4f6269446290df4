"""Stored facts about the bytes of blobs, shared by all datasets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select

from api.db.database import Database
from api.db.dataset_tables import media_facts
from api.db.insertion import insert_missing
from api.db.rows import to_seconds
from api.domain.dataset import MediaFacts, MediaKind
from api.domain.media import PROBER, MediaProbe
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
        "sha256": sha256,
        "kind": facts.kind.value,
        "format": None if facts.format is None else facts.format[:32],
        "width": facts.width,
        "height": facts.height,
        "duration": facts.duration,
        "fps": facts.fps,
        "frame_count": facts.frame_count,
        "stated_frames": _bounded(probe.stated_frames),
        "rotation": probe.rotation,
        "is_variable_rate": facts.is_variable_rate,
        "problem": facts.problem,
        "problem_text": facts.problem_text,
        "perceptual_hash": probe.perceptual_hash,
        "prober": PROBER,
        "probed_at": to_seconds(now),
    }


def _bounded(value: int | None) -> int | None:
    """Return a number from a header, which may be anything, or None if it is impossible."""
    return value if value is not None and 0 <= value < 2**31 else None


def _read(row: Row[Any]) -> MediaProbe:
    facts = MediaFacts(
        kind=MediaKind(row.kind),
        format=row.format,
        width=row.width,
        height=row.height,
        duration=row.duration,
        fps=row.fps,
        frame_count=row.frame_count,
        is_variable_rate=row.is_variable_rate,
        problem=row.problem,
        problem_text=row.problem_text,
    )
    return MediaProbe(facts, row.stated_frames, row.rotation or 0, row.perceptual_hash)
