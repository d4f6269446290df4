"""Nodes from their first report until they are forgotten, with two heads on one database."""

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from api.db.database import Database
from api.domain.access.principal import Credential, Permission, Principal, current_principal
from api.domain.machines.node import NodeInfo, NodeStatus
from api.domain.reason import ReasonCode
from api.errors import (
    DatabaseUnavailable,
    Finding,
    Forbidden,
    Invalid,
    NodeIsThere,
    NodeNameTaken,
    NodeNotFound,
)
from api.gpus.health.xid_history import MOST_OF_NODE
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource
from api.nodes.fleet_store import FleetStore
from api.nodes.service import SHOWN_SECONDS, NodeService, Refusals, check_name
from api.nodes.shared_probe import SharedProbe
from api.nodes.shared_storage import NodesOwnStorage, SharedStorage
from api.nodes.store import Node, NodeStore
from api.util.clock import FakeClock
from tests.unit.builders import process, reading, uuid_of, vitals
from tests.unit.nodes.builders import PLACE, at, report
from tests.unit.nodes.heads import HEAD, FleetHead


def test_single_machine_is_the_only_node(head: FleetHead):
    (own,) = head.nodes.list()
    assert (own.name, own.state, own.is_this_server) == ("head", NodeStatus.UP, True)
    assert not head.gpus.state.is_fleet


def test_node_reports_falls_silent_and_returns(head: FleetHead):
    assert head.receive() is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 1
    head.pass_time(16)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.UNKNOWN, 0)
    assert head.receive() is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 1
    assert head.statuses() == [("gpu2", "up"), ("gpu2", "unknown"), ("gpu2", "up")]


def test_stopped_node_is_down(head: FleetHead):
    head.receive()
    head.receive(leaves=True)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.DOWN, 0)


def test_newer_of_two_concurrent_reports_wins(head: FleetHead, monkeypatch: pytest.MonkeyPatch):
    head.receive(sequence=1)
    head.pass_time(5.0)
    is_kept, goes_on, keep = threading.Event(), threading.Event(), head.store.note_report

    def keep_slowly(*about: Any) -> int:
        is_kept.set()
        goes_on.wait(10)
        return keep(*about)

    monkeypatch.setattr(head.store, "note_report", keep_slowly)
    older = threading.Thread(target=head.receive, kwargs={"sequence": 2})
    older.start()
    is_kept.wait(10)
    monkeypatch.setattr(head.store, "note_report", keep)
    newer = threading.Thread(target=head.receive, kwargs={"sequence": 3, "leaves": True})
    newer.start()
    newer.join(0.05)
    goes_on.set()
    newer.join(10)
    older.join(10)
    assert head.state() is NodeStatus.DOWN
    assert head.store.list()["gpu2"][0].left_at is not None


def test_rejected_report_is_shown_at_the_head(head: FleetHead):
    with pytest.raises(Invalid):
        head.receive(sequence=-1)
    head.receive()
    assert head.nodes.get("gpu2").warnings == ()
    with pytest.raises(NodeNameTaken):
        head.receive(place=at(PLACE, host="another"))
    head.receive()
    (result,) = head.nodes.get("gpu2").warnings
    assert (result.code, "on another" in result.message) == ("report_refused", True)
    with pytest.raises(Invalid):
        head.receive(stuck=-1)
    (result,) = head.nodes.get("gpu2").warnings
    assert "/report/stuck must be from 0" in result.message
    assert head.nodes.get("head").warnings == ()


def test_delayed_report_is_ignored(head: FleetHead):
    head.receive("gpu2", 1, 2, sequence=7)
    assert head.receive("gpu2", 1, sequence=6) is NodeStatus.UP
    assert head.gpus.get_available_gpus().total_available == 2
    head.receive(leaves=True, sequence=8)
    assert head.receive(sequence=8) is NodeStatus.DOWN


def test_restarted_node_counts_reports_from_one(head: FleetHead):
    head.receive("gpu2", 1, sequence=7)
    head.receive("gpu2", 1, 2, place=at(PLACE, started="s2"), sequence=1)
    assert head.gpus.get_available_gpus().total_available == 2


