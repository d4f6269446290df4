"""What the scheduler needs to know of the GPUs of one moment. Pure functions."""

from collections.abc import Sequence

from api.domain.gpu import GPUOffer
from api.domain.reading import FaultKind, SourceName
from api.domain.reason import Reason, Words
from api.domain.task import RegisteredTask
from api.gpus.foreign_use import find_at_work, has_unseen_use, is_in_use
from api.gpus.health import LOST
from api.gpus.judgement import JudgedGPU
from api.gpus.state import GPUState
from api.gpus.view import belongs_to

#: The most machines of a cluster that a reason names.
_MOST_NAMED = 5


def list_offers(state: GPUState) -> tuple[GPUOffer, ...]:
    """An offer for every GPU that could be given to a task, now or once it is free: of nodes on which the executor can
    start something.
    """
    return tuple(_offer(gpu) for gpu in state.gpus if gpu.node in state.startable and _is_named(gpu))


def list_unstartable(state: GPUState) -> tuple[tuple[GPUOffer, Reason], ...]:
    """List the GPUs of all other nodes, each with the reason why nothing can be started on it."""
    found = ((gpu, why_unstartable(state, gpu.node)) for gpu in state.gpus if _is_named(gpu))
    return tuple((_offer(gpu), why) for gpu, why in found if why is not None)


def why_unstartable(state: GPUState, node: str) -> Reason | None:
    """Return the reason why the executor can start nothing on a node; None where it can."""
    if node in state.startable:
        return None
    if not state.has_cluster:
        return Reason.of("trainings start on {node} alone: EXECUTOR=local", "starts_here_alone", node=state.node)
    if not state.startable:
        return Reason.of("the machines of Slurm are not known yet", "cluster_unknown")
    return Reason.of("Slurm has no machine of this name", "not_in_cluster")


def explain_no_gpus(state: GPUState) -> Reason | None:
    """Return the reason why no training can start although Slurm has machines; None where there is no such reason."""
    if not state.has_cluster or any(gpu.node in state.startable for gpu in state.gpus):
        return None
    if not state.startable:
        return Reason.of("the machines of Slurm are not known yet: is slurmrestd up?", "cluster_silent")
    names = sorted(state.startable)
    nodes = ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else "")
    return Reason.of(
        "Slurm knows {nodes}, and no GPU of theirs is reported to this server: run ROLE=node there",
        "no_reporters",
        nodes=nodes,
    )


def _is_named(gpu: JudgedGPU) -> bool:
    return gpu.reading.index is not None and gpu.reading.uuid is not None and not gpu.is_twin


def _offer(gpu: JudgedGPU) -> GPUOffer:
    return GPUOffer(
        node=gpu.node,
        index=gpu.reading.index or 0,
        uuid=gpu.reading.uuid or "",
        name=gpu.identity.name,
        total_mb=gpu.vitals.memory_total_mb,
        free_mb=gpu.vitals.memory_free_mb,
        is_available=gpu.judgement.is_available,
        status=gpu.judgement.status,
        reason=gpu.judgement.words,
        held_by=_coming_from(gpu.task),
    )


def _coming_from(task: RegisteredTask | None) -> str | None:
    """The task after which a GPU comes free; None: nobody waits behind what may stay for ever."""
    if task is None or task.quarantine is not None or task.hold is not None or task.is_last:
        return None
    return task.task_id


def is_clear(state: GPUState, uuid: str, since: float) -> bool:
    """Whether a reading taken after the monotonic time `since` shows nobody at work on this GPU."""
    gpu = state.by_uuid.get(uuid)
    read = None if gpu is None else gpu.reading.read_monotonic
    if gpu is None or read is None:
        return False
    return read > since and gpu.reading.fault is None and not is_in_use(gpu.reading)


def find_lost(state: GPUState, uuids: Sequence[str]) -> dict[str, Words]:
    """Those of these GPUs that the driver has lost, with the reason, by UUID."""
    return {
        gpu.reading.uuid: gpu.judgement.words or LOST
        for gpu in _of(state, uuids)
        if gpu.reading.uuid is not None and gpu.reading.fault is FaultKind.LOST
    }


def _of(state: GPUState, uuids: Sequence[str]) -> list[JudgedGPU]:
    return [gpu for uuid in uuids if (gpu := state.by_uuid.get(uuid)) is not None]


def name_gpus(state: GPUState, uuids: Sequence[str]) -> tuple[str | None, ...]:
    """The names of boards in the order of their UUIDs; None for one that nobody knows."""
    known = (state.by_uuid.get(uuid) for uuid in uuids)
    return tuple(None if gpu is None else gpu.identity.name for gpu in known)


def list_pids(state: GPUState, has_own_pids: bool) -> dict[str, tuple[int, ...]] | None:
    """The pids at work on this machine's GPUs, by UUID; None when nobody can say, or they are of another namespace."""
    if has_own_pids or state.snapshot.source is not SourceName.NVML:
        return None
    return {
        gpu.reading.uuid: tuple(process.pid for process in gpu.reading.processes)
        for gpu in state.own_gpus
        if gpu.reading.uuid is not None and gpu.reading.processes is not None
    }


def is_shared(state: GPUState, uuids: Sequence[str], has_own_pids: bool) -> bool:
    """Whether somebody else than its task may use one of these GPUs. `has_own_pids`: the driver's pids are of another
    namespace, so that nobody knows whose they are, and only one process a GPU is certainly the task's.
    """
    for gpu in _of(state, uuids):
        if gpu.reading.vitals is None:
            continue
        at_work = None if gpu.reading.processes is None else find_at_work(gpu.reading)
        if at_work is None or gpu.task is None or has_unseen_use(gpu.reading):
            return True
        if len(at_work) > 1 if has_own_pids else not all(belongs_to(each, gpu.task) for each in at_work):
            return True
    return False


def measure_memory(state: GPUState, uuids: Sequence[str]) -> int | None:
    """The used memory in MB of the fullest of these GPUs; None when that is not known, or only simulated."""
    of_these = _of(state, uuids)
    if any(state.snapshot_of(gpu.node).source is not SourceName.NVML for gpu in of_these):
        return None
    used = [gpu.vitals.memory_used_mb for gpu in of_these]
    return max((mb for mb in used if mb is not None), default=None)
