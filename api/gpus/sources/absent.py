"""The source of a machine without GPUs, such as a head that only manages other machines."""

from collections.abc import Mapping

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
from api.domain.reason import Reason
from api.domain.task import RegisteredTask
from api.gpus.sources.source import GPUFault


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
