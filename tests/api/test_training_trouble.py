"""What needs attention is said while a training runs; what it shows can be sent again."""

import json
from typing import Any

import pytest

from api.services.attempts.watch import AttemptWatch
from api.services.gpus.judgement import DRAINING_SECONDS
from api.utils.clock import FakeClock
from tests.api.client import Client
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.test_training_stop import stop

NAN = "".join(f"steps: {step} loss: nan iter time (s): 1.0 samples/sec: 64.0\n" for step in range(1, 11))


def test_losses_that_are_no_numbers_are_told_and_forgotten_when_they_are_again(world: World):
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


def test_stop_of_a_stopped_training_is_the_same_answer(world: World):
    task_id = world.start(gpu_count=4, priority=0)
    first = stop(world, task_id)
    again = stop(world, task_id)
    assert first["status"] == again["status"] == "stopped"


def test_request_that_is_shown_can_be_sent_again(world: World, client: Client):
    shown = world.get(world.start(gpu_ids=[0, 1], name="n"))["request"]
    made = client.post(f"{TRAINING}/start", json=shown)
    assert made.status_code == 201, made.text
    assert made.json()["data"]["request"] == shown


def test_resume_takes_an_environment_variable_away(world: World, client: Client):
    task_id = world.run(env={"NCCL_DEBUG": "INFO", "HF_HUB_OFFLINE": "1"})
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    body = {"env": {"NCCL_DEBUG": None}, "config": {"epochs": 9}}
    assert client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 202
    assert world.get(task_id)["request"]["env"] == {"HF_HUB_OFFLINE": "1"}


def test_gpu_is_not_given_away_while_a_process_of_its_last_holder_is_left(make_world: MakeWorld):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run(gpu_ids=[0])
    uid = world.uid(task_id)
    world.executor.leaves_behind(uid, 4711)
    world.end(task_id)
    for _ in range(2):
        clock.advance(DRAINING_SECONDS + 1)
        world.free_gpus()
    waiting = world.start(gpu_ids=[0])
    world.train()
    assert world.get(waiting)["status"] == "queued"
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    warnings = [event["message"] for event in events if event["type"] == "warning"]
    assert len(warnings) == 1
    assert "process 4711 is still there" in warnings[0]
    world.executor.leaves_behind(uid)
    world.free_gpus()
    world.train()
    assert world.get(waiting)["status"] == "starting"


@pytest.mark.parametrize(
    ("name", "value"),
    [("offset", "x"), ("offset", -1.5), ("positions", [1]), ("last_lines", [1, None]), ("peak_memory_mb", "x")],
)
def test_damaged_note_of_a_training_keeps_it_from_nothing(make_world: MakeWorld, name: str, value: object):
    world = make_world()
    task_id = world.run()
    world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.train()
    watch = world.runtime.training_loop._reconciler.get_watch(world.uid(task_id))
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


def test_training_that_makes_no_step_is_told_and_stopped_where_that_is_wanted(make_world: MakeWorld):
    clock = FakeClock()
    world = make_world(clock=clock)
    told, stopped = world.run(), world.run(stop_on_hang=True)
    for task_id in (told, stopped):
        world.prints(task_id, STEPS)
    world.train()
    clock.advance(299)
    world.train()
    assert [world.get(task_id)["warning"] for task_id in (told, stopped)] == [None, None]
    clock.advance(2)
    world.train()
    assert "no step for 301 s" in world.get(told)["warning"]
    assert world.get(told)["status"] == "running"
    assert world.get(stopped)["status"] == "stopping"


def test_training_that_makes_no_step_shows_no_speed_and_no_time_left(make_world: MakeWorld):
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


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_clock_that_is_set_makes_no_hang_and_hides_none(make_world: MakeWorld, seconds: float):
    clock = FakeClock()
    world = make_world(clock=clock)
    trains, loads = world.run(), world.run()
    world.prints(trains, STEPS)
    world.train()
    clock.jump(seconds)
    world.train()
    assert [world.get(task_id)["warning"] for task_id in (trains, loads)] == [None, None]
    clock.advance(301)
    world.train()
    assert "no step for 301 s" in world.get(trains)["warning"]
    clock.advance(1500)
    world.train()
    assert "has said nothing for 1801 s" in world.get(loads)["warning"]


def test_an_attempt_in_trouble_keeps_no_other_from_being_watched_and_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    bad, good = world.run(gpu_ids=[0]), world.run(gpu_ids=[1])
    whole = AttemptWatch.poll

    def trip(watch: AttemptWatch) -> None:
        if watch.attempt.task_id == bad:
            raise OverflowError("too large")
        whole(watch)

    monkeypatch.setattr(AttemptWatch, "poll", trip)
    for _ in range(4):
        world.train()
    assert sum("cannot be reconciled" in record.message for record in caplog.records) == 1
    assert world.end(good) == good
    assert world.get(good)["status"] == "completed"
    assert stop(world, bad)["status"] == "stopping"
    world.train()
    assert [ref.uid for ref, _ in world.executor.orders] == [world.uid(bad)]


def test_an_attempt_whose_end_cannot_be_read_ends(world: World, monkeypatch: pytest.MonkeyPatch):
    task_id = world.run(gpu_ids=[0])

    def trip(_: AttemptWatch) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(AttemptWatch, "finish", trip)
    world.end(task_id)
    for _ in range(3):
        world.train()
    assert world.get(task_id)["status"] in ("completed", "failed")
