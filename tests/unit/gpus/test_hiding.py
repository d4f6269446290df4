"""Data removed from states and events for readers with a limited scope."""

from dataclasses import replace

import pytest

from api.domain.access.read_scope import WHOLE, ReadScope
from api.domain.machines.gpu import GPUStatus
from api.domain.machines.gpu_event import EventType, GPUEvent, Severity
from api.domain.reason import Reason, message_of
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.events import describe_xid
from api.gpus.health.judgement import JudgedGPU
from api.gpus.hiding import hide_in_event, hide_in_message, hide_in_state
from api.gpus.state import GPUState
from tests.unit.builders import NOW, judged, process, reading, snapshot, task

ANN = ReadScope("ann", sees_all=False)
UNTITLED = ReadScope(sees_commands=False)  #: sees all tasks, and no command lines


def hers(**changes: object) -> RegisteredTask:
    return replace(task("train_1", pid=4711), owner="ann", **{"is_started_here": True, **changes})


def seen(gpu: JudgedGPU, scope: ReadScope) -> JudgedGPU:
    state = GPUState("here", snapshot(gpu.reading), (gpu,), {}, 0)
    return hide_in_state(state, scope).gpus[0]


def held(by: RegisteredTask) -> JudgedGPU:
    return judged(reading(processes=(process(4711), process(99))), task=by)


def test_reader_with_full_scope_gets_the_state_itself():
    state = GPUState("here", snapshot(), (), {}, 0)
    assert hide_in_state(state, WHOLE) is state


def test_own_task_is_complete_except_for_foreign_processes():
    gpu = seen(held(hers()), ANN)
    assert gpu.task is not None
    assert (gpu.judgement.reason, gpu.hides_task) == ("held by train_1", False)
    own, strange = gpu.reading.processes or ()
    assert (own.command, strange.command) == ("python train.py", None)
    assert strange.unavailable["command"] == "of_another_user"


@pytest.mark.parametrize("changes", [{"is_started_here": False}, {"process": None}])
def test_registering_a_pid_does_not_reveal_its_command_line(changes: dict):
    gpu = seen(held(hers(**changes)), ANN)
    assert gpu.task is not None
    assert [each.command for each in gpu.reading.processes or ()] == [None, None]


@pytest.mark.parametrize(
    ("changes", "text", "status"),
    [
        ({}, "held by another user", GPUStatus.TRAINING),
        (
            {"has_ended": True},
            "another user's task has ended; the GPU is available when its memory is free",
            GPUStatus.DRAINING,
        ),
        ({"quarantine": "train_1.1 lives"}, "reserved for an attempt that belongs to no task", GPUStatus.BUSY),
    ],
)
def test_another_users_task_is_a_status_without_a_name(changes: dict, text: str, status: GPUStatus):
    gpu = seen(held(replace(hers(), owner="bob", **changes)), ANN)
    assert (gpu.task, gpu.hides_task, gpu.judgement.status, gpu.judgement.reason) == (None, True, status, text)
    assert [each.command for each in gpu.reading.processes or ()] == [None, None]
    assert "train_1" not in str(gpu.judgement)


def test_process_without_a_started_task_hides_its_command_line():
    for scope, reason in ((ANN, "of_another_user"), (UNTITLED, "needs_processes_read")):
        gpu = seen(judged(reading(processes=(process(),))), scope)
        assert gpu.judgement.reason == "pid 4711 (ada) holds 8,000 MB"
        assert "train.py" not in str(gpu.judgement)
        assert (gpu.reading.processes or ())[0].unavailable["command"] == reason


def test_unknown_memory_keeps_its_own_text():
    message = judged(reading(processes=(process(memory_mb=None),), vitals=replace_memory(8000))).judgement.message
    assert message is not None
    shown = hide_in_message(message, UNTITLED, None)
    assert isinstance(shown, Reason)
    assert shown.text == "pid 4711 (ada) holds an unknown amount of memory"
    assert shown.said.params["memory"]["code"] == "unknown_memory"


def replace_memory(used: int):
    vitals = reading().vitals
    assert vitals is not None
    return replace(vitals, memory_used_mb=used)


def event(type_: EventType, message: Reason, xid: int | None = None) -> GPUEvent:
    return GPUEvent(1, NOW, type_, Severity.INFO, 0, "GPU-0", message.text, xid=xid, message_code=message.said)


def test_event_about_a_hidden_task_is_left_out():
    released = event(EventType.TASK, Reason.of("{task_id} was released: {why}", "released", task_id="t", why="so"))
    assert hide_in_event(released, "bob", ANN) is None
    assert hide_in_event(released, None, ANN) is None
    assert hide_in_event(released, "ann", ANN) is released


def test_event_of_a_gpu_hides_another_users_task():
    status = event(EventType.STATUS, Reason.of("held by {task_id}", "held_by", task_id="train_1"))
    xid = event(EventType.XID, describe_xid(79, "train_1"), xid=79)
    for each in (status, xid):
        assert hide_in_event(each, "bob", WHOLE) is each
        assert hide_in_event(each, "ann", ANN) == each
        hidden = hide_in_event(each, "bob", ANN)
        assert hidden is not None
        assert "train_1" not in str(hidden)
        assert message_of(hidden.message, hidden.message_code) is not None
