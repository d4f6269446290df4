"""Read one GPU of the source, and decide which readings are due."""

import logging
from dataclasses import replace
from datetime import datetime

from api.domain.machines.reading import FaultKind, GPUCondition, GPUIdentity, GPUProcess, GPUVitals
from api.domain.reason import Reason, text_of
from api.gpus.reader_threads import Reader
from api.gpus.snapshot import GPUReading
from api.gpus.sources.source import GPUFault, GPUSource, ProcessesUnlistedError
from api.gpus.wanted_power import LimitOutcome, LimitRefused, WantedLimits
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds between two readings of rarely changing values, and between two process lists (4.5 ms per GPU).
CONDITION_SECONDS = 30.0
PROCESS_SECONDS = 15.0

# The intervals are multiples of sweeps: a slightly early sweep must not postpone a reading to the next one.
_EARLY = 0.5

#: Change of used memory in MB that causes an immediate process list: a process probably started or ended.
MEMORY_MOVED_MB = 64


class GPUReader:
    """Reads one GPU, in a dedicated thread. `latest` is replaced as a whole."""

    def __init__(self, number: int, source: GPUSource, clock: Clock, limits: WantedLimits | None = None) -> None:
        self.number = number
        self._source = source
        self._clock = clock
        self._limits = limits or WantedLimits()
        self._identity: GPUIdentity | None = None
        self._condition: GPUCondition | None = None
        self._processes: tuple[GPUProcess, ...] | None = None
        self._processes_unlisted: str | None = None
        self._generation = 0
        self._condition_at = self._processes_at = float("-inf")
        self._memory_at_processes: int | None = None
        self.latest = GPUReading(
            index=number,
            identity=None,
            fault=FaultKind.UNREADABLE,
            fault_reason=Reason.of("not read yet", "never_read"),
        )
        self.reader = Reader(f"gpu-{number}", self.read, clock)

    def read(self) -> None:
        """Read the vitals, and everything else that is due."""
        try:
            self.latest = self._read(self._clock.monotonic(), self._clock.now())
        except GPUFault as fault:
            self._forget()
            lost = fault.kind is FaultKind.LOST
            self.latest = replace(
                self.latest,
                vitals=None if lost else self.latest.vitals,
                condition=None if lost else self.latest.condition,
                processes=None if lost else self.latest.processes,
                fault=fault.kind,
                fault_reason=fault.reason,
            )

    def _read(self, began: float, began_at: datetime) -> GPUReading:
        generation = self._source.generation
        if self._identity is None or self._generation != generation:
            self._forget()
            self._identity = self._source.identify(self.number)
            self._generation = generation
        vitals = _with_rates(self._source.read_vitals(self._identity), self.latest, began)
        if began - self._condition_at >= CONDITION_SECONDS - _EARLY:
            self._condition = self._source.read_condition(self._identity)
            self._condition_at = began
        self._set_limit(self._identity, began)
        if self._processes_are_due(began, vitals):
            try:
                self._processes, self._processes_unlisted = self._source.read_processes(self._identity), None
            except ProcessesUnlistedError as error:
                self._processes, self._processes_unlisted = None, str(error)
            self._processes_at = began
            self._memory_at_processes = vitals.memory_used_mb
        return GPUReading(
            index=self.number,
            identity=self._identity,
            vitals=vitals,
            condition=self._condition,
            processes=self._processes,
            processes_unlisted=self._processes_unlisted,
            read_at=began_at,
            read_monotonic=began,
            own_limit_watts=self._limits.find_own(self._identity.uuid),
        )

    def _set_limit(self, gpu: GPUIdentity, now: float) -> None:
        """Set the wanted power limit here, so that a driver that hangs in that call holds up this GPU only."""
        current = None if self._condition is None else self._condition.power_limit_watts
        watts = self._limits.find_due(gpu.uuid, current, now)
        if watts is None:
            return
        problem = None
        try:
            self._source.set_power_limit(gpu, watts)
        except LimitRefused as refused:
            problem = refused.reason
            logger.warning("power limit refused", extra={"gpu": gpu.uuid, "watts": watts, "why": text_of(problem)})
        else:
            logger.info("power limit set", extra={"gpu": gpu.uuid, "watts": watts, "before": current})
        # Noted before the next reading, which shows the change.
        self._limits.note(gpu.uuid, LimitOutcome(watts, problem, now))
        self._condition = self._source.read_condition(gpu)

    def _processes_are_due(self, now: float, vitals: GPUVitals) -> bool:
        if now - self._processes_at >= PROCESS_SECONDS - _EARLY:
            return True
        used, before = vitals.memory_used_mb, self._memory_at_processes
        return used is not None and before is not None and abs(used - before) >= MEMORY_MOVED_MB

    def _forget(self) -> None:
        self._identity = None
        self._condition_at = self._processes_at = float("-inf")


def _with_rates(vitals: GPUVitals, before: GPUReading, now: float) -> GPUVitals:
    """Add rates in bytes per second from two counters: the driver would take 40 ms to measure a rate."""
    last, at = before.vitals, before.read_monotonic
    if last is None or at is None or before.fault is not None or now <= at or vitals.pcie_rx_bytes is None:
        return vitals
    return replace(
        vitals,
        pcie_rx_bytes_per_second=_rate(last.pcie_rx_bytes, vitals.pcie_rx_bytes, now - at),
        pcie_tx_bytes_per_second=_rate(last.pcie_tx_bytes, vitals.pcie_tx_bytes, now - at),
    )


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    # A counter that has wrapped or restarted has no rate for that interval.
    return None if before is None or now is None or now < before else (now - before) / seconds
