"""The age of reports, without other machines' clocks, after replays and restarts of the head."""

from datetime import timedelta

import pytest

from api.db.database import Database
from api.domain.machines.node import NodeStatus
from api.errors import NodeNameTaken, ReportReplayed
from api.util.clock import FakeClock
from tests.unit.builders import reading, uuid_of
from tests.unit.nodes.builders import PLACE, at, report
from tests.unit.nodes.heads import FleetHead


def test_replayed_report_does_not_keep_a_dead_node_up(head: FleetHead, sqlite: Database):
    result = report(reading(1, processes=()))
    head.nodes.receive("gpu2", result)
    for _ in range(4):
        head.pass_time(5)
        with pytest.raises(ReportReplayed):
            head.nodes.receive("gpu2", result)
    assert head.state() is NodeStatus.UNKNOWN
    again = FleetHead(sqlite, head.clock)
    with pytest.raises(ReportReplayed):
        again.nodes.receive("gpu2", result)
    assert again.state() is NodeStatus.UNKNOWN
    again.gpus.stop_monitoring()


@pytest.mark.parametrize("ahead", [-3600.0, 20.0, 3600.0])
def test_head_with_a_wrong_clock_knows_nodes_of_another_head(sqlite: Database, clock: FakeClock, ahead: float):
    head = FleetHead(sqlite, clock)
    off = FakeClock(clock.now() + timedelta(seconds=ahead))
    other = FleetHead(sqlite, off)
    for _ in range(10):
        head.receive()
        head.pass_time(2)
        other.pass_time(2)
    assert (head.state(), other.state()) == (NodeStatus.UP, NodeStatus.UP)
    for _ in range(10):
        head.pass_time(2)
        other.pass_time(2)
    assert (head.state(), other.state()) == (NodeStatus.UNKNOWN, NodeStatus.UNKNOWN)
    head.gpus.stop_monitoring()
    other.gpus.stop_monitoring()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_restarted_head_offers_no_gpu_of_a_node_before_its_report(head: FleetHead, sqlite: Database, jump: float):
    head.receive()
    again = FleetHead(sqlite, FakeClock(head.clock.now() + timedelta(seconds=jump)))
    assert (again.state(), again.gpus.get_available_gpus().total_available) == (NodeStatus.UNKNOWN, 0)
    assert again.nodes.get("gpu2").reason == "it has not reported since this server started"
    again.pass_time(2)
    assert again.state() is NodeStatus.UNKNOWN
    assert again.receive() is NodeStatus.UP
    assert again.gpus.get_available_gpus().total_available == 1
    again.gpus.stop_monitoring()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_moved_node_is_accepted_after_silence_by_monotonic_time(head: FleetHead, jump: float):
    head.receive()
    head.clock.jump(jump)
    head.pass_time(14)
    with pytest.raises(NodeNameTaken):
        head.receive(place=at(PLACE, host="box2", machine="m2"))
    head.pass_time(2)
    assert head.receive(place=at(PLACE, host="box2", machine="m2")) is NodeStatus.UP


def test_database_outage_makes_no_dead_node_alive(head: FleetHead, sqlite: Database):
    other = FleetHead(sqlite, head.clock)
    head.receive()
    other.pass_time(2)
    assert other.state() is NodeStatus.UP
    # The head reads the stored report a minute later.
    head.clock.advance(5)
    head.receive()
    head.clock.advance(60)
    other.pass_time(0)
    assert other.state() is NodeStatus.UNKNOWN
    other.gpus.stop_monitoring()


def test_restarted_head_knows_reports_but_not_their_age(head: FleetHead, sqlite: Database):
    head.receive("gpu2", 1)
    head.clock.advance(40)
    again = FleetHead(sqlite, head.clock)
    node = again.nodes.get("gpu2")
    assert (node.state, node.silent_seconds, node.gpu_uuids) == (NodeStatus.UNKNOWN, None, (uuid_of(1),))
    again.gpus.stop_monitoring()


def test_older_report_of_another_head_is_ignored(head: FleetHead, sqlite: Database):
    other = FleetHead(sqlite, head.clock)
    other.receive("gpu2", 1, sequence=6)
    head.receive("gpu2", 1, 2, sequence=7)
    head.clock.advance(5)
    # The older report comes late, to the head without the newer one.
    other.receive("gpu2", 1, sequence=6)
    head.nodes.refresh()
    head.gpus.check_freshness()
    assert head.gpus.get_available_gpus().total_available == 2
    other.gpus.stop_monitoring()
