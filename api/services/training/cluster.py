"""What requests wish of a cluster: whether it can have it, and which machines that leaves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from api.errors import Mistake
from api.executors.executor import NodeState
from api.models.engine import EngineWishes
from api.models.training import TaskSummary, TrainingRequest


class EngineCheck(Protocol):
    """Finds what is wrong with a request's wishes of a cluster."""

    def mistakes(self, request: TrainingRequest) -> Sequence[Mistake]:
        """Every wish that cannot be had."""
        ...


class NoEngine:
    """A service that starts trainings on its own machine."""

    def mistakes(self, request: TrainingRequest) -> Sequence[Mistake]:
        """A mistake for wishes of a cluster, which nobody would heed here."""
        if request.slurm is None:
            return ()
        text = "Trainings run on this machine (EXECUTOR=local), where there are no partitions, accounts or limits."
        return (Mistake("/slurm", text, "Leave it out, or ask a service with EXECUTOR=slurm."),)


class ClusterWishes:
    """Knows the machines of a cluster; `nodes` gives them at once, `wishes` the wishes of tasks that wait, by id."""

    def __init__(
        self, nodes: Callable[[], Sequence[NodeState]], wishes: Callable[[], Mapping[str, EngineWishes]]
    ) -> None:
        self._nodes = nodes
        self._wishes = wishes

    @property
    def partitions(self) -> tuple[str, ...]:
        """The names of the partitions that its machines are in."""
        return tuple(sorted({name for node in self._nodes() for name in _details(node, "partitions")}))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that its machines have, which constraints name."""
        return tuple(sorted({name for node in self._nodes() for name in _details(node, "features")}))

    def mistakes(self, request: TrainingRequest) -> Sequence[Mistake]:
        """Every wish that no machine of the cluster can fulfil."""
        nodes, found, wishes = self._nodes(), list[Mistake](), request.slurm
        if wishes is None or not nodes:
            return found
        partitions = self.partitions
        for name in sorted(wishes.partitions):
            if name not in partitions:
                text = f'The cluster has no partition "{name}".'
                found.append(Mistake("/slurm/partition", text, f"There are: {', '.join(partitions)}."))
        if not found and not choose_nodes(nodes, wishes):
            text = f'No machine of the cluster fulfils the constraint "{wishes.constraint}" in that partition.'
            found.append(Mistake("/slurm/constraint", text, f"Features are: {', '.join(self.features) or 'none'}."))
        return found

    def nodes_of(self, queue: Sequence[TaskSummary]) -> Mapping[str, frozenset[str]]:
        """The machines that these tasks are bound to by their wishes, by id; others have the choice."""
        wishes, nodes = self._wishes(), self._nodes()
        return {task.task_id: choose_nodes(nodes, wishes[task.task_id]) for task in queue if task.task_id in wishes}


def choose_nodes(nodes: Sequence[NodeState], wishes: EngineWishes) -> frozenset[str]:
    """The machines in the partition that is wished for, with the features; a constraint of another form leaves all."""
    partitions, features = wishes.partitions, wishes.features or frozenset()
    return frozenset(
        node.name
        for node in nodes
        if (not partitions or not partitions.isdisjoint(_details(node, "partitions")))
        and features.issubset(_details(node, "features"))
    )


def _details(node: NodeState, name: str) -> Sequence[str]:
    found: Sequence[str] = node.details.get(name, ())
    return found
