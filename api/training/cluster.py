"""Cluster options of requests: validation, and the nodes that satisfy them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from api.domain.finding import make_finding
from api.domain.reason import Reason
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import TaskSummary, TrainingRequest
from api.errors import Finding, FindingText
from api.executors.executor import NodeState


class ClusterNodes:
    """Matches requests with the nodes of a cluster."""

    def __init__(
        self, nodes: Callable[[], Sequence[NodeState]], options: Callable[[], Mapping[str, ClusterOptions]]
    ) -> None:
        """Create the check. `options` returns the cluster options of waiting tasks, by task id."""
        self._nodes = nodes
        self._options = options

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions of the cluster's nodes."""
        return tuple(sorted({name for node in self._nodes() for name in _details(node, "partitions")}))

    @property
    def features(self) -> tuple[str, ...]:
        """The features of the cluster's nodes, for use in constraints."""
        return tuple(sorted({name for node in self._nodes() for name in _details(node, "features")}))

    def mistakes(self, request: TrainingRequest) -> Sequence[Finding]:
        """Return an error for each option that no node of the cluster satisfies."""
        nodes, options = self._nodes(), request.slurm
        if options is None or not nodes:
            return ()
        found = [*self._partition_errors(options), *self._constraint_errors(options)]
        if not found and not choose_nodes(nodes, options):
            found.append(
                make_finding(
                    "/slurm/constraint",
                    FindingText(
                        "constraint_unsatisfied",
                        'No node of the cluster satisfies the constraint "{constraint}" in that partition.',
                    ),
                    remedy=self._list_features(),
                    constraint=options.constraint,
                )
            )
        return found

    def _partition_errors(self, options: ClusterOptions) -> Iterator[Finding]:
        partitions = self.partitions
        known = ", ".join(partitions)
        if options.partition is not None and not options.partitions:
            yield make_finding(
                "/slurm/partition",
                FindingText("partition_invalid", '"{name}" is not a partition.', "Partitions: {partitions}."),
                name=options.partition,
                partitions=known,
            )
        for name in sorted(options.partitions.difference(partitions)):
            yield make_finding(
                "/slurm/partition",
                FindingText("partition_unknown", 'The cluster has no partition "{name}".', "Partitions: {partitions}."),
                name=name,
                partitions=known,
            )

    def _constraint_errors(self, options: ClusterOptions) -> Iterator[Finding]:
        """Yield errors that Slurm would report only at the start: features that no node has, invalid syntax."""
        if options.constraint is None:
            return
        if not options.named_features or not options.is_constraint_closed:
            yield make_finding(
                "/slurm/constraint",
                FindingText(
                    "constraint_invalid",
                    '"{constraint}" is not a valid Slurm constraint.',
                    "Join features by & or |, for example h100&nvlink.",
                ),
                constraint=options.constraint,
            )
        for name in sorted(options.named_features.difference(self.features)):
            yield make_finding(
                "/slurm/constraint",
                FindingText("feature_unknown", 'No node of the cluster has the feature "{name}".'),
                remedy=self._list_features(),
                name=name,
            )

    def _list_features(self) -> Reason:
        return Reason.of("Features: {features}.", "advice_features", features=", ".join(self.features) or "none")

    def nodes_of(self, queue: Sequence[TaskSummary]) -> Mapping[str, frozenset[str]]:
        """Return the nodes that satisfy the options of each task, by task id. Tasks without options are omitted."""
        options, nodes = self._options(), self._nodes()
        return {task.task_id: choose_nodes(nodes, options[task.task_id]) for task in queue if task.task_id in options}


def choose_nodes(nodes: Sequence[NodeState], options: ClusterOptions) -> frozenset[str]:
    """Return the names of nodes in the requested partition with the requested features.

    Constraints of another form do not exclude nodes.
    """
    partitions, features = options.partitions, options.features or frozenset()
    return frozenset(
        node.name
        for node in nodes
        if (not partitions or not partitions.isdisjoint(_details(node, "partitions")))
        and features.issubset(_details(node, "features"))
    )


def _details(node: NodeState, name: str) -> Sequence[str]:
    found: Sequence[str] = node.details.get(name, ())
    return found
