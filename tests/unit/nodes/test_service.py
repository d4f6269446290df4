"""Machines that tell of themselves, from the first report to being forgotten, over two heads on one database."""

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from api.db.database import Database
from api.domain.access import Credential, Permission, Principal, current_principal
from api.domain.node import NodeInfo, NodeStatus
from api.domain.reason import ReasonCode
from api.errors import (
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    NodeIsThere,
    NodeNameTaken,
    NodeNotFound,
)
from api.gpus.registration_store import MemoryRegistrations
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.gpus.xid_histories import MOST_OF_NODE
from api.nodes.fleet_store import FleetStore
from api.nodes.service import NodeService
from api.nodes.shared_probe import SharedProbe
from api.nodes.shared_storage import NodesOwnStorage, SharedStorage
from api.nodes.store import Node, NodeStore
from api.util.clock import FakeClock
from tests.unit.builders import process, reading, uuid_of, vitals
from tests.unit.nodes.builders import PLACE, at, report
from tests.unit.nodes.heads import HEAD, FleetHead


def test_a_machine_alone_is_its_own_only_node(head: FleetHead):
    (own,) = head.nodes.list()
    assert (own.name, own.state, own.is_this_server) == ("head", NodeStatus.UP, True)
    assert not head.gpus.state.is_fleet


def test_a_node_comes_falls_silent_and_comes_back(head: FleetHead):
    assert head.hear() is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 1
    head.pass_time(16)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.UNKNOWN, 0)
    assert head.hear() is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 1
    assert head.said() == [("gpu2", "up"), ("gpu2", "unknown"), ("gpu2", "up")]


def test_a_node_that_ends_as_it_should_is_down(head: FleetHead):
    head.hear()
    head.hear(leaves=True)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.DOWN, 0)


def test_of_two_reports_at_once_the_newer_one_stays_here_and_for_other_heads(
    head: FleetHead, monkeypatch: pytest.MonkeyPatch
):
    head.hear(sequence=1)
    head.pass_time(5.0)
    is_kept, goes_on, keep = threading.Event(), threading.Event(), head.store.note_report

    def keep_slowly(*about: Any) -> int:
        is_kept.set()
        goes_on.wait(10)
        return keep(*about)

    monkeypatch.setattr(head.store, "note_report", keep_slowly)
    older = threading.Thread(target=head.hear, kwargs={"sequence": 2})
    older.start()
    is_kept.wait(10)
    monkeypatch.setattr(head.store, "note_report", keep)
    newer = threading.Thread(target=head.hear, kwargs={"sequence": 3, "leaves": True})
    newer.start()
    newer.join(0.05)
    goes_on.set()
    newer.join(10)
    older.join(10)
    assert head.state() is NodeStatus.DOWN
    assert head.store.list()["gpu2"][0].left_at is not None


def test_what_was_refused_is_told_where_an_administrator_looks(head: FleetHead):
    with pytest.raises(Invalid):
        head.hear(sequence=-1)
    head.hear()
    assert head.nodes.get("gpu2").warnings == ()
    with pytest.raises(NodeNameTaken):
        head.hear(place=at(PLACE, host="another"))
    head.hear()
    (told,) = head.nodes.get("gpu2").warnings
    assert (told.code, "on another" in told.message) == ("report_refused", True)
    with pytest.raises(Invalid):
        head.hear(stuck=-1)
    (told,) = head.nodes.get("gpu2").warnings
    assert "/report/stuck must be from 0" in told.message
    assert head.nodes.get("head").warnings == ()


def test_a_report_that_was_overtaken_on_its_way_takes_nothing_back(head: FleetHead):
    head.hear("gpu2", 1, 2, sequence=7)
    assert head.hear("gpu2", 1, sequence=6) is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 2
    head.hear(leaves=True, sequence=8)
    assert head.hear(sequence=8) is NodeStatus.DOWN


