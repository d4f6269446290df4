"""What the scheduler needs to know of the GPUs of one moment. Pure functions."""

from collections.abc import Sequence

from api.models.gpu import GPUOffer
from api.models.reading import FaultKind, SourceName
from api.models.reason import Words
from api.models.task import RegisteredTask
from api.services.gpus.judgement import is_in_use
from api.services.gpus.state import GPUState


def list_offers(state: GPUState) -> tuple[GPUOffer, ...]:
    """An offer for every GPU that could be given to a task, now or once it is free."""
    return tuple(
        GPUOffer(
            node=state.node,
            index=gpu.reading.index,
            uuid=gpu.reading.uuid,
            name=gpu.identity.name,
            total_mb=gpu.vitals.memory_total_mb,
            free_mb=gpu.vitals.memory_free_mb,
            is_available=gpu.judgement.is_available,
            status=gpu.judgement.status,
            reason=gpu.judgement.words,
            held_by=_coming_from(gpu.task),
        )
        for gpu in state.gpus
        if gpu.reading.index is not None and gpu.reading.uuid is not None
    )


def _coming_from(task: RegisteredTask | None) -> str | None:
    """The task after which a GPU comes free; None: nobody waits behind what may stay for ever."""
    if task is None or task.quarantine is not None or task.hold is not None or task.is_last:
        return None
    return task.task_id


def is_clear(state: GPUState, uuid: str, since: float) -> bool:
    """Whether a reading taken after the monotonic time `since` shows nobody at work on this GPU."""
    for gpu in state.gpus:
        if gpu.reading.uuid == uuid:
            read = gpu.reading.read_monotonic
            return read is not None and read > since and gpu.reading.fault is None and not is_in_use(gpu.reading)
    return False


def find_lost(state: GPUState) -> dict[str, Words]:
    """The GPUs that the driver has lost, with the reason, by UUID."""
    return {
        gpu.reading.uuid: gpu.judgement.words or "the driver has lost this GPU"
        for gpu in state.gpus
        if gpu.reading.uuid is not None and gpu.reading.fault is FaultKind.LOST
    }


def name_gpus(state: GPUState, uuids: Sequence[str]) -> tuple[str | None, ...]:
    """The names of boards in the order of their UUIDs; None for one that nobody knows."""
    names = {gpu.reading.uuid: gpu.identity.name for gpu in state.gpus}
    return tuple(names.get(uuid) for uuid in uuids)


def list_pids(state: GPUState, has_own_pids: bool) -> dict[str, tuple[int, ...]] | None:
    """The pids at work on each GPU, by UUID; None when nobody can say, or they are of another pid namespace."""
    if has_own_pids or state.snapshot.source is not SourceName.NVML:
        return None
    return {
        gpu.reading.uuid: tuple(process.pid for process in gpu.reading.processes)
        for gpu in state.gpus
        if gpu.reading.uuid is not None and gpu.reading.processes is not None
    }


def measure_memory(state: GPUState, uuids: Sequence[str]) -> int | None:
    """The used memory in MB of the fullest of these GPUs; None when that is not known, or only simulated."""
    if state.snapshot.source is not SourceName.NVML:
        return None
    used = [gpu.vitals.memory_used_mb for gpu in state.gpus if gpu.reading.uuid in uuids]
    return max((mb for mb in used if mb is not None), default=None)
