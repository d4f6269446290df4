"""Store the schedule: the weekly windows in which trainings may run."""

from datetime import datetime

from sqlalchemy import select

from api.db.database import Database
from api.db.insertion import insert_or_update
from api.db.rows import to_seconds
from api.db.tables import schedule
from api.domain.access.audit import note_change
from api.domain.tasks.schedule import Schedule, dump_window, read_window

# Built once: each scheduling pass executes it.
_READ = select(schedule.c.time_zone, schedule.c.windows)

_ONLY = 1  #: the id of the only row


class ScheduleStore:
    """The stored schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Schedule:
        """Return the schedule; without a stored one, trainings may always run."""
        with self._database.read() as connection:
            row = connection.execute(_READ).one_or_none()
        return Schedule() if row is None else Schedule(row.time_zone, tuple(map(read_window, row.windows)))

    def replace(self, new: Schedule, now: datetime, by: str) -> None:
        """Store this schedule instead of the earlier one."""
        row = {
            "id": _ONLY,
            "time_zone": new.time_zone,
            "windows": list(map(dump_window, new.windows)),
            "updated_at": to_seconds(now),
            "updated_by": by,
        }
        shown = {name: row[name] for name in ("time_zone", "windows")}
        with self._database.write() as connection:
            before = connection.execute(_READ.with_for_update()).one_or_none()
            insert_or_update(connection, schedule, [row], "id", tuple(row))
            note_change(about="schedule", before=None if before is None else before._asdict(), after=shown)
