"""Outcomes of earlier processing, stored for reuse."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update

from api.db.database import Database
from api.db.dataset_tables import derivations
from api.db.insertion import insert_missing
from api.db.rows import to_seconds
from api.util.batches import in_batches

_BATCH = 500

#: Outcomes that are unused for this time are deleted; the files themselves belong to versions.
KEPT = timedelta(days=365)


class DerivationStore:
    """Outcomes by a key that hashes the source, the settings and the program."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, keys: Iterable[str], now: datetime) -> dict[str, Any]:
        """Return the known outcomes by key, and mark them as used now."""
        wanted, found = list(dict.fromkeys(keys)), dict[str, Any]()
        for batch in in_batches(wanted, _BATCH):
            some = derivations.c.key.in_(batch)
            with self._database.read() as connection:
                rows = connection.execute(select(derivations.c.key, derivations.c.outputs).where(some)).all()
            found |= {row.key: row.outputs for row in rows}
        for batch in in_batches(list(found), _BATCH):
            with self._database.write(is_audited=False) as connection:
                used = update(derivations).where(derivations.c.key.in_(batch))
                connection.execute(used.values(used_at=to_seconds(now)))
        return found

    def keep(self, outcomes: Mapping[str, Any], now: datetime) -> None:
        """Store outcomes by key unless they are known; delete those that were unused for a year."""
        for batch in in_batches(list(outcomes), _BATCH):
            rows = [{"key": key, "outputs": outcomes[key], "used_at": to_seconds(now)} for key in batch]
            with self._database.write(is_audited=False) as connection:
                insert_missing(connection, derivations, rows)
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(derivations).where(derivations.c.used_at < to_seconds(now - KEPT)))

    def forget(self, keys: Iterable[str]) -> None:
        """Delete outcomes whose files are missing."""
        for batch in in_batches(list(keys), _BATCH):
            with self._database.write(is_audited=False) as connection:
                connection.execute(delete(derivations).where(derivations.c.key.in_(batch)))
