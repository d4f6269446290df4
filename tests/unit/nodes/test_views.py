from dataclasses import replace

import pytest

from api.domain.machines.node import NodeRecord, NodeRole, NodeStatus, SlurmNode
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.executors.executor import NodeState
from api.gpus.health.events import GPUEvents
from api.gpus.state import GPUState, GPUStateKeeper
from api.nodes.report_check import read_report
from api.nodes.views import list_held, show_nodes, warn
from api.nodes.wire import take_report
from api.util.clock import FakeClock
from tests.unit.builders import reading, snapshot, task, uuid_of
from tests.unit.nodes.builders import NOW, report


def state_with(*gpus: int, held: str = "train_1", has_ended: bool = False) -> GPUState:
    """This machine with GPU 0, and a node with these GPUs."""
    clock = FakeClock()
    keeper = GPUStateKeeper("here", clock, 10.0, GPUEvents())
    result = read_report(report(*(reading(index) for index in gpus)), "gpu2")
    keeper.update_nodes({"gpu2": take_report("gpu2", result, clock.monotonic(), NOW)}, {})
    holders = {
        uuid_of(index): replace(task(held), gpu_uuids=tuple(map(uuid_of, gpus)), has_ended=has_ended) for index in gpus
    }
    return keeper.judge(snapshot(reading(0)), holders)


def test_a_node_is_shown_with_its_gpus_and_tasks():
    own, other = show_nodes(state_with(1, 2), {"gpu2": NodeRecord("gpu2", NodeRole.NODE, version="1.0.0")})
    assert (own.name, own.is_this_server, own.gpus.total) == ("here", True, 1)
    assert (other.name, other.role, other.state) == ("gpu2", NodeRole.NODE, NodeStatus.UP)
    assert (other.gpus.total, other.gpus.busy) == (2, 2)
    assert [(one.task_id, one.gpu_uuids) for one in other.tasks] == [("train_1", (uuid_of(1), uuid_of(2)))]


def test_node_has_its_slurm_state_if_slurm_knows_it():
    details = {"says": ("IDLE", "DRAIN"), "partitions": ("gpu",), "features": ()}
    engine = [NodeState("gpu2", "draining", "dust", details=details), NodeState("elsewhere")]
    own, other = show_nodes(state_with(0), {}, engine)
    assert own.slurm is None
    assert other.slurm == SlurmNode(NodeStatus.DRAINING, ("IDLE", "DRAIN"), "dust", ("gpu",))


def test_slurm_machine_without_the_storage_causes_a_warning():
    bar = Reason.of("its machine does not share STORAGE_ROOT", "storage_not_shared")
    own, other = show_nodes(state_with(1), {}, [NodeState("gpu2", bar=bar), NodeState("n3", bar=bar)])
    assert [warning.message.partition(":")[0] for warning in other.warnings] == ["Slurm's machine gpu2"]
    assert [warning.message.partition(":")[0] for warning in own.warnings] == ["Slurm's machine n3"]


def test_duplicate_uuid_causes_a_warning():
    (_, other) = show_nodes(state_with(0), {})
    assert [(warning.code, warning.message) for warning in other.warnings] == [
        ("uuid_elsewhere", "its GPU 0 has the UUID of another: here has a GPU of this UUID, too")
    ]


def test_receipt_lists_the_holders_of_the_nodes_gpus():
    (held,) = list_held(state_with(1, 2), "gpu2")
    assert (held.task_id, held.task_type, held.gpu_uuids) == ("train_1", TaskType.TRAINING, (uuid_of(1), uuid_of(2)))
    assert list_held(state_with(1, 2), "elsewhere") == ()


def test_receipt_omits_ended_tasks():
    assert list_held(state_with(1, 2, has_ended=True), "gpu2") == ()


@pytest.mark.parametrize(
    ("version", "offset", "codes"),
    [
        ("1.2.0", 0.3, []),
        ("1.3.0", None, ["newer_version"]),
        ("1.1.9", None, ["older_version"]),
        ("1.2.0", -2.5, ["clock_skew"]),
        ("1.2.0.dev1+g123", None, []),
        ("nightly", 2.0, []),
        (None, 7200.0, ["clock_skew"]),
    ],
)
def test_different_versions_and_clocks_cause_warnings(version: str, offset: float, codes: list[str]):
    assert [warning.code for warning in warn(version, offset, own="1.2.0")] == codes
