"""Store the energy of tasks by GPU."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.tables import task_energy, tasks
from api.domain.training import TaskStatus

#: Seconds that may pass between two readings of one attempt. Servers on one database read at different moments.
GAP_SECONDS = 60.0

_ACTIVE = [status for status in TaskStatus if status.is_active]


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What one server measured at one GPU since its last reading. Times are in Unix seconds."""

    task_id: str
    gpu_uuid: str
    begun_at: float  #: start of the attempt
    at: float
    counter: float | None  #: J by the GPU's counter; None: it has none
    watts: float | None  #: the power now
    joules: float  #: estimated from the power since `since`; used only if the GPU has no counter
    since: float | None  #: the previous reading that this server knows; None: none
    is_end: bool  #: whether the attempt has ended


@dataclass(frozen=True, slots=True)
class Energy:
    """The energy of a task over all attempts and GPUs."""

    joules: float
    is_partial: bool  #: whether some of the time could not be measured


class EnergyStore:
    """The stored energy."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, reading: MeterReading) -> float:
        """Add what was used since the stored reading; return the time of the reading that is stored now."""
        key = (task_energy.c.task_id == reading.task_id, task_energy.c.gpu_uuid == reading.gpu_uuid)
        new = {
            "begun_at": reading.begun_at,
            "counter_joules": reading.counter,
            "measured_at": reading.at,
            "is_open": not reading.is_end,
        }
        is_late = reading.at - reading.begun_at > GAP_SECONDS
        with self._database.write() as connection:
            row = connection.execute(select(task_energy).where(*key).with_for_update()).one_or_none()
            if row is None:
                known = {"task_id": reading.task_id, "gpu_uuid": reading.gpu_uuid, "joules": 0.0}
                insert_missing(connection, task_energy, [{**known, **new, "is_partial": is_late}])
                return reading.at
            if row.begun_at != reading.begun_at:
                # The end of an earlier attempt may have been missed; what it used after its last reading is unknown.
                new |= {"is_partial": row.is_partial or row.is_open or is_late}
            else:
                if _is_behind(row, reading):
                    return float(row.measured_at)
                gain = _gain(row, reading)
                new |= {"joules": row.joules + (gain or 0.0), "is_partial": row.is_partial or gain is None}
            connection.execute(update(task_energy).where(*key).values(**new))
        return reading.at

    def of(self, task_ids: Collection[str]) -> dict[str, Energy]:
        """Return the energy of those of these tasks of which any is known."""
        columns = task_energy.c
        is_unended = and_(columns.is_open, tasks.c.status.not_in(_ACTIVE))
        query = (
            select(columns.task_id, func.sum(columns.joules), func.count().filter(columns.is_partial | is_unended))
            .join(tasks, tasks.c.task_id == columns.task_id)
            .where(columns.task_id.in_(list(task_ids)))
            .group_by(columns.task_id)
        )
        with self._database.read() as connection:
            return {
                task_id: Energy(joules, partial > 0) for task_id, joules, partial in connection.execute(query) if joules
            }


def _is_behind(row: Any, reading: MeterReading) -> bool:
    """Return whether another server has stored a later reading."""
    if reading.at < row.measured_at:
        return True
    is_lower = None not in (reading.counter, row.counter_joules) and reading.counter < row.counter_joules
    return is_lower and reading.at - row.measured_at < GAP_SECONDS


def _gain(row: Any, reading: MeterReading) -> float | None:
    """Return the energy since the stored reading; None if it is unknown, as after a restart of the driver."""
    if reading.counter is not None:
        before = row.counter_joules
        return float(reading.counter - before) if before is not None and reading.counter >= before else None
    if row.counter_joules is not None or reading.watts is None:
        return None
    if reading.since == row.measured_at:
        return reading.joules
    # Another server has stored it, or this one has started: a short time at the present power.
    gap = float(reading.at - row.measured_at)
    return reading.watts * gap if gap < GAP_SECONDS else None
