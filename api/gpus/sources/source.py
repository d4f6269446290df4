"""The interface to the GPUs: the methods and errors of a source of readings, and a fake for tests."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from api.domain.machines.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
    XidEvent,
)
from api.domain.reason import Reason, ReasonOrText, text_of
from api.domain.tasks.task import RegisteredTask
from api.gpus.wanted_power import LimitRefused


class SourceFault(Exception):
    """The whole source has no readings. The message contains the problem and the remedy."""

    def __init__(self, reason: ReasonOrText, remedy: ReasonOrText, code: int | None = None) -> None:
        self.message = Reason.of("{reason}: {remedy}", "source_fails", reason=reason, remedy=remedy)
        super().__init__(self.message.text)
        self.code = code


class GPUFault(Exception):
    """One GPU has no readings; others may have."""

    def __init__(self, kind: FaultKind, reason: ReasonOrText) -> None:
        super().__init__(text_of(reason))
        self.kind = kind
        self.reason = reason  #: the reason, with a code for messages of this service


class ProcessesUnlistedError(Exception):
    """The processes of a GPU cannot be listed; the argument is the reason, as in `unavailable`."""


class GPUSource(Protocol):
    """A source of readings, which numbers its GPUs by slot from 0.

    `refresh` and the per-slot reads run in different threads. Reads of different slots run concurrently, reads of one
    slot never do.
    """

    @property
    def name(self) -> SourceName:
        """The kind of these readings."""
        ...

    @property
    def generation(self) -> int:
        """Increases with every initialisation, which makes older identities invalid."""
        ...

    @property
    def versions(self) -> DriverVersions:
        """The versions of driver, CUDA and NVML, as of the last initialisation."""
        ...

    def refresh(self, may_reinitialise: bool) -> int:
        """Initialise the source if needed, and return its number of slots.

        `may_reinitialise` is false while a read is stuck: a shutdown of the library could then crash. Raises
        SourceFault.
        """
        ...

    def identify(self, slot: int) -> GPUIdentity:
        """Return the current identity of the GPU in this slot.

        Raises GPUFault.
        """
        ...

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        """Return the constantly changing values.

        Raises GPUFault.
        """
        ...

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        """Return the rarely changing values.

        Raises GPUFault.
        """
        ...

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        """Return the processes that hold its memory.

        Raises GPUFault; ProcessesUnlistedError if the driver does not list them.
        """
        ...

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        """Set the power limit.

        Raises LimitRefused.
        """
        ...

    def next_xid(self) -> XidEvent | None:
        """Return the next error that the driver has reported, or None. It is called every second."""
        ...

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        """Receive the holder of each GPU (by UUID) at every change; a simulation follows it."""
        ...

    def note_all_well(self) -> None:
        """Receive the information that every GPU answered in the last sweep."""
        ...

    def close(self) -> None:
        """Stop using the source. A call that is stuck in the driver is left running."""
        ...


class FakeSource:
    """A source that a test controls: set `faults`, `vitals`, `processes` and `problem`, then sweep."""

    name = SourceName.NVML

    def __init__(self, count: int = 2) -> None:
        self.generation = 1
        self.versions = DriverVersions(driver="580.65.06", cuda="13.0", nvml="13.580.65.06")
        self.problem: SourceFault | None = None
        self.identities = [
            GPUIdentity(index=i, uuid=f"GPU-{i:08x}-0000-0000-0000-000000000000", name="NVIDIA Test")
            for i in range(count)
        ]
        self.vitals = [
            GPUVitals(
                memory_total_mb=24_576,
                memory_used_mb=400,
                memory_free_mb=24_176,
                memory_reserved_mb=300,
                utilization_gpu=0,
                temperature_gpu=35,
                power_watts=20.0,
            )
        ] * count
        self.conditions = [GPUCondition(power_limit_watts=450.0)] * count
        self.processes: list[tuple[GPUProcess, ...]] = [()] * count
        self.faults: dict[int, GPUFault] = {}
        self.before_read: Callable[[int], None] = lambda slot: None
        self.process_reads = 0
        self.limit_refusal: LimitRefused | None = None
        self.set_limits: list[float] = []
        self.xids: list[XidEvent] = []
        self.held: Mapping[str, RegisteredTask] = {}

    def set_memory(self, slot: int, used_mb: int) -> None:
        self.vitals[slot] = replace(self.vitals[slot], memory_used_mb=used_mb, memory_free_mb=24_576 - used_mb)

    def refresh(self, may_reinitialise: bool) -> int:
        if self.problem is not None:
            raise self.problem
        return len(self.identities)

    def _check(self, slot: int) -> None:
        self.before_read(slot)
        if slot in self.faults:
            raise self.faults[slot]

    def identify(self, slot: int) -> GPUIdentity:
        self._check(slot)
        return self.identities[slot]

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        self._check(gpu.index)
        return self.vitals[gpu.index]

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        return self.conditions[gpu.index]

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        self.process_reads += 1
        return self.processes[gpu.index]

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        self.set_limits.append(watts)
        if self.limit_refusal is not None:
            raise self.limit_refusal
        self.conditions[gpu.index] = replace(self.conditions[gpu.index], power_limit_watts=watts)

    def next_xid(self) -> XidEvent | None:
        return self.xids.pop(0) if self.xids else None

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        self.held = held

    def note_all_well(self) -> None:
        pass

    def close(self) -> None:
        pass