def test_a_program_that_begins_anew_counts_its_reports_from_one_again(head: FleetHead):
    head.hear("gpu2", 1, sequence=7)
    head.hear("gpu2", 1, 2, place=at(PLACE, started="s2"), sequence=1)
    assert head.gpus.get_available_gpus().total_available == 2


def test_another_program_of_one_name_is_refused_with_the_host_of_the_first(head: FleetHead):
    head.hear()
    with pytest.raises(NodeNameTaken, match="box1"):
        head.hear(place=at(PLACE, host="box2", machine="m2"))
    with pytest.raises(NodeNameTaken, match="headbox"):
        head.hear("head")
    head.pass_time(16)
    assert head.hear(place=at(PLACE, host="box2", machine="m2")) is NodeStatus.UP


@pytest.mark.parametrize("name", ["<b>", "a\x1b[2J", "a b", "x" * 64, "-x", "../x", ""])
def test_what_is_no_name_is_no_node(head: FleetHead, name: str):
    with pytest.raises(Invalid) as caught:
        head.hear(name)
    assert "\x1b" not in str(caught.value)
    assert len(head.nodes.list()) == 1


def test_garbage_changes_nothing(head: FleetHead):
    head.hear()
    before = head.gpus.state
    with pytest.raises(Invalid):
        head.nodes.receive("gpu2", {"format": 1, "gpus": [[]]})
    assert head.gpus.state is before


def test_drained_by_one_head_is_drained_for_all(head: FleetHead, database: Database):
    other = FleetHead(database, head.clock)
    head.hear()
    other.pass_time(1)
    assert other.state() is NodeStatus.UP
    drained = other.nodes.drain("gpu2", "fans", "ann")
    assert (drained.state, drained.drain and drained.drain.by) == (NodeStatus.DRAINING, "ann")
    head.pass_time(1)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.DRAINING, 0)
    head.nodes.undrain("gpu2")
    assert head.gpus.get_available_gpus().total_available == 1
    other.gpus.stop_monitoring()


def test_a_database_that_is_away_hides_no_node(head: FleetHead, monkeypatch: pytest.MonkeyPatch):
    def refuse(*given: object) -> int:
        raise DatabaseUnavailable

    monkeypatch.setattr(head.store, "note_report", refuse)
    assert head.hear() is NodeStatus.UP
    monkeypatch.setattr(head.store, "list", refuse)
    head.nodes._look_again()
    assert head.state() is NodeStatus.UP


def test_only_what_is_gone_is_forgotten(head: FleetHead):
    head.hear()
    for name, error in (("gpu2", NodeIsThere), ("head", NodeIsThere), ("gpu9", NodeNotFound)):
        with pytest.raises(error):
            head.nodes.forget(name)
    head.pass_time(16)
    head.nodes.forget("gpu2")
    assert [node.name for node in head.nodes.list()] == ["head"]
    assert not head.gpus.state.is_fleet


def test_a_machine_that_has_a_head_of_its_own_now_is_no_node_any_more(head: FleetHead):
    head.hear()
    # Its row says so before the last word of the node is out of date: it is there until it is silent.
    head.store.note_head("gpu2", PLACE, "1.0.0", 1, head.clock.now())
    head.pass_time(5)
    assert head.state() is NodeStatus.UP
    head.pass_time(15)
    assert [node.name for node in head.nodes.list()] == ["head"]
    assert not head.gpus.state.is_fleet
    # And back: it is a node again from its first report.
    assert head.hear() is NodeStatus.UP
    head.pass_time(5)
    assert head.state() is NodeStatus.UP


def test_a_machine_that_comes_back_with_a_lost_training_at_work_offers_that_gpu_once_it_has_ended(head: FleetHead):
    head.hear()
    head.pass_time(100)
    # Whatever became of its lease meanwhile: nobody here has the GPU.
    head.nodes.receive("gpu2", report(reading(1, processes=(process(),), vitals=vitals(memory_used_mb=8000))))
    head.gpus.check_freshness()
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.UP, 0)
    head.hear()
    assert head.gpus.get_available_gpus().total_available == 1


