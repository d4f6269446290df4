"""Build the answers about GPUs of several machines; for a single machine those of `views`. Pure functions."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from api.domain.machines.gpu import (
    AvailableGPU,
    FleetStatusResponse,
    GPUDetails,
    GPUInfo,
    GPUProcesses,
    GPUStatusResponse,
    NodeAvailableGPU,
    NodeGPUDetails,
    NodeGPUInfo,
    NodeGPUProcesses,
    NodeSummary,
)
from api.domain.machines.gpu_event import GPUEvent, NodeGPUEvent
from api.domain.machines.history import GPUHistoryResponse, Metric, NodeGPUHistoryResponse
from api.domain.machines.node import SILENT_SECONDS, find_name
from api.domain.reason import Reason
from api.errors import NodeNotFound
from api.gpus.health.judgement import JudgedGPU
from api.gpus.history import UNITS, GPUHistory
from api.gpus.lookup import find_gpu, names_of
from api.gpus.other_machines import NodeCondition
from api.gpus.state import GPUState
from api.gpus.views import show_gpu, show_processes, show_status, show_summary
from api.util.copying import copy_fields

_WITH_NODE: dict[type, type] = {
    GPUInfo: NodeGPUInfo,
    AvailableGPU: NodeAvailableGPU,
    GPUDetails: NodeGPUDetails,
    GPUProcesses: NodeGPUProcesses,
    GPUHistoryResponse: NodeGPUHistoryResponse,
    GPUEvent: NodeGPUEvent,
}


def placed(state: GPUState, node: str, shown: Any) -> Any:
    """Add the node to an answer if there are several machines."""
    return copy_fields(_WITH_NODE[type(shown)], shown, node=node) if state.is_fleet else shown


def show_state(state: GPUState, now: datetime) -> GPUStatusResponse:
    """Return the answer of `/gpu/status`."""
    if not state.is_fleet:
        return show_status(state.snapshot, state.gpus, now)
    # The source and its problem are this machine's; those of the others are in `nodes`.
    whole = show_status(state.snapshot, state.own_gpus, now)
    makers = {node.name: partial(NodeGPUInfo, node=node.name) for node in state.nodes}
    shown = tuple(show_gpu(state.snapshot_of(gpu.node), gpu, makers[gpu.node]) for gpu in state.gpus)
    whole = replace(
        whole,
        gpus=shown,
        summary=show_summary(state.snapshot, state.gpus, now),
        stale=whole.stale or any(gpu.judgement.stale for gpu in state.gpus),
    )
    return copy_fields(FleetStatusResponse, whole, nodes=tuple(map(_show_node, state.nodes)))


def _show_node(node: NodeCondition) -> NodeSummary:
    reason = node.reason
    return NodeSummary(
        name=node.name,
        state=node.status,
        reason=None if reason is None else reason.text,
        reason_code=None if reason is None else reason.said,
        # Round to whole intervals: a value that changes each second would change every answer.
        silent_seconds=0 if node.silent_seconds < 5 else round(node.silent_seconds),
    )


def show_processes_of(state: GPUState, reference: str, note: Reason | None) -> GPUProcesses:
    """Return the answer of `/gpu/{id}/processes`; `note` concerns this machine.

    Raises GPUNotFound.
    """
    gpu = find_gpu(state, reference)
    shown = show_processes(state.snapshot_of(gpu.node), gpu, note if gpu.node == state.node else None)
    answer: GPUProcesses = placed(state, gpu.node, shown)
    return answer


def node_of(event: GPUEvent, own: str) -> str:
    """Return the node of an event; `own` for an event without a node."""
    return (event.node if isinstance(event, NodeGPUEvent) else None) or own


def narrow(state: GPUState, node: str | None) -> GPUState:
    """Return the state with the GPUs of this node only; of all nodes for None.

    Raises NodeNotFound.
    """
    if node is None:
        return state
    known = [each.name for each in state.nodes]
    name = find_name(node, known)
    if name is None:
        raise NodeNotFound(f'No node is called "{node[:80]}".', data={"nodes": known})
    return replace(
        state,
        gpus=tuple(gpu for gpu in state.gpus if gpu.node == name),
        nodes=tuple(each for each in state.nodes if each.name == name),
    )


def count_names(gpus: Collection[JudgedGPU], is_fleet: bool) -> Counter[str]:
    """Return how many of these GPUs each name matches: an index can match GPUs of several machines."""
    return Counter(name for gpu in gpus for name in names_of(gpu, is_fleet))


#: Seconds between two samples of other machines' GPUs: 8,000 of them take 0.4 GB for a day.
OTHERS_SECONDS = 30.0


class FleetHistory:
    """The history of this machine's GPUs and of all others."""

    def __init__(self, interval: float) -> None:
        self.own = GPUHistory(interval)
        self._others = GPUHistory(max(interval, OTHERS_SECONDS))

    def record_others(self, state: GPUState) -> None:
        """Record one sample of each GPU of other machines."""
        if state.is_fleet:
            now = state.snapshot.taken_monotonic
            others = [gpu.reading for gpu in state.gpus if gpu.node != state.node and not gpu.is_twin]
            fresh = [
                (gpu, gpu.read_monotonic is not None and now - gpu.read_monotonic <= SILENT_SECONDS) for gpu in others
            ]
            self._others.record(state.snapshot.taken_at.timestamp(), now, fresh)

    def show(
        self, state: GPUState, reference: str, metric: Metric, since: datetime, until: datetime, step: float | None
    ) -> GPUHistoryResponse:
        """Return the history of one metric of one GPU.

        Raises GPUNotFound.
        """
        gpu = find_gpu(state, reference)
        history = self.own if gpu.node == state.node else self._others
        # A GPU with another GPU's UUID has no history.
        uuid = "" if gpu.is_twin else gpu.reading.uuid or ""
        series = history.read(uuid, metric, since.timestamp(), until.timestamp(), step)
        shown: GPUHistoryResponse = placed(
            state,
            gpu.node,
            GPUHistoryResponse(
                gpu_id=gpu.reading.index,
                uuid=gpu.reading.uuid,
                metric=metric,
                unit=UNITS[metric],
                since=since,
                until=until,
                step=series.step,
                data=series.points,
                source=state.snapshot_of(gpu.node).source,
            ),
        )
        return shown
