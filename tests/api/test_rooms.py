"""Rooms of the application below the shell: each answers alone what the whole would."""

import re

import pytest

from api.app import create_app, create_rooms
from api.composition.rooms import ROOMS, room_at
from api.errors import GPUNotFound
from api.web.allowed_methods import AllowedMethods
from api.web.operations import OperationTable
from tests.api.client import Client, failure_of
from tests.api.conftest import World

VALUES = ("x", "list", "stop", "0", "a.b", "é\r\n", "stream", "logs", "a/b", "a/b/", "/a", "")


@pytest.fixture(scope="module")
def sample_paths() -> list[str]:
    """Addresses of every pattern, filled with what could be taken for another one."""
    patterns = {each.pattern for each in OperationTable().all if each.method != "WEBSOCKET"}
    filled = {re.sub(r"<[^>]+>", value, pattern) for pattern in patterns for value in VALUES}
    return sorted({*filled, *(f"{path}/" for path in filled), *(path.rpartition("/")[0] for path in filled)})


def test_every_address_is_in_the_room_that_has_its_route(world: World):
    build = create_rooms(world.runtime.services)
    rules = {name: {rule.rule for rule in build(name).url_map.iter_rules()} for name in (room.name for room in ROOMS)}
    lost = [rule.rule for rule in create_app(world.runtime.services).url_map.iter_rules()]
    assert [rule for rule in lost if rule not in rules[room_at(rule)]] == []


def test_no_two_rooms_answer_at_one_address():
    firsts = [first for room in ROOMS for first in room.firsts]
    assert len(firsts) == len(set(firsts))


def test_table_of_operations_takes_what_flask_takes(world: World, sample_paths: list[str]):
    adapter = create_app(world.runtime.services).url_map.bind("localhost")
    streams = {(each.method, each.pattern) for each in _streams(world)}
    table = AllowedMethods(each for each in OperationTable().all if (each.method, each.pattern) not in streams)
    fixed = {each.pattern for each in OperationTable().all if "<" not in each.pattern}
    checked = 0
    for path in sample_paths:
        if path.startswith("//") or path in fixed:
            continue
        methods = table.methods(path)
        assert methods == tuple(sorted(adapter.allowed_methods(path))), path
        for method in methods:
            rule, arguments = adapter.match(path, method, return_rule=True)
            assert table.find(path, method) == (rule.rule, arguments), (method, path)
            checked += 1
    assert checked > 300


def _streams(world: World):
    patterns = set(world.runtime.live.routes.patterns)
    return [each for each in OperationTable().all if each.pattern in patterns]


def test_room_that_cannot_be_loaded_is_a_failure_and_the_others_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail():
        raise ImportError("libav is not there")

    broken = [room._replace(load=fail) if room.name == "models" else room for room in ROOMS]
    monkeypatch.setattr("api.app.ROOMS", broken)
    failed = client.get("/api/v1/models/list")
    assert (failed.status_code, failure_of(failed)["error"]["code"]) == (500, "internal_error")
    assert "libav is not there" in caplog.text
    assert client.get("/api/v1/gpu/99").json()["error"]["code"] == GPUNotFound.code