def test_second_node_of_one_name_is_rejected_with_the_host_of_the_first(head: FleetHead):
    head.receive()
    with pytest.raises(NodeNameTaken, match="box1"):
        head.receive(place=at(PLACE, host="box2", machine="m2"))
    with pytest.raises(NodeNameTaken, match="headbox"):
        head.receive("head")
    head.pass_time(16)
    assert head.receive(place=at(PLACE, host="box2", machine="m2")) is NodeStatus.UP


@pytest.mark.parametrize("name", ["<b>", "a\x1b[2J", "a b", "x" * 64, "-x", "../x", ""])
def test_malformed_name_is_not_a_node(head: FleetHead, name: str):
    with pytest.raises(Invalid) as caught:
        head.receive(name)
    assert "\x1b" not in str(caught.value)
    assert len(head.nodes.list()) == 1


def test_invalid_report_changes_nothing(head: FleetHead):
    head.receive()
    before = head.gpus.state
    with pytest.raises(Invalid):
        head.nodes.receive("gpu2", {"format": 1, "gpus": [[]]})
    assert head.gpus.state is before


def test_drain_applies_to_all_heads(head: FleetHead, sqlite: Database):
    other = FleetHead(sqlite, head.clock)
    head.receive()
    other.pass_time(1)
    assert other.state() is NodeStatus.UP
    drained = other.nodes.drain("gpu2", "fans", "ann")
    assert (drained.state, drained.drain and drained.drain.by) == (NodeStatus.DRAINING, "ann")
    head.pass_time(1)
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.DRAINING, 0)
    head.nodes.undrain("gpu2")
    assert head.gpus.get_available_gpus().total_available == 1
    other.gpus.stop_monitoring()


def test_database_outage_hides_no_node(head: FleetHead, monkeypatch: pytest.MonkeyPatch):
    def refuse(*given: object) -> int:
        raise DatabaseUnavailable

    monkeypatch.setattr(head.store, "note_report", refuse)
    assert head.receive() is NodeStatus.UP
    monkeypatch.setattr(head.store, "list", refuse)
    head.nodes._poll()
    assert head.state() is NodeStatus.UP


def test_only_silent_nodes_can_be_forgotten(head: FleetHead):
    head.receive()
    for name, error in (("gpu2", NodeIsThere), ("head", NodeIsThere), ("gpu9", NodeNotFound)):
        with pytest.raises(error):
            head.nodes.forget(name)
    head.pass_time(16)
    head.nodes.forget("gpu2")
    assert [node.name for node in head.nodes.list()] == ["head"]
    assert not head.gpus.state.is_fleet


def test_node_whose_machine_now_runs_a_head_is_dropped(head: FleetHead):
    head.receive()
    # The row changes while the node's last report is still fresh: the node stays until it is silent.
    head.store.note_head("gpu2", PLACE, "1.0.0", 1, head.clock.now())
    head.pass_time(5)
    assert head.state() is NodeStatus.UP
    head.pass_time(15)
    assert [node.name for node in head.nodes.list()] == ["head"]
    assert not head.gpus.state.is_fleet
    # It becomes a node again with its next report.
    assert head.receive() is NodeStatus.UP
    head.pass_time(5)
    assert head.state() is NodeStatus.UP


def test_returning_node_offers_a_gpu_after_its_lost_training_ended(head: FleetHead):
    head.receive()
    head.pass_time(100)
    # The lease has ended in the meantime: nothing here holds the GPU.
    head.nodes.receive("gpu2", report(reading(1, processes=(process(),), vitals=vitals(memory_used_mb=8000))))
    head.gpus.check_freshness()
    assert (head.state(), head.gpus.get_available_gpus().total_available) == (NodeStatus.UP, 0)
    head.receive()
    assert head.gpus.get_available_gpus().total_available == 1


def test_reported_xid_error_affects_its_gpu(head: FleetHead):
    head.receive()
    head.receive(xids=[{"uuid": uuid_of(1), "xid": 79}])
    (gpu,) = head.gpus.get_all_gpus()
    assert (gpu.status, gpu.is_available) == ("unknown", False)


