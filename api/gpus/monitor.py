"""Schedules the sweeps: one monitor thread, one reader for the driver and one per GPU, one snapshot per sweep."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from api.domain.machines.reading import FaultKind, SourceName
from api.domain.reason import Reason
from api.gpus.gpu_reader import GPUReader
from api.gpus.reader_threads import Reader
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.gpus.sources.source import GPUSource, SourceFault
from api.gpus.wanted_power import WantedLimits
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds that a sweep waits for readers. A later reader is stuck, and later sweeps do not wait for it.
PATIENCE_SECONDS = 1.0

#: Seconds to wait for one GPU before the next is read, too; a reading usually takes a fifth of that.
HEAD_START_SECONDS = 0.002


class GPUMonitor:
    """Sweeps the source and passes each snapshot on."""

    def __init__(
        self,
        source: GPUSource,
        interval: float,
        clock: Clock,
        on_snapshot: Callable[[GPUSnapshot], None],
        limits: WantedLimits | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_snapshot = on_snapshot
        self._limits = limits
        self._patience = min(PATIENCE_SECONDS, interval / 2)
        self._slots: list[GPUReader] = []
        self._left_behind: list[GPUReader] = []  # removed slots with a call that has not returned
        self._known: dict[str, GPUReading] = {}
        self._source_name: SourceName | None = None
        self._count = 0
        self._problem: SourceFault | None = None
        self._sequence = 0
        self._driver = Reader("gpu-driver", self._refresh, clock)
        self._pace = PeriodicThread("gpu-monitor", interval, self.sweep)

    def start(self) -> None:
        """Start sweeping immediately."""
        self._pace.start()

    def trigger(self) -> None:
        """Sweep as soon as possible."""
        self._pace.trigger()

    def stop(self) -> None:
        """Stop sweeping and end the readers."""
        self._pace.stop(timeout=PATIENCE_SECONDS + 0.5)
        for reader in [self._driver, *(slot.reader for slot in [*self._slots, *self._left_behind])]:
            reader.stop()

    def sweep(self) -> None:
        """Read everything that answers in time, and pass on one snapshot."""
        began, began_at = self._clock.monotonic(), self._clock.now()
        answers = self._refresh_source()
        source = self._follow_source()
        if answers:
            self._fit_slots()
            self._read_slots()
        gpus = self._assemble()
        if self._problem is None and not self._count_stuck() and all(gpu.fault is None for gpu in gpus):
            self._source.note_all_well()
        self._sequence += 1
        snapshot = GPUSnapshot(
            sequence=self._sequence,
            gpus=gpus,
            # Not read again: a late refresh may have changed it.
            source=source,
            versions=self._source.versions,
            taken_at=began_at,
            taken_monotonic=began,
            sweep_seconds=self._clock.monotonic() - began,
            stuck=self._count_stuck() + (self._driver.busy_seconds is not None),
            problem=None if self._problem is None else self._problem.message,
            problem_code=None if self._problem is None else self._problem.code,
        )
        self._on_snapshot(snapshot)

    def _refresh_source(self) -> bool:
        """Refresh the driver's state. Return whether it answers; store the problem otherwise."""
        if self._driver.start_read() and self._driver.wait(self._patience):
            return self._problem is None
        seconds = self._driver.busy_seconds
        if seconds is None:
            return self._problem is None
        self._problem = SourceFault(
            Reason.of("a call to the driver has not returned for {seconds} s", "driver_hangs", seconds=round(seconds)),
            Reason.of("see `dmesg`; a reboot may be needed", "may_need_reboot"),
        )
        return False

    def _refresh(self) -> None:
        try:
            self._count = self._source.refresh(may_reinitialise=not self._count_stuck())
            self._problem = None
        except SourceFault as fault:
            self._problem = fault
        except Exception as error:
            logger.exception("refreshing the source failed")
            self._problem = SourceFault(
                Reason.of("the source fails: {error}", "source_error", error=str(error)),
                Reason.of("see the log", "see_log"),
            )

    def _follow_source(self) -> SourceName:
        source = self._source.name
        if self._source_name is not source:
            # Real GPUs have replaced simulated ones, whether they answer yet or not: discard all previous data.
            self._source_name = source
            self._known.clear()
            self._drop_slots(0)
        return source

    def _fit_slots(self) -> None:
        self._drop_slots(self._count)
        while len(self._slots) < self._count:
            number = len(self._slots)
            # Reuse a slot with a stuck call: a second reader would get stuck, too.
            left = next((slot for slot in self._left_behind if slot.number == number), None)
            if left is not None:
                self._left_behind.remove(left)
            self._slots.append(left or GPUReader(number, self._source, self._clock, self._limits))

    def _drop_slots(self, keep: int) -> None:
        dropped = [*self._left_behind, *self._slots[keep:]]
        del self._slots[keep:]
        self._left_behind = [slot for slot in dropped if self._is_stuck(slot)]
        for slot in dropped:
            if slot not in self._left_behind:
                slot.reader.stop()

    def _read_slots(self) -> None:
        # One after the other while each is fast: woken together, the threads contend for the interpreter and take twice
        # the CPU time.
        late = [slot for slot in self._slots if slot.reader.start_read() and not slot.reader.wait(HEAD_START_SECONDS)]
        deadline = time.monotonic() + self._patience
        for slot in late:
            slot.reader.wait(max(0.0, deadline - time.monotonic()))

    def _count_stuck(self) -> int:
        return sum(map(self._is_stuck, [*self._slots, *self._left_behind]))

    @staticmethod
    def _is_stuck(slot: GPUReader) -> bool:
        return slot.reader.busy_seconds is not None

    def _assemble(self) -> tuple[GPUReading, ...]:
        gpus = [self._describe(slot) for slot in self._slots]
        # After a reinitialisation the driver may number the GPUs differently: a GPU that a silent slot held may now
        # answer from another slot.
        answering = {gpu.uuid for gpu in gpus if gpu.fault is None}
        gpus = [replace(gpu, identity=None) if gpu.fault and gpu.uuid in answering else gpu for gpu in gpus]
        present = {gpu.uuid for gpu in gpus}
        for uuid, known in self._known.items():
            if uuid in present:
                continue
            missing = replace(
                known,
                vitals=None,
                condition=None,
                processes=None,
                fault=FaultKind.LOST,
                fault_reason=Reason.of("the driver no longer lists this GPU", "not_listed"),
            )
            self._place(missing, gpus)
        for gpu in gpus:
            if gpu.uuid is not None:
                self._known[gpu.uuid] = gpu
        return tuple(gpus)

    def _describe(self, slot: GPUReader) -> GPUReading:
        reading = slot.latest
        seconds = slot.reader.busy_seconds
        if seconds is None:
            return reading
        # Not a fault yet: the age of its last reading decides when the GPU counts as unknown.
        hangs = Reason.of("a driver call has not returned for {seconds} s", "call_hangs", seconds=round(seconds))
        return replace(reading, fault_reason=hangs)

    @staticmethod
    def _place(missing: GPUReading, gpus: list[GPUReading]) -> None:
        """Show a missing GPU in its former slot if that has no UUID, else at the end without an index."""
        for position, gpu in enumerate(gpus):
            if gpu.uuid is None and gpu.index == missing.index:
                gpus[position] = replace(
                    missing, fault=gpu.fault or FaultKind.LOST, fault_reason=gpu.fault_reason or missing.fault_reason
                )
                return
        taken = {gpu.index for gpu in gpus}
        gpus.append(missing if missing.index not in taken else replace(missing, index=None))
