"""What needs attention is said while a training runs; what it shows can be sent again."""

from tests.api.client import Client
from tests.api.conftest import TRAINING, World
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
    task_id = world.run(env={"NCCL_DEBUG": "INFO", "HF_HOME": "/hf"})
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    body = {"env": {"NCCL_DEBUG": None}, "config": {"epochs": 9}}
    assert client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 202
    assert world.get(task_id)["request"]["env"] == {"HF_HOME": "/hf"}
