"""The seam to the GPUs: what a source of readings offers, how it fails, and a fake for tests."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from api.domain.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
    XidEvent,
)
from api.domain.reason import Reason, Words, text_of
from api.domain.task import RegisteredTask


class SourceFault(Exception):
    """The source as a whole gives no readings: what is wrong, and what to do about it."""

    def __init__(self, reason: Words, remedy: Words, code: int | None = None) -> None:
        self.words = Reason.of("{reason}: {remedy}", "source_fails", reason=reason, remedy=remedy)
        super().__init__(self.words.text)
        self.code = code


class GPUFault(Exception):
    """One GPU gives no readings; the others may be well."""

    def __init__(self, kind: FaultKind, reason: Words) -> None:
        super().__init__(text_of(reason))
        self.kind = kind
        self.reason = reason  #: why, with a code where the words are ours


class ProcessesUnlistedError(Exception):
    """The processes of a GPU cannot be listed; the argument is the reason, as in `unavailable`."""


class GPUSource(Protocol):
    """A source numbers its GPUs by slot, from 0. `refresh` and the per-slot reads run in different threads;
    reads of different slots run at the same time, two reads of one slot never do.
    """

    @property
    def name(self) -> SourceName:
        """Which kind of readings these are."""
        ...

    @property
    def generation(self) -> int:
        """Grows with every initialisation; identities read before it are void."""
        ...

    @property
    def versions(self) -> DriverVersions:
        """The versions of driver, CUDA and NVML, as of the last initialisation."""
        ...

    def refresh(self, may_reinitialise: bool) -> int:
        """Initialises the source where needed, and returns how many slots it has. Raises SourceFault.

        `may_reinitialise` is false while a read is stuck: tearing the library down under it could crash.
        """
        ...

    def identify(self, slot: int) -> GPUIdentity:
        """The identity of the GPU in this slot now. Raises GPUFault."""
        ...

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        """What changes all the time. Raises GPUFault."""
        ...

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        """What changes seldom. Raises GPUFault."""
        ...

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        """The processes that hold its memory. Raises GPUFault, or ProcessesUnlistedError when the driver cannot say."""
        ...

    def next_xid(self) -> XidEvent | None:
        """The next error that the driver has reported; None when there is none. Asked every second."""
        ...

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        """Is told, at every change of the registry, who holds which GPU (by UUID); a simulation follows it."""
        ...

    def note_all_well(self) -> None:
        """Is told after a sweep in which every GPU answered."""
        ...

    def close(self) -> None:
        """Stops using the source; a call that is stuck in the driver is left behind."""
        ...


class FakeSource:
    """A source under a test's control: set `faults`, `vitals`, `processes` and `problem`, then sweep."""

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

    def next_xid(self) -> XidEvent | None:
        return self.xids.pop(0) if self.xids else None

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        self.held = held

    def note_all_well(self) -> None:
        pass

    def close(self) -> None:
        pass
