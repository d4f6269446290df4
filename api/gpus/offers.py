"""Provide the scheduler's view of the GPUs. Pure functions."""

from collections.abc import Sequence

from api.domain.machines.gpu import GPUOffer
from api.domain.machines.reading import FaultKind, SourceName
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.health import LOST
from api.gpus.health.judgement import JudgedGPU
from api.gpus.sharing.foreign_use import find_at_work, has_unseen_use, is_in_use
from api.gpus.state import GPUState
from api.gpus.views import belongs_to

#: The maximum number of cluster nodes that a reason names.
_MOST_NAMED = 5


def list_offers(state: GPUState) -> tuple[GPUOffer, ...]:
    """Return an offer for each GPU that tasks can use, now or once it is free.

    Only GPUs of nodes on which the executor can start attempts are included.
    """
    return tuple(_offer(gpu) for gpu in state.gpus if gpu.node in state.startable and _is_named(gpu))


def list_unstartable(state: GPUState) -> tuple[tuple[GPUOffer, Reason], ...]:
    """Return the GPUs of all other nodes, each with the reason why nothing can start on it."""
    found = ((gpu, why_unstartable(state, gpu.node)) for gpu in state.gpus if _is_named(gpu))
    return tuple((_offer(gpu), why) for gpu, why in found if why is not None)


def why_unstartable(state: GPUState, node: str) -> Reason | None:
    """Return why the executor cannot start anything on a node; None if it can."""
    if node in state.startable:
        return None
    if not state.has_cluster:
        return Reason.of("trainings start on {node} alone: EXECUTOR=local", "starts_here_alone", node=state.node)
    if not state.startable:
        return Reason.of("the nodes of Slurm are not known yet", "cluster_unknown")
    return Reason.of("Slurm has no node with this name", "not_in_cluster")


def explain_no_gpus(state: GPUState) -> Reason | None:
    """Return why no training can start although Slurm has nodes; None if there is no such reason."""
    if not state.has_cluster or any(gpu.node in state.startable for gpu in state.gpus):
        return None
    if not state.startable:
        return Reason.of("the nodes of Slurm are not known yet: check slurmrestd", "cluster_silent")
    names = sorted(state.startable)
    nodes = ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else "")
    return Reason.of(
        "Slurm has {nodes}, but none of their GPUs is reported to this server: run ROLE=node there",
        "no_reporters",
        nodes=nodes,
    )


def find_unknown(state: GPUState, names: Sequence[str]) -> tuple[str, ...] | None:
    """Return those of these names that no GPU has. None: not all GPUs can be read now."""
    if state.snapshot.problem is not None or not state.gpus or not all(map(_is_named, state.gpus)):
        return None
    offers = [_offer(gpu) for gpu in state.gpus]
    known = {name for gpu in offers for name in gpu.names[0 if gpu.node == state.node else 1 :]}
    return tuple(name for name in names if name not in known)


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
        reason=gpu.judgement.message,
        held_by=_coming_from(gpu.task),
    )


def _coming_from(task: RegisteredTask | None) -> str | None:
    """Return the task after which the GPU becomes free; None if it may stay held forever."""
    if task is None or task.quarantine is not None or task.hold is not None or task.is_last:
        return None
    return task.task_id


def is_clear(state: GPUState, uuid: str, since: float) -> bool:
    """Return whether a reading after the monotonic time `since` shows this GPU unused."""
    gpu = state.by_uuid.get(uuid)
    read = None if gpu is None else gpu.reading.read_monotonic
    if gpu is None or read is None:
        return False
    rest = () if gpu.rest is None else gpu.rest.pids
    return read > since and gpu.reading.fault is None and not is_in_use(gpu.reading, rest)


def find_lost(state: GPUState, uuids: Sequence[str]) -> dict[str, ReasonOrText]:
    """Return those of these GPUs that the driver has lost, with the reason, by UUID."""
    return {
        gpu.reading.uuid: gpu.judgement.message or LOST
        for gpu in _of(state, uuids)
        if gpu.reading.uuid is not None and gpu.reading.fault is FaultKind.LOST
    }


def _of(state: GPUState, uuids: Sequence[str]) -> list[JudgedGPU]:
    return [gpu for uuid in uuids if (gpu := state.by_uuid.get(uuid)) is not None]


def name_gpus(state: GPUState, uuids: Sequence[str]) -> tuple[str | None, ...]:
    """Return the board names in the order of the UUIDs; None for an unknown GPU."""
    known = (state.by_uuid.get(uuid) for uuid in uuids)
    return tuple(None if gpu is None else gpu.identity.name for gpu in known)


def list_pids(state: GPUState, has_own_pids: bool) -> dict[str, tuple[int, ...]] | None:
    """Return the pids on this machine's GPUs by UUID; None if unknown or of another namespace."""
    if has_own_pids or state.snapshot.source is not SourceName.NVML:
        return None
    return {
        gpu.reading.uuid: tuple(process.pid for process in gpu.reading.processes)
        for gpu in state.own_gpus
        if gpu.reading.uuid is not None and gpu.reading.processes is not None
    }


def is_shared(state: GPUState, uuids: Sequence[str], has_own_pids: bool) -> bool:
    """Return whether another process than its task's may use one of these GPUs.

    With `has_own_pids` the driver's pids belong to another namespace. Then only a single process per GPU is certainly
    the task's.
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


def measure_memory(state: GPUState, uuids: Sequence[str]) -> dict[str, int]:
    """Return the used memory in MB of these GPUs by UUID, without unknown values; empty if they are simulated."""
    of_these = _of(state, uuids)
    if any(state.snapshot_of(gpu.node).source is not SourceName.NVML for gpu in of_these):
        return {}
    used = {gpu.reading.uuid: gpu.vitals.memory_used_mb for gpu in of_these}
    return {uuid: mb for uuid, mb in used.items() if uuid is not None and mb is not None}