def test_an_xid_error_that_a_node_tells_bears_on_its_gpu(head: FleetHead):
    head.hear()
    head.hear(xids=[{"uuid": uuid_of(1), "xid": 79}])
    (gpu,) = head.gpus.get_all_gpus()
    assert (gpu.status, gpu.is_available) == ("unknown", False)


def test_errors_of_another_machines_gpu_are_refused_and_break_nothing(head: FleetHead):
    head.hear("gpu2", 1)
    with pytest.raises(Invalid) as refused:
        head.hear("gpu3", 2, place=at(PLACE, machine="m3"), xids=[{"uuid": uuid_of(1), "xid": 79}])
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/report/xids/0/uuid"]
    # Nor where it claims the GPU as its own.
    head.hear("gpu3", 1, place=at(PLACE, machine="m3"), xids=[{"uuid": uuid_of(1), "xid": 79}])
    assert [(gpu.node, gpu.is_available) for gpu in head.gpus.get_all_gpus()] == [("gpu2", True), ("gpu3", False)]  # type: ignore[attr-defined]
    assert head.gpus.state.xids == {}


def test_uuid_stays_the_first_machines_after_silence_and_a_restart_of_the_head(head: FleetHead, database: Database):
    thief = {"place": at(PLACE, machine="m3")}
    head.hear("gpu3", 2, **thief)
    head.hear("gpu2", 1)
    head.hear("gpu3", 1, 2, **thief)
    head.pass_time(5)
    head.hear("gpu3", 1, 2, **thief)
    assert _available(head) == {"gpu2": 1, "gpu3": 1}
    # gpu3 was known before gpu2, and is the first in the database.
    again = FleetHead(database, head.clock)
    again.hear("gpu2", 1)
    again.hear("gpu3", 1, 2, **thief)
    assert _available(again) == {"gpu2": 1, "gpu3": 1}
    again.pass_time(14)
    again.hear("gpu3", 1, 2, **thief)
    again.pass_time(2)
    again.hear("gpu2", 1)
    assert _available(again) == {"gpu2": 1, "gpu3": 1}
    again.gpus.stop_monitoring()


def _available(head: FleetHead) -> dict[str, int]:
    return {node.name: node.gpus.available for node in head.nodes.list() if node.name != "head"}


def test_gpus_that_a_node_no_longer_lists_leave_nothing_behind(head: FleetHead):
    for number in range(50):
        uuid = uuid_of(number)
        head.hear("gpu2", number, xids=[{"uuid": uuid, "xid": code} for code in range(100)])
    assert len(head.gpus.state.xids) == 100
    assert len(head.gpus._keeper.xids._by_node["gpu2"]) == 1


@pytest.mark.slow
def test_different_errors_of_a_node_are_bounded(head: FleetHead):
    indices = list(range(1, 31))
    for first in range(0, 200, 5):
        found = [{"uuid": uuid_of(index), "xid": first + number} for index in indices for number in range(5)]
        head.hear("gpu2", *indices, xids=found)
    assert len(head.gpus.state.xids) == MOST_OF_NODE


def test_names_that_differ_in_case_alone_are_one_node(head: FleetHead):
    head.hear("gpu2")
    assert head.hear("GPU2") is NodeStatus.UP
    with pytest.raises(NodeNameTaken):
        head.hear("Gpu2", place=at(PLACE, host="another"))
    with pytest.raises(NodeNameTaken, match="headbox"):
        head.hear("HEAD")
    assert [node.name for node in head.nodes.list()] == ["head", "gpu2"]
    assert head.nodes.drain("GPU2", "fans", "ann").drain
    assert head.state("gpu2") is NodeStatus.DRAINING


