"""Slots for tasks without GPUs."""

import pytest

from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.training.queue.slots import RunningTasks, RunningTransfer, SlotLimits, open_slots
from tests.unit.training.builders import task

RULES = SlotLimits(2, 3, "https://hub.example")


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
def test_host_is_identified_by_name_and_port(address, host):
    assert RULES.host_of(address) == host


@pytest.mark.parametrize("kind", list(TaskType))
def test_every_task_without_gpus_uses_one_kind_of_slot(kind):
    rooms = open_slots(RunningTasks(), {}, RULES)
    assert len([room for room in rooms if room.takes(task("a", 0, kind=kind))]) == 1


def download(task_id: str) -> TaskSummary:
    return task(task_id, 0, kind=TaskType.DOWNLOAD)


def test_hanging_hosts_block_no_other_host_up_to_twice_the_limit():
    addresses = {str(number): f"https://{number}.example/w" for number in range(9)}
    [_, room, _] = open_slots(RunningTasks(), addresses, RULES)
    for number in range(6):
        headers = download(str(number))
        assert room.why_full(headers) is None
        room.take(headers)
    assert room.why_full(download("6")).said.params == {"running": 6, "limit": 3}


def test_running_transfers_count_with_their_hosts():
    running = (RunningTransfer("ann"), RunningTransfer("bob", "https://hub.example/w"), RunningTransfer("ann"))
    [_, room, _] = open_slots(RunningTasks(transfers=running), {"b": "https://a.example"}, RULES)
    assert room.by_owner == {"ann": 2, "bob": 1}
    assert room.why_full(download("a")).said.code == "transfers_parallel"
    assert room.why_full(download("b")) is None


def test_samples_wait_while_the_gpu_of_comfyui_is_used():
    [_, _, room] = open_slots(RunningTasks(), {}, RULES, Reason.of("used", "comfyui_gpu_used"))
    assert room.why_full(task("a", 0, kind=TaskType.SAMPLE)).said.code == "comfyui_gpu_used"
