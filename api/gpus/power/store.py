"""Store the power limits that users have set for GPUs."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from api.db.database import Database
from api.db.insertion import insert_or_update
from api.db.rows import to_seconds, to_time
from api.db.tables import power_limits
from api.domain.access.audit import note_change
from api.domain.tasks.schedule import Schedule, dump_window, read_window


@dataclass(frozen=True, slots=True)
class PowerLimit:
    """The power limit of a GPU that a user has set."""

    gpu_uuid: str
    node: str  #: the machine of the GPU, which sets it
    watts: float
    restore_watts: float  #: the limit before
    hours: Schedule  #: when it applies; without windows always
    is_removed: bool  #: whether the earlier limit is to be restored
    updated_at: datetime
    updated_by: str


class PowerLimitStore:
    """The stored power limits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[PowerLimit]:
        """Return every limit, also those that are being removed."""
        with self._database.read() as connection:
            return [
                PowerLimit(
                    row.gpu_uuid,
                    row.node,
                    row.watts,
                    row.restore_watts,
                    Schedule(row.time_zone, tuple(map(read_window, row.windows))),
                    row.is_removed,
                    to_time(row.updated_at),
                    row.updated_by,
                )
                for row in connection.execute(select(power_limits))
            ]

    def put(self, limit: PowerLimit) -> None:
        """Store a limit. The GPU's earlier one is replaced, but what is restored later stays."""
        row = {
            "gpu_uuid": limit.gpu_uuid,
            "node": limit.node,
            "watts": limit.watts,
            "restore_watts": limit.restore_watts,
            "time_zone": limit.hours.time_zone,
            "windows": list(map(dump_window, limit.hours.windows)),
            "is_removed": limit.is_removed,
            "updated_at": to_seconds(limit.updated_at),
            "updated_by": limit.updated_by,
        }
        changed = tuple(name for name in row if name not in ("gpu_uuid", "restore_watts"))
        shown = {name: row[name] for name in ("watts", "time_zone", "windows")}
        with self._database.write() as connection:
            of_gpu = select(*[power_limits.c[name] for name in shown]).where(power_limits.c.gpu_uuid == limit.gpu_uuid)
            before = connection.execute(of_gpu.with_for_update()).one_or_none()
            insert_or_update(connection, power_limits, [row], "gpu_uuid", changed)
            note_change(about=limit.gpu_uuid, before=None if before is None else before._asdict(), after=shown)

    def remove(self, gpu_uuid: str, now: datetime, by: str) -> bool:
        """Store that the earlier limit is to be restored. Return False if no limit is set."""
        is_set = (power_limits.c.gpu_uuid == gpu_uuid) & ~power_limits.c.is_removed
        values = {"is_removed": True, "updated_at": to_seconds(now), "updated_by": by}
        with self._database.write() as connection:
            watts = connection.scalar(select(power_limits.c.watts).where(is_set).with_for_update())
            if watts is not None:
                connection.execute(update(power_limits).where(is_set).values(values))
                note_change(about=gpu_uuid, before={"watts": watts}, after={"watts": None})
        return watts is not None

    def forget(self, gpu_uuid: str) -> None:
        """Delete a removed limit after the earlier one was restored, unless a new one was set meanwhile."""
        removed = (power_limits.c.gpu_uuid == gpu_uuid) & power_limits.c.is_removed
        with self._database.write() as connection:
            connection.execute(delete(power_limits).where(removed))