def test_key_of_a_node_speaks_for_no_other_whatever_else_it_may_do(head: FleetHead):
    permissions = frozenset({Permission.NODES_REPORT, Permission.GPUS_READ})
    who = Principal("gpu2", None, permissions, Credential.KEY)
    token = current_principal.set(who)
    try:
        assert head.hear("GPU2") is NodeStatus.UP
        with pytest.raises(Forbidden, match='for the node "gpu2"'):
            head.hear("gpu3")
    finally:
        current_principal.reset(token)


def test_gpus_of_all_nodes_together_are_bounded(head: FleetHead, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.nodes.service.MOST_GPUS", 3)
    head.hear("gpu2", 1, 2)
    with pytest.raises(Invalid, match="DELETE nodes that are gone"):
        head.hear("gpu3", 3, 4)
    assert head.hear("gpu3", 3) is NodeStatus.UP
    assert head.hear("gpu2", 1, 2) is NodeStatus.UP


def test_refused_reports_are_logged_once_and_not_each(head: FleetHead, caplog: pytest.LogCaptureFixture):
    head.hear()
    for number in range(20):
        with pytest.raises(Invalid):
            head.hear(stuck=-1 - number)
        with pytest.raises(Invalid):
            head.hear(f"gpu{3 + number}", stuck=-1)
    assert [record.message[:9] for record in caplog.records if "was refused" in record.message] == [
        "node gpu2",
        "node gpu3",
    ]


def test_gpus_of_a_machine_that_does_not_share_the_storage_are_not_offered(
    database: Database, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SharedProbe, "start", lambda probe: None)  # it probes when it is told to
    here, there = SharedProbe(tmp_path, "head", clock), SharedProbe(tmp_path, "gpu2", clock)
    head, own = FleetHead(database, clock), NodesOwnStorage(there, clock)
    shared = SharedStorage(here, clock)
    head.nodes = NodeService(head.store, head.gpus, clock, HEAD, "head", shared)
    head.gpus.withhold_where(shared.why_not)

    def hear() -> NodeInfo:
        clock.advance(5)
        here.probe()
        there.probe()
        told = own.tell()
        found = report(reading(1, processes=()), storage=None if told is None else asdict(told))
        call = head.nodes.receive("gpu2", found).storage
        own.take(None if call is None else asdict(call))
        head.gpus._monitor.sweep()
        return head.nodes.get("gpu2")

    shown = [hear() for _ in range(5)]
    assert [node.storage.state for node in (shown[0], shown[-1])] == ["unchecked", "shared"]
    assert (shown[-1].gpus.available, shown[-1].warnings) == (1, ())
    (tmp_path / "probes").rename(tmp_path / "elsewhere")
    (tmp_path / "probes").touch()
    shown = [hear()]
    assert shown[-1].storage.state == "not_shared"
    assert [warning.code for warning in shown[-1].warnings] == ["storage_not_shared"]
    assert shown[-1].gpus.available == 0
    assert "does not share STORAGE_ROOT" in head.gpus.get_all_gpus()[0].status_reason
    head.gpus.stop_monitoring()


def test_two_heads_on_two_machines_warn_of_each_others_gpus(database: Database, clock: FakeClock, tmp_path: Path):
    NodeStore(database).register(Node("other", "m9", is_settled=True), tmp_path / "other")
    heads = []
    for name, count in (("head", 2), ("other", 3)):
        gpus = GPUService(FakeSource(count=count), MemoryRegistrations(name), clock)
        gpus._monitor.sweep()
        heads.append((NodeService(FleetStore(database), gpus, clock, at(HEAD, machine=name), name), gpus))
    for _ in range(4):
        for nodes, _gpus in heads:
            nodes.look()
        clock.advance(5)
    said = [[warning.params["count"] for warning in _codes(nodes)] for nodes, _ in heads]
    for _, gpus in heads:
        gpus.stop_monitoring()
    assert said == [[3], [2]]


def _codes(nodes: NodeService) -> list[ReasonCode]:
    (own,) = nodes.list()
    return [warning.message_code for warning in own.warnings if warning.code == "other_server"]
