"""Measure the energy of tasks at their GPUs.

A GPU belongs to one task at a time, so that no energy counts twice. A GPU's own counter is exact across restarts of
this service, because its last value is stored. Without such a counter the measured power is added up.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.tables import task_energy, tasks
from api.domain.tasks.training import TaskStatus
from api.gpus.health.judgement import JudgedGPU
from api.gpus.power.views import EnergyView
from api.gpus.service import GPUService
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

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


#: Seconds between two readings, and between two that are stored.
ROUND_SECONDS, STORE_SECONDS = 5.0, 30.0

#: Most seconds over which a power reading counts.
_LONGEST_STEP = 20.0

_JOULES_PER_KWH = 3.6e6


@dataclass(slots=True)
class _Meter:
    """What this server knows of one attempt on one GPU."""

    begun_at: float
    read_at: float  #: monotonic
    stored_at: float = float("-inf")  #: monotonic
    since: float | None = None  #: Unix time of the stored reading
    joules: float = 0.0


class EnergyMeter:
    """Reads the GPUs that tasks hold. Any number of servers may read the same GPU."""

    def __init__(self, store: EnergyStore, gpus: GPUService, clock: Clock) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._meters: dict[tuple[str, str], _Meter] = {}
        self.thread = PeriodicThread("energy", ROUND_SECONDS, self.run_once)

    def run_once(self) -> None:
        """Read each GPU that a task holds, and store what is due. Raise DatabaseUnavailable: nothing is lost."""
        state, held = self._gpus.state, set[tuple[str, str]]()
        for uuid, gpu in state.by_uuid.items():
            task = gpu.task
            if task is None or not task.is_started_here or task.has_ended:
                continue
            key, begun_at = (task.task_id, uuid), task.started_at.timestamp()
            meter = self._meters.get(key)
            if meter is not None and meter.begun_at != begun_at:
                self._end(key, meter, gpu)
                meter = None
            held.add(key)
            if meter is None:
                meter = self._meters[key] = _Meter(begun_at, self._clock.monotonic())
            self._read(key, meter, gpu, is_end=False)
        for key in self._meters.keys() - held:
            self._end(key, self._meters[key], state.by_uuid.get(key[1]))

    def _end(self, key: tuple[str, str], meter: _Meter, gpu: JudgedGPU | None) -> None:
        if gpu is not None:
            self._read(key, meter, gpu, is_end=True)
        del self._meters[key]

    def _read(self, key: tuple[str, str], meter: _Meter, gpu: JudgedGPU, *, is_end: bool) -> None:
        counter, watts, now = gpu.vitals.energy_joules, gpu.vitals.power_watts, self._clock.monotonic()
        if gpu.judgement.stale or gpu.reading.fault is not None or (counter is None and watts is None):
            return
        step, meter.read_at = now - meter.read_at, now
        if watts is not None:
            meter.joules += watts * min(step, _LONGEST_STEP)
        if not is_end and now - meter.stored_at < STORE_SECONDS:
            return
        at, since = self._clock.now().timestamp(), meter.since
        reading = MeterReading(*key, meter.begun_at, at, counter, watts, meter.joules, since, is_end)
        meter.since, meter.stored_at, meter.joules = self._store.record(reading), now, 0.0


class EnergyBook:
    """The energy of tasks, and what it cost."""

    def __init__(self, store: EnergyStore, price: float | None, currency: str) -> None:
        """`price` is that of a kWh; None: unknown."""
        self._store = store
        self._price = price
        self._currency = currency

    def of(self, task_ids: Collection[str]) -> dict[str, EnergyView]:
        """Return the energy of those of these tasks of which it is known. Raise DatabaseUnavailable."""
        return {
            task_id: EnergyView(
                round(found.joules / _JOULES_PER_KWH, 4),
                None if self._price is None else round(found.joules / _JOULES_PER_KWH * self._price, 4),
                self._currency or None,
                found.is_partial,
            )
            for task_id, found in self._store.of(task_ids).items()
        }
