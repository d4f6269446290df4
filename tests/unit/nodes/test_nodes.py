"""Unique names of machines."""

from pathlib import Path

import pytest

from api.db.database import Database
from api.db.database_url import DatabaseError
from api.nodes import store as nodes
from api.nodes.store import Node, NodeStore, name_node
from tests.unit.db.builders import NODE, ROOT, Stores


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(nodes, "read_machine", lambda: "m1")
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    return tmp_path / "node"


def test_new_storage_has_the_name_of_the_host(path: Path):
    assert name_node(path, "") == Node("host", "m1", is_settled=False)


def test_configured_name_replaces_the_stored_one(path: Path):
    path.write_text("before\nm1\n")
    assert name_node(path, "given") == Node("given", "m1", is_settled=True, former="before")


@pytest.mark.parametrize("kept", ["before\nm1\n", "before"], ids=["this version", "an older one"])
def test_machine_keeps_its_name_when_the_hostname_changes(path: Path, kept: str):
    path.write_text(kept)
    assert name_node(path, "") == Node("before", "m1", is_settled=True)


def test_storage_from_another_machine_brings_no_name(path: Path):
    path.write_text("before\nm2\n")
    assert name_node(path, "") == Node("host", "m1", is_settled=False)


def test_two_storages_of_one_machine_have_one_name(path: Path):
    assert name_node(path, "").name == name_node(path.with_name("other"), "").name


def test_name_of_another_machine_is_refused(database: Database):
    store = NodeStore(database)
    store.register(Node("gpu-1", "m1", is_settled=False), ROOT)
    store.register(Node("gpu-1", "m1", is_settled=False), Path("/other"))
    with pytest.raises(DatabaseError, match=r"another machine .* has the name 'gpu-1': set another NODE_NAME"):
        store.register(Node("gpu-1", "m2", is_settled=False), ROOT)


def test_machine_that_replaces_another_is_configured_with_its_name(database: Database):
    store = NodeStore(database)
    store.register(Node("gpu-1", "m1", is_settled=False), ROOT)
    store.register(Node("gpu-1", "m2", is_settled=True), ROOT)
    store.register(Node("gpu-1", "m2", is_settled=False), ROOT)


def test_attempts_of_a_storage_move_to_the_new_name(database: Database, stores: Stores):
    mine = stores.running("t1", 0)
    other = stores.running("t2", 1, directory_of="/data2/t2/attempts")
    NodeStore(database).register(Node("new", "m1", is_settled=True, former=NODE), ROOT)
    assert [attempt.uid for attempt in stores.attempts.open("new", ROOT)] == [mine.uid]
    assert stores.attempts.get(other.uid).node == NODE
