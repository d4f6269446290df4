"""Use NVML if the machine has it, else clearly labelled simulated GPUs; switches to NVML when it appears."""

from collections.abc import Callable, Mapping

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
from api.domain.reason import Reason
from api.domain.tasks.task import RegisteredTask
from api.gpus.sources.source import GPUFault, GPUSource


class AbsentSource:
    """A source without GPUs."""

    name = SourceName.NONE
    generation = 1
    versions = DriverVersions()

    def refresh(self, may_reinitialise: bool) -> int:
        return 0

    def identify(self, slot: int) -> GPUIdentity:
        raise self._nothing()

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        raise self._nothing()

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        raise self._nothing()

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        raise self._nothing()

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        raise self._nothing()

    def _nothing(self) -> GPUFault:
        return GPUFault(FaultKind.UNREADABLE, Reason.of("this GPU cannot be read", "gpu_unreadable"))

    def next_xid(self) -> XidEvent | None:
        return None

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        """Do nothing: there are no GPUs."""

    def note_all_well(self) -> None:
        """Do nothing: there are no GPUs."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class AutoSource:
    """Simulates only while the NVML library is absent. A library that fails is never replaced by a simulation."""

    def __init__(
        self, make_nvml: Callable[[], GPUSource], simulated: GPUSource, library_is_absent: Callable[[], bool]
    ) -> None:
        self._make_nvml = make_nvml
        self._simulated = simulated
        self._library_is_absent = library_is_absent
        self._source = simulated if library_is_absent() else make_nvml()
        self._switches = 0

    @property
    def name(self) -> SourceName:
        return self._source.name

    @property
    def generation(self) -> int:
        return self._switches * 1_000_000 + self._source.generation

    @property
    def versions(self) -> DriverVersions:
        return self._source.versions

    def refresh(self, may_reinitialise: bool) -> int:
        if self._source is self._simulated and not self._library_is_absent():
            self._source = self._make_nvml()
            self._switches += 1
        return self._source.refresh(may_reinitialise)

    def identify(self, slot: int) -> GPUIdentity:
        return self._source.identify(slot)

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        return self._source.read_vitals(gpu)

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        return self._source.read_condition(gpu)

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        return self._source.read_processes(gpu)

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        self._source.set_power_limit(gpu, watts)

    def next_xid(self) -> XidEvent | None:
        return self._source.next_xid()

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        self._source.observe_tasks(held)

    def note_all_well(self) -> None:
        self._source.note_all_well()

    def close(self) -> None:
        self._source.close()
