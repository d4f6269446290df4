"""Presets of users in the database."""

from typing import Any

from sqlalchemy import Row, delete, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import dump_fields, read_fields, select_page
from api.db.saved_tables import presets
from api.domain.access.audit import note_change
from api.errors import PresetExists, PresetNotFound, TooManyPresets
from api.presets.models import MOST_PRESETS, OwnPreset
from api.util.http.pagination import Page, PageRequest

#: The owner of a preset that has none. A unique key does not compare NULL.
_NO_OWNER = ""


class PresetStore:
    """The table of presets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: OwnPreset) -> OwnPreset:
        """Store a new preset. Raises PresetExists, TooManyPresets."""
        try:
            with self._database.write() as connection:
                connection.execute(insert(presets).values(_row(new)))
                # On PostgreSQL, concurrent additions may exceed the limit by a few.
                of_owner = presets.c.owner == (new.owner or _NO_OWNER)
                if (connection.scalar(select(func.count()).where(of_owner)) or 0) > MOST_PRESETS:
                    raise TooManyPresets(data={"most": MOST_PRESETS})
                note_change(about=new.preset_id, after=_noted(new))
        except IntegrityError:
            raise PresetExists.named(new.name) from None
        return new

    def get(self, preset_id: str) -> OwnPreset:
        """Return a preset. Raises PresetNotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(presets).where(presets.c.preset_id == preset_id)).one_or_none()
        if row is None:
            raise PresetNotFound.named(preset_id)
        return _read(row)

    def replace(self, changed: OwnPreset, before: OwnPreset) -> OwnPreset:
        """Store a changed preset. Raises PresetNotFound, PresetExists."""
        try:
            with self._database.write() as connection:
                mine = presets.c.preset_id == changed.preset_id
                if connection.execute(update(presets).where(mine).values(_row(changed))).rowcount == 0:
                    raise PresetNotFound.named(changed.preset_id)
                note_change(about=changed.preset_id, before=_noted(before), after=_noted(changed))
        except IntegrityError:
            raise PresetExists.named(changed.name) from None
        return changed

    def remove(self, preset: OwnPreset) -> None:
        """Delete a preset. Raises PresetNotFound."""
        with self._database.write() as connection:
            mine = presets.c.preset_id == preset.preset_id
            if connection.execute(delete(presets).where(mine)).rowcount == 0:
                raise PresetNotFound.named(preset.preset_id)
            note_change(about=preset.preset_id, before=_noted(preset))

    def page(self, model_type: str | None, reader: str | None, request: PageRequest) -> Page[OwnPreset]:
        """Return presets, newest first. With `reader`, only those of this user and shared ones."""
        is_of_type = true() if model_type is None else presets.c.model_type == model_type
        is_visible = true() if reader is None else or_(presets.c.shared.is_(True), presets.c.owner == reader)
        query = select(presets).where(is_of_type, is_visible)
        with self._database.read() as connection:
            return select_page(connection, query, presets.c.serial, request, _read)


def _row(preset: OwnPreset) -> dict[str, Any]:
    return dump_fields(preset, presets, owner=preset.owner or _NO_OWNER)


def _noted(preset: OwnPreset) -> dict[str, Any]:
    """Return the fields of a preset for the audit log."""
    return {name: getattr(preset, name) for name in ("name", "model_type", "shared", "settings", "dataset")}


def _read(row: Row[Any]) -> OwnPreset:
    return read_fields(OwnPreset, row, owner=row.owner or None)
