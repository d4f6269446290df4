"""Measured GPU memory of trainings, stored longer than their tasks."""

from dataclasses import asdict

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select

from api.db.database import Database
from api.db.measurement_tables import memory_runs
from api.domain.measured_memory import MemoryFacts, MemoryRun

_FACTS = TypeAdapter(MemoryFacts)

#: Limit of runs per variant; the latest are used.
_MOST_RUNS = 1_000


class MemoryRunStore:
    """Reads stored measurements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, model_type: str, variant: str | None) -> list[MemoryRun]:
        """Return the latest runs of a variant, newest first. Empty if the variant is unknown."""
        if variant is None:
            return []
        mine = (memory_runs.c.model_type == model_type) & (memory_runs.c.variant == variant)
        query = select(memory_runs.c.facts, memory_runs.c.peak_mb).where(mine)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(memory_runs.c.serial.desc()).limit(_MOST_RUNS)).all()
        return [MemoryRun(_FACTS.validate_python(row.facts), row.peak_mb) for row in rows]


def store_memory_run(connection: Connection, attempt_uid: str, run: MemoryRun, seconds: float) -> None:
    """Store the memory that an attempt used, in the transaction that ends the attempt."""
    row = {
        "attempt_uid": attempt_uid,
        "model_type": run.facts.model_type,
        "variant": run.facts.variant,
        "facts": asdict(run.facts),
        "peak_mb": run.peak_mb,
        "measured_at": seconds,
    }
    connection.execute(insert(memory_runs).values(row))
