"""Warnings of running trainings, and requests that can be sent again."""

import json
from typing import Any

import pytest

from api.util.clock import FakeClock
from tests.api.client import Client
from tests.api.conftest import TRAINING, MakeWorld, World

NAN = "".join(f"steps: {step} loss: nan iter time (s): 1.0 samples/sec: 64.0\n" for step in range(1, 11))


def test_nan_losses_set_a_warning_until_losses_are_numbers_again(world: World):
    task_id = world.run()
    world.prints(task_id, NAN)
    world.train()
    assert "NaN" in world.get(task_id)["warning"]
    world.train()
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    assert sum(event["type"] == "warning" for event in events) == 1
    world.prints(task_id, "steps: 11 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.train()
    assert world.get(task_id)["warning"] is None


def test_displayed_request_can_be_sent_again(world: World, client: Client):
    shown = world.get(world.start(gpu_ids=[0, 1], name="n"))["request"]
    made = client.post(f"{TRAINING}/start", json=shown)
    assert made.status_code == 201, made.text
    assert made.json()["data"]["request"] == shown


def test_resume_removes_an_environment_variable(world: World, client: Client):
    task_id = world.run(env={"NCCL_DEBUG": "INFO", "HF_HUB_OFFLINE": "1"})
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    body = {"env": {"NCCL_DEBUG": None}, "config": {"epochs": 9}}
    assert client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 202
    assert world.get(task_id)["request"]["env"] == {"HF_HUB_OFFLINE": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("offset", "x"), ("offset", -1.5), ("positions", [1]), ("last_lines", [1, None]), ("peak_memory_mb", "x")],
)
def test_damaged_note_does_not_affect_a_training(make_world: MakeWorld, name: str, value: object):
    world = make_world()
    task_id = world.run()
    world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.train()
    watch = world.runtime.training_loop._reconciler._watches.get(world.uid(task_id))
    assert watch is not None
    watch.save()
    world.runtime.training_loop.stop()
    note = watch.ref.directory / "watch.json"
    note.write_text(json.dumps({**json.loads(note.read_bytes()), name: value}))
    later = make_world(executor=world.executor)
    later.prints(task_id, "steps: 2 loss: 0.25 iter time (s): 1.0 samples/sec: 64.0\nTRAINING COMPLETE!\n")
    later.train()
    later.train()
    assert later.get(task_id)["progress"]["current_step"] == 2
    later.end(task_id)
    assert later.get(task_id)["status"] == "completed"


STEPS = "".join(f"steps: {step} loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n" for step in range(1, 11))


def test_stalled_training_shows_no_speed_and_no_remaining_time(make_world: MakeWorld):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    step = "steps: {} loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"
    world.prints(task_id, "".join(step.format(n) for n in (1, 2, 3)))
    world.train()

    def pace() -> tuple[Any, ...]:
        world.note_progress()
        (row,) = world.client.data(f"{TRAINING}/list")["tasks"]
        far = world.client.data(f"{TRAINING}/{task_id}/progress")
        seen = [(one["speed"]["steps_per_second"], one["progress"]["eta_seconds"]) for one in (far, row)]
        assert seen[0] == seen[1]
        return seen[0]

    before = pace()
    assert None not in before
    clock.advance(19)
    assert pace() == before
    clock.advance(2)
    assert pace() == (None, None)
    world.prints(task_id, step.format(4))
    assert None not in pace()
