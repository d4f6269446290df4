"""Answers about several machines: each GPU with its node."""

from datetime import timedelta

import pytest

from api.domain.machines.gpu import FleetStatusResponse, GPUStatus
from api.domain.machines.history import Metric
from api.domain.machines.node import NodeStatus
from api.domain.reason import Reason
from api.errors import GPUNotFound, NodeNotFound
from api.gpus.fleet_views import FleetHistory, count_names, narrow, show_processes_of, show_state
from api.gpus.lookup import find_gpu
from api.gpus.offers import list_offers
from tests.unit.builders import NOW, reading, snapshot, uuid_of, vitals
from tests.unit.gpus.fleets import fleet

FREE = reading(1, processes=())


def test_each_gpu_has_its_node_and_nodes_are_listed():
    shown = show_state(fleet(FREE), NOW)
    assert isinstance(shown, FleetStatusResponse)
    assert [(gpu.node, gpu.uuid, gpu.is_available) for gpu in shown.gpus] == [
        ("here", uuid_of(0), True),
        ("gpu2", uuid_of(1), True),
    ]
    assert [(node.name, node.state) for node in shown.nodes] == [("here", NodeStatus.UP), ("gpu2", NodeStatus.UP)]
    assert shown.summary.total_gpus == 2


def test_gpus_of_a_silent_node_are_unknown_with_their_age():
    shown = show_state(fleet(FREE, silent=16.0), NOW)
    gpu = shown.gpus[1]
    assert (gpu.status, gpu.status_reason) == (GPUStatus.UNKNOWN, "its node gpu2 has not reported for 16 s")
    assert shown.summary.available_gpus == 1


def test_gpus_of_a_drained_node_are_busy():
    drain = Reason.of("{why} ({who})", "drained_by", why="fans", who="ann")
    shown = show_state(fleet(FREE, drains={"gpu2": drain, "here": drain}), NOW)
    assert {gpu.status_reason for gpu in shown.gpus} == {"its node is drained: fans (ann)"}
    assert shown.summary.available_gpus == 0


def test_local_executor_offers_only_this_machines_gpus():
    assert [offer.node for offer in list_offers(fleet(FREE))] == ["here"]


@pytest.mark.parametrize("name", ["gpu2:0", "here:0", uuid_of(1)])
def test_gpu_of_a_fleet_is_named_by_node_and_index_or_uuid(name: str):
    other = reading(0, identity=FREE.identity, processes=())
    assert find_gpu(fleet(other), name).node == ("here" if name == "here:0" else "gpu2")


def test_ambiguous_index_is_rejected():
    other = reading(0, identity=FREE.identity)
    with pytest.raises(GPUNotFound, match="2 nodes have a GPU 0") as refused:
        find_gpu(fleet(other), "0")
    assert refused.value.data == {"gpu_ids": ["here:0", "gpu2:0"]}
    assert count_names(fleet(other).gpus, is_fleet=True)["0"] == 2


def test_state_is_narrowed_to_one_node():
    state = narrow(fleet(FREE), "gpu2")
    assert ([gpu.node for gpu in state.gpus], [node.name for node in state.nodes]) == (["gpu2"], ["gpu2"])
    with pytest.raises(NodeNotFound):
        narrow(state, "here")


def test_gpu_with_this_machines_uuid_is_unknown_and_named_only_by_its_node():
    state = fleet(reading(0, processes=()))
    twin = state.gpus[1]
    assert (twin.is_twin, twin.judgement.status) == (True, GPUStatus.UNKNOWN)
    assert find_gpu(state, uuid_of(0)).node == "here"
    assert find_gpu(state, "gpu2:0") is twin
    assert [offer.node for offer in list_offers(state)] == ["here"]


def test_processes_are_shown_with_the_node():
    shown = show_processes_of(fleet(FREE), "gpu2:1", Reason.of("a note", "own_pid_namespace"))
    assert (shown.node, shown.note) == ("gpu2", None)  # type: ignore[attr-defined]


def test_other_machines_gpus_differ_from_this_ones():
    assert fleet(FREE).other_uuids == {uuid_of(1)}


def test_another_machines_gpu_has_its_own_history():
    histories = FleetHistory(5.0)
    state = fleet(reading(1, vitals=vitals(utilization_gpu=77)))
    taken = snapshot().taken_at
    histories.record_others(state)
    shown = histories.show(state, "gpu2:1", Metric.UTILIZATION_GPU, taken - timedelta(1), taken + timedelta(1), None)
    assert (shown.node, [point.value for point in shown.data]) == ("gpu2", [77])  # type: ignore[attr-defined]
    own = histories.show(state, "here:0", Metric.UTILIZATION_GPU, NOW - timedelta(1), NOW + timedelta(1), None)
    assert own.data == ()


def test_silent_machine_has_no_new_samples():
    histories = FleetHistory(5.0)
    state = fleet(reading(1), silent=60.0)
    histories.record_others(state)
    taken = snapshot().taken_at
    shown = histories.show(state, "gpu2:1", Metric.MEMORY_USED, taken - timedelta(1), taken + timedelta(1), None)
    assert [point.value for point in shown.data] == [None]
