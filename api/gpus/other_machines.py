"""The GPUs of other machines as reported, and the state of each machine. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.machines.node import SILENT_SECONDS, NodeStatus
from api.domain.reason import Reason, ReasonOrText
from api.gpus.snapshot import GPUSnapshot


@dataclass(frozen=True, slots=True)
class NodePart:
    """The last report of another node. The times of its snapshot use this server's monotonic clock."""

    node: str
    snapshot: GPUSnapshot
    reported_at: float  #: monotonic time of its last report
    has_left: bool = False  #: it has reported its shutdown
    has_reported: bool = True  #: False: it is known only from the database, since `reported_at`
    boot: str = ""  #: the id of its machine's current boot; empty if not reported
    disputed: frozenset[str] = frozenset()  #: UUIDs of its GPUs that another machine reported first

    def is_silent(self, now: float) -> bool:
        """Return whether its last report is too old, or this server has received none."""
        return not self.has_reported or now - self.reported_at > SILENT_SECONDS


#: The reason for an unknown node right after a restart of this server.
NEVER_REPORTED = Reason.of("it has not reported since this server started", "not_heard_yet")


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """The state of a node at one moment."""

    name: str
    status: NodeStatus
    reason: Reason | None = None
    silent_seconds: float = 0.0


def judge_node(part: NodePart, drains: Mapping[str, Reason], now: float) -> NodeCondition:
    """Return whether a node is up at the monotonic time `now`, and whether it may start new tasks."""
    silent = max(0.0, now - part.reported_at)
    if part.has_left:
        return NodeCondition(part.node, NodeStatus.DOWN, Reason.of("it was shut down", "ended"), silent)
    if not part.has_reported:
        return NodeCondition(part.node, NodeStatus.UNKNOWN, NEVER_REPORTED, silent)
    if part.is_silent(now):
        why = Reason.of("it has not reported for {seconds} s", "silent", seconds=round(silent))
        return NodeCondition(part.node, NodeStatus.UNKNOWN, why, silent)
    return judge_drain(part.node, drains, silent)


def judge_drain(name: str, drains: Mapping[str, Reason], silent: float = 0.0) -> NodeCondition:
    """Return the condition of a node that is up."""
    drain = drains.get(name)
    return NodeCondition(name, NodeStatus.UP if drain is None else NodeStatus.DRAINING, drain, silent)


def why_unread(part: NodePart, condition: NodeCondition) -> ReasonOrText | None:
    """Return why a node's report about its GPUs does not count; None if it does."""
    if condition.status is NodeStatus.DOWN:
        return Reason.of("its node {node} was shut down", "node_ended", node=part.node)
    if condition.reason is NEVER_REPORTED:
        return Reason.of("its node {node} has not reported since this server started", "node_unheard", node=part.node)
    if condition.status is NodeStatus.UNKNOWN:
        seconds = round(condition.silent_seconds)
        return Reason.of(
            "its node {node} has not reported for {seconds} s", "node_silent", node=part.node, seconds=seconds
        )
    return part.snapshot.problem
