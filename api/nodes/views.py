"""Nodes in answers. Pure functions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from api import __version__
from api.domain.machines.gpu import GPUStatus
from api.domain.machines.node import (
    HeldGPUs,
    NodeGPUs,
    NodeInfo,
    NodeRecord,
    NodeRole,
    NodeStatus,
    NodeTask,
    NodeWarning,
    SlurmNode,
)
from api.domain.machines.shared_storage import NodeStorage, StorageState
from api.domain.reason import Reason, message_of, text_of
from api.executors.executor import NodeState
from api.gpus.health.judgement import JudgedGPU
from api.gpus.other_machines import NEVER_REPORTED, NodeCondition
from api.gpus.state import GPUState

_BUSY = (GPUStatus.TRAINING, GPUStatus.PREPROCESSING, GPUStatus.BUSY, GPUStatus.DRAINING)


#: Seconds that two clocks may differ without a warning.
SKEW_SECONDS = 2.0

_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def warn(version: str | None, clock_offset: float | None, own: str = __version__) -> Iterator[NodeWarning]:
    """Yield warnings for a version other than this server's, and for a clock that is off by more than 2 s."""
    other, ours = _numbers(version), _numbers(own)
    if other is not None and ours is not None and other != ours:
        if other > ours:
            yield _warning(
                Reason.of(
                    "it runs {version}, which is newer than this head's {own}: update the head first",
                    "newer_version",
                    version=version,
                    own=own,
                )
            )
        else:
            yield _warning(
                Reason.of(
                    "it runs {version}, which is older than this head's {own}: update it",
                    "older_version",
                    version=version,
                    own=own,
                )
            )
    if clock_offset is not None and abs(clock_offset) > SKEW_SECONDS:
        yield _warning(
            Reason.of(
                "its clock is {seconds} s off this server's: start chrony or another NTP client on both",
                "clock_skew",
                seconds=f"{clock_offset:+.1f}",
            )
        )


def _warning(message: Reason) -> NodeWarning:
    return NodeWarning(message.said.code, message.text, message.said)


def _numbers(version: str | None) -> tuple[int, ...] | None:
    match = _NUMBERS.match(version or "")
    return None if match is None else tuple(int(part or 0) for part in match.groups())


def show_nodes(
    state: GPUState,
    stored: Mapping[str, NodeRecord],
    engine: Iterable[NodeState] = (),
    storages: Mapping[str, NodeStorage] = MappingProxyType({}),
) -> tuple[NodeInfo, ...]:
    """Return every node with known GPUs, this server's own first, with its state in a cluster's engine.

    `storages` has the nodes that should share a storage with this server.
    """
    machines = {node.name: node for node in engine}
    unread = tuple(_bar(each) for name, each in machines.items() if each.bar is not None and not _is_shown(state, name))
    gpus: dict[str, list[JudgedGPU]] = {}
    for gpu in state.gpus:
        gpus.setdefault(gpu.node, []).append(gpu)
    return tuple(
        _with_engine(
            _show(
                state,
                node,
                stored.get(node.name, NodeRecord(node.name)),
                gpus.get(node.name, []),
                storages.get(node.name),
            ),
            machines.get(node.name),
            unread if node.name == state.node else (),
        )
        for node in state.nodes
    )


def _is_shown(state: GPUState, name: str) -> bool:
    return any(node.name == name for node in state.nodes)


def _with_engine(info: NodeInfo, machine: NodeState | None, more: tuple[NodeWarning, ...]) -> NodeInfo:
    """Return a node with its state in a cluster's engine. `more` has warnings about machines that are not shown."""
    own = () if machine is None or machine.bar is None else (_bar(machine),)
    return replace(
        info, slurm=None if machine is None else _slurm_node(machine), warnings=(*info.warnings, *own, *more)
    )


def _bar(node: NodeState) -> NodeWarning:
    message = Reason.of("Slurm's machine {node}: {why}", "slurm_machine", node=node.name, why=node.bar)
    return NodeWarning("storage_not_shared", message.text, message.said)


def _slurm_node(node: NodeState) -> SlurmNode:
    return SlurmNode(
        NodeStatus(node.state), node.details.get("says", ()), node.reason, node.details.get("partitions", ())
    )