def test_xid_errors_of_foreign_gpus_are_rejected(head: FleetHead):
    head.receive("gpu2", 1)
    with pytest.raises(Invalid) as refused:
        head.receive("gpu3", 2, place=at(PLACE, machine="m3"), xids=[{"uuid": uuid_of(1), "xid": 79}])
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/report/xids/0/uuid"]
    # The same holds if the report lists the GPU.
    head.receive("gpu3", 1, place=at(PLACE, machine="m3"), xids=[{"uuid": uuid_of(1), "xid": 79}])
    assert [(gpu.node, gpu.is_available) for gpu in head.gpus.get_all_gpus()] == [("gpu2", True), ("gpu3", False)]  # type: ignore[attr-defined]
    assert head.gpus.state.xids == {}


def test_duplicate_uuid_stays_with_the_first_machine(head: FleetHead, sqlite: Database):
    thief = {"place": at(PLACE, machine="m3")}
    head.receive("gpu3", 2, **thief)
    head.receive("gpu2", 1)
    head.receive("gpu3", 1, 2, **thief)
    head.pass_time(5)
    head.receive("gpu3", 1, 2, **thief)
    assert _available(head) == {"gpu2": 1, "gpu3": 1}
    # gpu3 was known before gpu2 and comes first in the database.
    again = FleetHead(sqlite, head.clock)
    again.receive("gpu2", 1)
    again.receive("gpu3", 1, 2, **thief)
    assert _available(again) == {"gpu2": 1, "gpu3": 1}
    again.pass_time(14)
    again.receive("gpu3", 1, 2, **thief)
    again.pass_time(2)
    again.receive("gpu2", 1)
    assert _available(again) == {"gpu2": 1, "gpu3": 1}
    again.gpus.stop_monitoring()


def _available(head: FleetHead) -> dict[str, int]:
    return {node.name: node.gpus.available for node in head.nodes.list() if node.name != "head"}


def test_unlisted_gpus_leave_nothing_behind(head: FleetHead):
    for number in range(50):
        uuid = uuid_of(number)
        head.receive("gpu2", number, xids=[{"uuid": uuid, "xid": code} for code in range(100)])
    assert len(head.gpus.state.xids) == 100
    assert len(head.gpus._keeper.xids._by_node["gpu2"]) == 1


@pytest.mark.slow
def test_number_of_different_xids_is_limited(head: FleetHead):
    indices = list(range(1, 31))
    for first in range(0, 200, 5):
        found = [{"uuid": uuid_of(index), "xid": first + number} for index in indices for number in range(5)]
        head.receive("gpu2", *indices, xids=found)
    assert len(head.gpus.state.xids) == MOST_OF_NODE


def test_node_names_are_case_insensitive(head: FleetHead):
    head.receive("gpu2")
    assert head.receive("GPU2") is NodeStatus.UP
    with pytest.raises(NodeNameTaken):
        head.receive("Gpu2", place=at(PLACE, host="another"))
    with pytest.raises(NodeNameTaken, match="headbox"):
        head.receive("HEAD")
    assert [node.name for node in head.nodes.list()] == ["head", "gpu2"]
    assert head.nodes.drain("GPU2", "fans", "ann").drain
    assert head.state("gpu2") is NodeStatus.DRAINING


def test_nodes_key_reports_for_its_node_only(head: FleetHead):
    permissions = frozenset({Permission.NODES_REPORT, Permission.GPUS_READ})
    who = Principal("gpu2", None, permissions, Credential.KEY)
    token = current_principal.set(who)
    try:
        assert head.receive("GPU2") is NodeStatus.UP
        with pytest.raises(Forbidden, match='for the node "gpu2"'):
            head.receive("gpu3")
    finally:
        current_principal.reset(token)


