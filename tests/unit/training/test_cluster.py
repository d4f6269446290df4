from typing import Any

import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import TrainingRequest
from api.executors.executor import NodeState
from api.training.cluster import ClusterNodes, choose_nodes
from tests.unit.training.builders import task

NODES = (
    NodeState("n1", details={"partitions": ["gpu", "big"], "features": ["h100", "nvlink"]}, gpu_count=8),
    NodeState("n2", details={"partitions": ["gpu"], "features": ["l40s"]}, gpu_count=2),
)


def errors_of(**options: Any) -> list[str]:
    cluster = ClusterNodes(lambda: NODES, dict)
    return [found.pointer for found in cluster.mistakes(TrainingRequest("toy", slurm=ClusterOptions(**options)))]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"n1", "n2"}),
        ({"partition": "big"}, {"n1"}),
        ({"partition": "big,gpu"}, {"n1", "n2"}),
        ({"constraint": "h100&nvlink"}, {"n1"}),
        ({"constraint": "h100&l40s"}, set()),
        ({"constraint": "[h100|l40s]"}, {"n1", "n2"}),
    ],
)
def test_options_select_nodes(options: dict[str, str], names: set[str]) -> None:
    assert choose_nodes(NODES, ClusterOptions(**options)) == names


def test_unsatisfiable_options_are_errors() -> None:
    assert errors_of(partition="gpu", constraint="h100", account="team", time_limit=5) == []
    assert errors_of(partition="gpu,nowhere") == ["/slurm/partition"]
    assert errors_of(partition="gpu", constraint="gold") == ["/slurm/constraint"]


@pytest.mark.parametrize("constraint", ["(((", ")(", "[h100)", "|", "*", ",,", "&", "h100*2&(nvlink", "()"])
def test_invalid_constraint_is_an_error_before_slurm_rejects_it(constraint: str) -> None:
    assert errors_of(constraint=constraint) == ["/slurm/constraint"]


@pytest.mark.parametrize("constraint", ["h100|gold", "[h100*1&gold*2]", "h100&(nvlink|gold)", "H100", "--h100"])
def test_unknown_feature_is_an_error_in_every_constraint_form(constraint: str) -> None:
    assert errors_of(constraint=constraint) == ["/slurm/constraint"]


@pytest.mark.parametrize(
    "constraint", ["h100|l40s", "[h100*1&l40s*1]", "h100&(nvlink|l40s)", "h100,nvlink", "[(h100)]"]
)
def test_complex_constraint_is_left_to_slurm(constraint: str) -> None:
    assert errors_of(constraint=constraint) == []


@pytest.mark.parametrize("partition", [",", ",,,"])
def test_commas_alone_are_not_a_partition(partition: str) -> None:
    assert errors_of(partition=partition) == ["/slurm/partition"]


def test_nothing_is_rejected_while_the_cluster_is_unknown() -> None:
    cluster = ClusterNodes(lambda: (), dict)
    assert not cluster.mistakes(TrainingRequest("toy", slurm=ClusterOptions("nowhere")))


def test_waiting_tasks_are_restricted_to_nodes_by_their_options() -> None:
    cluster = ClusterNodes(lambda: NODES, lambda: {"a": ClusterOptions("big")})
    assert cluster.nodes_of([task("a"), task("b")]) == {"a": {"n1"}}


def test_partitions_and_features_are_listed_once() -> None:
    cluster = ClusterNodes(lambda: NODES, dict)
    assert (cluster.partitions, cluster.features) == (("big", "gpu"), ("h100", "l40s", "nvlink"))
