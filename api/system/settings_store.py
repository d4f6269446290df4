"""Store settings that were changed at run time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.tables import stored_settings
from api.domain.access.audit import note_change
from api.errors import Conflict


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A stored value: a text as in the environment, or an encrypted secret."""

    value: str | None
    sealed: bytes | None
    updated_at: float
    updated_by: str

    def shown(self) -> str:
        """Return the value for the audit."""
        return "***" if self.value is None else self.value


class SettingsStore:
    """The stored settings, by key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> dict[str, StoredSetting]:
        """Return every stored setting."""
        with self._database.read() as connection:
            return {row.key: _read(row) for row in connection.execute(select(stored_settings))}

    def change(self, changes: Mapping[str, StoredSetting | None]) -> None:
        """Store these values, and delete those that are None, all at once. Raises Conflict."""
        mine = stored_settings.c.key.in_(changes)
        try:
            with self._database.write() as connection:
                found = connection.execute(select(stored_settings).where(mine).with_for_update())
                before = {row.key: _read(row).shown() for row in found}
                connection.execute(delete(stored_settings).where(mine))
                # In one order, so that two requests on PostgreSQL cannot wait for each other.
                for key, new in sorted(changes.items()):
                    if new is not None:
                        connection.execute(insert(stored_settings).values(key=key, **asdict(new)))
                after = {key: None if new is None else new.shown() for key, new in changes.items()}
                note_change(about="settings", before={key: before.get(key) for key in changes}, after=after)
        except IntegrityError:
            raise Conflict(
                "Another request has just stored one of these settings. Read them, then try again."
            ) from None


def _read(row: Any) -> StoredSetting:
    sealed = None if row.sealed is None else bytes(row.sealed)
    return StoredSetting(row.value, sealed, row.updated_at, row.updated_by)