def test_total_number_of_gpus_is_limited(head: FleetHead, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.nodes.service.MOST_GPUS", 3)
    head.receive("gpu2", 1, 2)
    with pytest.raises(Invalid, match="Forget nodes that no longer exist"):
        head.receive("gpu3", 3, 4)
    assert head.receive("gpu3", 3) is NodeStatus.UP
    assert head.receive("gpu2", 1, 2) is NodeStatus.UP


def test_rejected_reports_are_logged_once(head: FleetHead, caplog: pytest.LogCaptureFixture):
    head.receive()
    for number in range(20):
        with pytest.raises(Invalid):
            head.receive(stuck=-1 - number)
        with pytest.raises(Invalid):
            head.receive(f"gpu{3 + number}", stuck=-1)
    assert [record.message[:9] for record in caplog.records if "was rejected" in record.message] == [
        "node gpu2",
        "node gpu3",
    ]


def test_gpus_of_a_node_without_the_shared_storage_are_not_offered(
    sqlite: Database, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SharedProbe, "start", lambda probe: None)  # the test calls `probe`
    here, there = SharedProbe(tmp_path, "head", clock), SharedProbe(tmp_path, "gpu2", clock)
    head, own = FleetHead(sqlite, clock), NodesOwnStorage(there, clock)
    shared = SharedStorage(here, clock)
    head.nodes = NodeService(head.store, head.gpus, clock, HEAD, "head", shared)
    head.gpus.withhold_where(shared.why_not)

    def exchange() -> NodeInfo:
        clock.advance(5)
        here.probe()
        there.probe()
        result = own.make_report()
        found = report(reading(1, processes=()), storage=None if result is None else asdict(result))
        call = head.nodes.receive("gpu2", found).storage
        own.take(None if call is None else asdict(call))
        head.gpus._monitor.sweep()
        return head.nodes.get("gpu2")

    shown = [exchange() for _ in range(5)]
    assert [node.storage.state for node in (shown[0], shown[-1])] == ["unchecked", "shared"]
    assert (shown[-1].gpus.available, shown[-1].warnings) == (1, ())
    (tmp_path / "probes").rename(tmp_path / "elsewhere")
    (tmp_path / "probes").touch()
    shown = [exchange()]
    assert shown[-1].storage.state == "not_shared"
    assert [warning.code for warning in shown[-1].warnings] == ["storage_not_shared"]
    assert shown[-1].gpus.available == 0
    assert "does not share STORAGE_ROOT" in head.gpus.get_all_gpus()[0].status_reason
    head.gpus.stop_monitoring()


def test_two_heads_on_two_machines_warn_of_each_others_gpus(sqlite: Database, clock: FakeClock, tmp_path: Path):
    NodeStore(sqlite).register(Node("other", "m9", is_settled=True), tmp_path / "other")
    heads = []
    for name, count in (("head", 2), ("other", 3)):
        gpus = GPUService(FakeSource(count=count), MemoryRegistrations(name), clock)
        gpus._monitor.sweep()
        heads.append((NodeService(FleetStore(sqlite), gpus, clock, at(HEAD, machine=name), name), gpus))
    for _ in range(4):
        for nodes, _gpus in heads:
            nodes.refresh()
        clock.advance(5)
    text = [[warning.params["count"] for warning in _codes(nodes)] for nodes, _ in heads]
    for _, gpus in heads:
        gpus.stop_monitoring()
    assert text == [[3], [2]]


def _codes(nodes: NodeService) -> list[ReasonCode]:
    (own,) = nodes.list()
    return [warning.message_code for warning in own.warnings if warning.code == "other_server"]


def test_rejection_is_shown_for_a_while_at_its_node_only():
    clock = FakeClock()
    refusals = Refusals(clock)
    refusals.note("box2", Invalid("The report is implausible.", mistakes=[Finding("/report/gpus", "are 600\x1b[2J")]))
    (result,) = refusals.warn("box2")
    assert result.code == result.message_code.code == "report_refused"
    assert result.message == "a report with its name was rejected: The report is implausible. /report/gpus are 600"
    assert refusals.warn("box3") == ()
    clock.advance(SHOWN_SECONDS + 1)
    assert refusals.warn("box2") == ()
    refusals.note("box2", NodeNameTaken("x" * 999))
    assert len(refusals.warn("box2")[0].message) < 400


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 64, "../x", "é"])
def test_malformed_name_is_rejected(name: str):
    with pytest.raises(Invalid, match="is not a node name"):
        check_name(name)
