"""Nodes: their last reports, and draining."""

from dataclasses import replace

import pytest

from api.db.database import Database
from api.domain.machines.node import Drain, NodeLocation, NodeRecord, NodeRole
from api.errors import NodeDrained, NodeNameTaken, NodeNotFound
from api.nodes.fleet_store import FleetStore
from tests.unit.db.builders import NODE, NOW, Stores, later, new_attempt, new_task

PLACE = NodeLocation("m1", "box1", 8081, "s1")
REPORTED = NodeRecord("gpu2", NodeRole.NODE, PLACE, "1.0.0", 0.25)
DRAIN = Drain(NOW, "fans", "ann")


@pytest.fixture
def fleet(database: Database) -> FleetStore:
    return FleetStore(database)


def test_report_is_stored_with_an_increasing_serial_number(fleet: FleetStore):
    assert fleet.note_report(REPORTED, PLACE, b"one", NOW) == (1, NOW)
    assert fleet.note_report(REPORTED, PLACE, b"two", later(5)) == (2, later(5))
    assert fleet.list() == {"gpu2": (replace(REPORTED, first_seen=NOW, last_seen=later(5)), 2)}
    assert fleet.reports(["gpu2", "gpu3"]) == {"gpu2": b"two"}


def test_two_programs_with_one_name_are_refused_until_one_is_silent_for_long(fleet: FleetStore):
    mark = fleet.note_report(REPORTED, PLACE, b"one", NOW)
    other = NodeLocation("m2", "box2", 8081, "s2")
    with pytest.raises(NodeNameTaken, match="box1"):
        fleet.note_report(REPORTED, other, b"two", later(9999))
    fleet.note_report(REPORTED, PLACE, b"one", later(1))
    with pytest.raises(NodeNameTaken, match="box1"):
        fleet.note_report(REPORTED, other, b"two", later(2), mark)
    (_, serial) = fleet.list()["gpu2"]
    assert fleet.note_report(REPORTED, other, b"two", NOW, (serial, later(1)))[0] == 3


@pytest.mark.parametrize("started", ["s1", "s2"])
def test_restarted_node_at_the_same_address_is_the_same_node(fleet: FleetStore, started: str):
    fleet.note_report(REPORTED, PLACE, b"one", NOW)
    assert fleet.note_report(REPORTED, replace(PLACE, started=started), b"two", later(1))[0] == 2


def test_node_that_reported_its_end_releases_its_name(fleet: FleetStore):
    fleet.note_report(replace(REPORTED, left_at=NOW), PLACE, b"one", NOW)
    assert fleet.note_report(REPORTED, NodeLocation("m2", "box2", 1, ""), b"two", later(1))[0] == 2


def test_name_of_a_head_is_not_available_to_nodes(fleet: FleetStore, stores: Stores):
    fleet.note_report(replace(REPORTED, name="h"), PLACE, b"", NOW)
    fleet.note_head("h", replace(PLACE, host="head"), "1.0.0", 0, NOW)
    assert fleet.list()["h"][0].role is NodeRole.ALL
    with pytest.raises(NodeNameTaken, match="a head on head"):
        fleet.note_report(replace(REPORTED, name="h"), NodeLocation("m2", "b", 1, ""), b"", later(1))


def test_nothing_is_claimed_on_a_drained_node(fleet: FleetStore, stores: Stores):
    fleet.note_report(replace(REPORTED, name=NODE), PLACE, b"", NOW)
    fleet.drain(NODE, DRAIN)
    stores.tasks.create(new_task(), NOW, "ann")
    with pytest.raises(NodeDrained):
        stores.attempts.claim(new_attempt("t1", 0), NOW)
    fleet.note_report(replace(REPORTED, name=NODE), PLACE, b"", later(5))
    assert fleet.list()[NODE][0].drain == DRAIN
    fleet.undrain(NODE)
    assert stores.attempts.claim(new_attempt("t1", 0), NOW).number == 1


def test_forgotten_node_is_deleted(fleet: FleetStore):
    fleet.note_report(REPORTED, PLACE, b"", NOW)
    fleet.forget("gpu2")
    assert fleet.list() == {}
    for operation in (fleet.forget, fleet.undrain, lambda name: fleet.drain(name, DRAIN)):
        with pytest.raises(NodeNotFound):
            operation("gpu2")
