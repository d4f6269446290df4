from typing import Any

import pytest

from api.domain.engine import EngineWishes
from api.domain.training import TrainingRequest
from api.executors.executor import NodeState
from api.training.cluster import ClusterWishes, NoEngine, choose_nodes
from tests.unit.training.builders import task

NODES = (
    NodeState("n1", details={"partitions": ["gpu", "big"], "features": ["h100", "nvlink"]}, gpu_count=8),
    NodeState("n2", details={"partitions": ["gpu"], "features": ["l40s"]}, gpu_count=2),
)


def mistakes(**wishes: Any) -> list[str]:
    cluster = ClusterWishes(lambda: NODES, dict)
    return [found.pointer for found in cluster.mistakes(TrainingRequest("toy", slurm=EngineWishes(**wishes)))]


@pytest.mark.parametrize(
    ("wishes", "names"),
    [
        ({}, {"n1", "n2"}),
        ({"partition": "big"}, {"n1"}),
        ({"partition": "big,gpu"}, {"n1", "n2"}),
        ({"constraint": "h100&nvlink"}, {"n1"}),
        ({"constraint": "h100&l40s"}, set()),
        ({"constraint": "[h100|l40s]"}, {"n1", "n2"}),
    ],
)
def test_wishes_leave_machines(wishes: dict[str, str], names: set[str]) -> None:
    assert choose_nodes(NODES, EngineWishes(**wishes)) == names


def test_what_no_machine_fulfils_is_told() -> None:
    assert mistakes(partition="gpu", constraint="h100", account="team", time_limit=5) == []
    assert mistakes(partition="gpu,nowhere") == ["/slurm/partition"]
    assert mistakes(partition="gpu", constraint="gold") == ["/slurm/constraint"]


@pytest.mark.parametrize("constraint", ["(((", ")(", "[h100)", "|", "*", ",,", "&", "h100*2&(nvlink", "()"])
def test_what_is_no_constraint_is_told_before_slurm_would_refuse_it(constraint: str) -> None:
    assert mistakes(constraint=constraint) == ["/slurm/constraint"]


@pytest.mark.parametrize("constraint", ["h100|gold", "[h100*1&gold*2]", "h100&(nvlink|gold)", "H100", "--h100"])
def test_a_feature_that_no_machine_has_is_told_in_whatever_form(constraint: str) -> None:
    assert mistakes(constraint=constraint) == ["/slurm/constraint"]


@pytest.mark.parametrize(
    "constraint", ["h100|l40s", "[h100*1&l40s*1]", "h100&(nvlink|l40s)", "h100,nvlink", "[(h100)]"]
)
def test_a_form_that_only_slurm_can_judge_is_left_to_it(constraint: str) -> None:
    assert mistakes(constraint=constraint) == []


@pytest.mark.parametrize("partition", [",", ",,,"])
def test_commas_alone_name_no_partition(partition: str) -> None:
    assert mistakes(partition=partition) == ["/slurm/partition"]


def test_nothing_is_refused_while_nobody_knows_the_cluster() -> None:
    cluster = ClusterWishes(lambda: (), dict)
    assert not cluster.mistakes(TrainingRequest("toy", slurm=EngineWishes("nowhere")))


def test_waiting_tasks_are_bound_by_their_wishes() -> None:
    cluster = ClusterWishes(lambda: NODES, lambda: {"a": EngineWishes("big")})
    assert cluster.nodes_of([task("a"), task("b")]) == {"a": {"n1"}}


def test_without_a_cluster_no_wish_of_it_is_taken() -> None:
    assert not NoEngine().mistakes(TrainingRequest("toy"))
    (found,) = NoEngine().mistakes(TrainingRequest("toy", slurm=EngineWishes()))
    assert found.pointer == "/slurm"


def test_what_can_be_wished_for_is_named_once() -> None:
    cluster = ClusterWishes(lambda: NODES, dict)
    assert (cluster.partitions, cluster.features) == (("big", "gpu"), ("h100", "l40s", "nvlink"))
