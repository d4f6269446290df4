"""The GPUs of other machines, as these told of them, and what can be said of each machine. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.node import SILENT_SECONDS, NodeStatus
from api.domain.reason import Reason, Words
from api.gpus.snapshot import GPUSnapshot


@dataclass(frozen=True, slots=True)
class NodePart:
    """What another node told last. The times of its snapshot are by this server's monotonic clock."""

    node: str
    snapshot: GPUSnapshot
    heard: float  #: when it was last heard, monotonic
    has_left: bool = False  #: it has said that it ends
    is_heard: bool = True  #: False: it is known from the database alone, since `heard`
    boot: str = ""  #: the id of its machine's present boot; empty where it gives none
    disputed: frozenset[str] = frozenset()  #: UUIDs of its GPUs that were another machine's before it reported them

    def is_silent(self, now: float) -> bool:
        """Whether it was not heard lately, or never by this server."""
        return not self.is_heard or now - self.heard > SILENT_SECONDS


#: Why nothing is known of a node right after a restart of this server.
NOT_HEARD = Reason.of("it has not been heard since this server started", "not_heard_yet")


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """What can be said of a node at one moment."""

    name: str
    status: NodeStatus
    reason: Reason | None = None
    silent_seconds: float = 0.0


def judge_node(part: NodePart, drains: Mapping[str, Reason], now: float) -> NodeCondition:
    """Whether a node is there, at the monotonic time `now`, and whether anything new may be started on it."""
    silent = max(0.0, now - part.heard)
    if part.has_left:
        return NodeCondition(part.node, NodeStatus.DOWN, Reason.of("it has ended as it was told to", "ended"), silent)
    if not part.is_heard:
        return NodeCondition(part.node, NodeStatus.UNKNOWN, NOT_HEARD, silent)
    if part.is_silent(now):
        why = Reason.of("nothing was heard of it for {seconds} s", "silent", seconds=round(silent))
        return NodeCondition(part.node, NodeStatus.UNKNOWN, why, silent)
    return judge_drain(part.node, drains, silent)


def judge_drain(name: str, drains: Mapping[str, Reason], silent: float = 0.0) -> NodeCondition:
    """The same of a node that is there."""
    drain = drains.get(name)
    return NodeCondition(name, NodeStatus.UP if drain is None else NodeStatus.DRAINING, drain, silent)


def why_unread(part: NodePart, condition: NodeCondition) -> Words | None:
    """Why nothing that a node told of its GPUs counts; None: it does."""
    if condition.status is NodeStatus.DOWN:
        return Reason.of("its node {node} has ended", "node_ended", node=part.node)
    if condition.reason is NOT_HEARD:
        return Reason.of("its node {node} has not been heard since this server started", "node_unheard", node=part.node)
    if condition.status is NodeStatus.UNKNOWN:
        seconds = round(condition.silent_seconds)
        return Reason.of(
            "its node {node} has been silent for {seconds} s", "node_silent", node=part.node, seconds=seconds
        )
    return part.snapshot.problem
