"""Places of tasks without GPUs."""

import pytest

from api.domain.places import RunningTransfer, TaskPlaces
from api.domain.task import TaskType
from api.domain.training import TaskSummary
from api.training.places import PlaceRules, open_rooms
from tests.unit.training.builders import task

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


def download(task_id: str) -> TaskSummary:
    return task(task_id, 0, kind=TaskType.DOWNLOAD)


def test_hosts_that_hang_hold_no_other_until_there_are_as_many_again():
    addresses = {str(number): f"https://{number}.example/w" for number in range(9)}
    [_, room] = open_rooms(TaskPlaces(), addresses, RULES)
    for number in range(6):
        asks = download(str(number))
        assert room.why_full(asks) is None
        room.take(asks)
    assert room.why_full(download("6")).said.params == {"running": 6, "limit": 3}


def test_transfers_that_run_already_count_with_their_hosts():
    running = (RunningTransfer("ann"), RunningTransfer("bob", "https://hub.example/w"), RunningTransfer("ann"))
    [_, room] = open_rooms(TaskPlaces(transfers=running), {"b": "https://a.example"}, RULES)
    assert room.by_owner == {"ann": 2, "bob": 1}
    assert room.why_full(download("a")).said.code == "transfers_parallel"
    assert room.why_full(download("b")) is None