def _show(
    state: GPUState, node: NodeCondition, stored: NodeRecord, gpus: list[JudgedGPU], storage: NodeStorage | None
) -> NodeInfo:
    snapshot, is_own = state.snapshot_of(node.name), node.name == state.node
    return NodeInfo(
        name=node.name,
        state=node.status,
        reason=None if node.reason is None else node.reason.text,
        reason_code=None if node.reason is None else node.reason.said,
        role=stored.role or NodeRole.ALL,
        is_this_server=is_own,
        host=None if stored.place is None else stored.place.host,
        port=None if stored.place is None else stored.place.port,
        version=stored.version,
        driver_version=snapshot.versions.driver,
        cuda_version=snapshot.versions.cuda,
        source=snapshot.source,
        source_problem=None if snapshot.problem is None else text_of(snapshot.problem),
        first_seen=stored.first_seen,
        last_seen=stored.last_seen,
        silent_seconds=None if node.reason is NEVER_REPORTED else round(node.silent_seconds, 1),
        clock_skew_seconds=None if stored.clock_offset is None else round(stored.clock_offset, 3),
        drain=stored.drain,
        gpus=NodeGPUs(
            total=len(gpus),
            available=sum(gpu.judgement.is_available for gpu in gpus),
            busy=sum(gpu.judgement.status in _BUSY for gpu in gpus),
            unknown=sum(gpu.judgement.status in (GPUStatus.UNKNOWN, GPUStatus.LOST) for gpu in gpus),
        ),
        gpu_uuids=tuple(gpu.reading.uuid for gpu in gpus if gpu.reading.uuid is not None),
        tasks=_tasks(gpus),
        warnings=tuple(_warn(node, stored, gpus, storage)),
        storage=storage,
    )


def _warn(
    node: NodeCondition, stored: NodeRecord, gpus: list[JudgedGPU], storage: NodeStorage | None
) -> Iterable[NodeWarning]:
    if node.status is NodeStatus.DOWN:
        return
    yield from warn(stored.version, stored.clock_offset)
    yield from _warn_twins(gpus)
    # The storage of a silent machine is unknown, and its silence is reported already.
    if node.status is not NodeStatus.UNKNOWN:
        yield from _warn_storage(storage)


def _warn_storage(storage: NodeStorage | None) -> Iterable[NodeWarning]:
    if storage is not None and storage.state in (StorageState.NOT_SHARED, StorageState.UNKNOWN):
        why = message_of(storage.reason or "", storage.reason_code)
        message = Reason.of("it does not share STORAGE_ROOT: {why}", "node_storage", why=why)
        yield NodeWarning("storage_not_shared", message.text, message.said)


def _tasks(gpus: Iterable[JudgedGPU]) -> tuple[NodeTask, ...]:
    found: dict[str, NodeTask] = {}
    for gpu in gpus:
        task = gpu.task
        if task is None or task.hold is not None or gpu.reading.uuid is None:
            continue
        known = found.get(task.task_id, NodeTask(task.task_id, task.task_type.value, (), task.has_ended))
        found[task.task_id] = replace(known, gpu_uuids=(*known.gpu_uuids, gpu.reading.uuid))
    return tuple(found.values())


def _warn_twins(gpus: Iterable[JudgedGPU]) -> Iterable[NodeWarning]:
    for gpu in gpus:
        if gpu.is_twin:
            message = Reason.of(
                "its GPU {index} has the UUID of another: {why}",
                "gpu_uuid_elsewhere",
                index=gpu.reading.index,
                why=gpu.judgement.reason,
            )
            yield NodeWarning("uuid_elsewhere", message.text, message.said)


def list_held(state: GPUState, node: str) -> tuple[HeldGPUs, ...]:
    """Return the holders of a node's GPUs, for the node. Ended tasks use none, even while their leases last."""
    tasks: dict[str, HeldGPUs] = {}
    for gpu in state.gpus:
        if gpu.node != node or gpu.task is None or gpu.reading.uuid is None:
            continue
        if gpu.task.hold is not None or gpu.task.has_ended:
            continue
        known = tasks.get(gpu.task.task_id, HeldGPUs(gpu.task.task_id, gpu.task.task_type, (), gpu.task.started_at))
        tasks[gpu.task.task_id] = replace(known, gpu_uuids=(*known.gpu_uuids, gpu.reading.uuid))
    return tuple(tasks.values())
