"""Measure the energy of tasks at their GPUs.

A GPU belongs to one task at a time, so that no energy counts twice. A GPU's own counter is exact across restarts of
this service, because its last value is stored. Without such a counter the measured power is added up.
"""

from collections.abc import Collection
from dataclasses import dataclass

from api.gpus.judgement import JudgedGPU
from api.gpus.service import GPUService
from api.training.energy_store import EnergyStore, MeterReading
from api.training.views import EnergyView
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

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
        self._thread = PeriodicThread("energy", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Start measuring."""
        self._thread.start()

    def stop(self) -> None:
        """Stop measuring."""
        self._thread.stop()

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
