"""How new a report is: by no clock of another machine, whatever is sent again, and after a restart of the head."""

from datetime import timedelta

import pytest

from api.db.database import Database
from api.domain.node import NodeStatus
from api.errors import NodeNameTaken, ReportReplayed
from api.util.clock import FakeClock
from tests.unit.builders import reading, uuid_of
from tests.unit.nodes.builders import PLACE, at, report
from tests.unit.nodes.heads import FleetHead


def test_report_that_is_sent_again_does_not_keep_a_dead_node_up(head: FleetHead, database: Database):
    told = report(reading(1, processes=()))
    head.nodes.receive("gpu2", told)
    for _ in range(4):
        head.pass_time(5)
        with pytest.raises(ReportReplayed):
            head.nodes.receive("gpu2", told)
    assert head.state() is NodeStatus.UNKNOWN
    again = FleetHead(database, head.clock)
    with pytest.raises(ReportReplayed):
        again.nodes.receive("gpu2", told)
    assert again.state() is NodeStatus.UNKNOWN
    again.gpus.stop_monitoring()


@pytest.mark.parametrize("ahead", [-3600.0, 20.0, 3600.0])
def test_a_head_whose_clock_is_off_knows_a_node_that_another_head_hears(
    database: Database, clock: FakeClock, ahead: float
):
    head = FleetHead(database, clock)
    off = FakeClock(clock.now() + timedelta(seconds=ahead))
    other = FleetHead(database, off)
    for _ in range(10):
        head.hear()
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
def test_a_head_that_restarts_offers_no_gpu_of_a_node_before_it_is_heard(
    head: FleetHead, database: Database, jump: float
):
    head.hear()
    again = FleetHead(database, FakeClock(head.clock.now() + timedelta(seconds=jump)))
    assert (again.state(), again.gpus.get_available_gpus().total_available) == (NodeStatus.UNKNOWN, 0)
    assert again.nodes.get("gpu2").reason == "it has not been heard since this server started"
    again.pass_time(2)
    assert again.state() is NodeStatus.UNKNOWN
    assert again.hear() is NodeStatus.UP
    assert again.gpus.get_available_gpus().total_available == 1
    again.gpus.stop_monitoring()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_node_that_comes_back_elsewhere_is_taken_after_silence_by_no_wall_clock(head: FleetHead, jump: float):
    head.hear()
    head.clock.jump(jump)
    head.pass_time(14)
    with pytest.raises(NodeNameTaken):
        head.hear(place=at(PLACE, host="box2", machine="m2"))
    head.pass_time(2)
    assert head.hear(place=at(PLACE, host="box2", machine="m2")) is NodeStatus.UP


def test_a_database_that_was_away_makes_no_dead_node_alive(head: FleetHead, database: Database):
    other = FleetHead(database, head.clock)
    head.hear()
    other.pass_time(2)
    assert other.state() is NodeStatus.UP
    # What is stored now is read a minute later.
    head.clock.advance(5)
    head.hear()
    head.clock.advance(60)
    other.pass_time(0)
    assert other.state() is NodeStatus.UNKNOWN
    other.gpus.stop_monitoring()


def test_a_head_that_begins_anew_knows_what_was_told_and_not_how_old_it_is(head: FleetHead, database: Database):
    head.hear("gpu2", 1)
    head.clock.advance(40)
    again = FleetHead(database, head.clock)
    node = again.nodes.get("gpu2")
    assert (node.state, node.silent_seconds, node.gpu_uuids) == (NodeStatus.UNKNOWN, None, (uuid_of(1),))
    again.gpus.stop_monitoring()


def test_another_head_does_not_take_back_what_this_one_was_told_later(head: FleetHead, database: Database):
    other = FleetHead(database, head.clock)
    other.hear("gpu2", 1, sequence=6)
    head.hear("gpu2", 1, 2, sequence=7)
    head.clock.advance(5)
    # It comes late, to the one that has not heard of the newer one.
    other.hear("gpu2", 1, sequence=6)
    head.nodes.look()
    head.gpus.check_freshness()
    assert head.gpus.get_available_gpus().total_available == 2
    other.gpus.stop_monitoring()
