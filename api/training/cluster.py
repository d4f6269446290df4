"""What requests wish of a cluster: whether it can have it, and which machines that leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from api.domain.engine import EngineWishes
from api.domain.training import TaskSummary, TrainingRequest
from api.errors import Mistake
from api.executors.executor import NodeState


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
        nodes, wishes = self._nodes(), request.slurm
        if wishes is None or not nodes:
            return ()
        found = [*self._mistakes_of_partition(wishes), *self._mistakes_of_constraint(wishes)]
        if not found and not choose_nodes(nodes, wishes):
            text = f'No machine of the cluster fulfils the constraint "{wishes.constraint}" in that partition.'
            found.append(Mistake("/slurm/constraint", text, self._say_features()))
        return found

    def _mistakes_of_partition(self, wishes: EngineWishes) -> Iterator[Mistake]:
        partitions = self.partitions
        there = f"There are: {', '.join(partitions)}."
        if wishes.partition is not None and not wishes.partitions:
            yield Mistake("/slurm/partition", f'"{wishes.partition}" names no partition.', there)
        for name in sorted(wishes.partitions.difference(partitions)):
            yield Mistake("/slurm/partition", f'The cluster has no partition "{name}".', there)

    def _mistakes_of_constraint(self, wishes: EngineWishes) -> Iterator[Mistake]:
        """What Slurm would refuse once the training is to begin: a feature that no machine has, in whatever form."""
        if wishes.constraint is None:
            return
        if not wishes.named_features or not wishes.is_constraint_closed:
            text = f'"{wishes.constraint}" is no constraint that Slurm takes.'
            yield Mistake("/slurm/constraint", text, "Give features joined by & or |, such as h100&nvlink.")
        for name in sorted(wishes.named_features.difference(self.features)):
            text = f'No machine of the cluster has the feature "{name}".'
            yield Mistake("/slurm/constraint", text, self._say_features())

    def _say_features(self) -> str:
        return f"Features are: {', '.join(self.features) or 'none'}."

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
