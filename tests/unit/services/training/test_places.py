"""Places of tasks without GPUs."""

import pytest

from api.models.places import RunningTransfer, TaskPlaces
from api.models.task import TaskType
from api.services.training.places import PlaceRules, open_rooms
from tests.unit.services.training.builders import task

RULES = PlaceRules(2, 3, "https://hub.example")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (None, "hub.example:443"),
        ("https://HUB.example.:443/w.safetensors?x=http://a", "hub.example:443"),
        ("http://user@a.example/w", "a.example:80"),
        ("http://[::1]:8080/w", "::1:8080"),
        ("http://a.example:port/w", ""),
        ("http://[::1/w", ""),
    ],
)
def test_host_is_known_by_name_and_port(address, host):
    assert RULES.host_of(address) == host


@pytest.mark.parametrize("kind", list(TaskType))
def test_every_task_without_gpus_runs_in_one_room(kind):
    rooms = open_rooms(TaskPlaces(), {}, RULES)
    assert len([room for room in rooms if room.takes(task("a", 0, kind=kind))]) == 1


def test_with_one_place_any_host_gets_it():
    [_, room] = open_rooms(TaskPlaces(), {}, PlaceRules(transfers=1))
    asks = task("a", 0, kind=TaskType.PUSH)
    assert room.why_full(asks) is None
    room.take(asks)
    assert room.why_full(asks).said.code == "transfers_parallel"


def test_transfers_that_run_already_count_with_their_hosts():
    running = (RunningTransfer("ann"), RunningTransfer("bob", "https://hub.example/w"))
    [_, room] = open_rooms(TaskPlaces(transfers=running), {"b": "https://a.example"}, RULES)
    assert room.by_owner == {"ann": 1, "bob": 1}
    assert room.why_full(task("a", 0, kind=TaskType.DOWNLOAD)).said.code == "transfers_of_host"
    assert room.why_full(task("b", 0, kind=TaskType.DOWNLOAD)) is None
