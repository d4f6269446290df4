"""Resuming from a checkpoint, and restarting."""

import pickle
from typing import Any

import pytest

from api.executors.fake import outcome
from api.util.clock import FakeClock
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, MakeWorld, World

FAILED = outcome(exit_code=1)


@pytest.fixture
def stopped(world: World) -> str:
    """A stopped training with two complete checkpoints and an incomplete one."""
    task_id = world.run(config={"epochs": 3, "toy": {"steps_per_epoch": 10, "seed": 1}}, gpu_id=1)
    world.make_checkpoints(task_id, 10, 20, 30, complete=False)
    return world.end(task_id, FAILED)


def resume(world: World, task_id: str, **body: Any) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/resume/{task_id}", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{TRAINING}/{task_id}"
    task: dict[str, Any] = answer.json()["data"]
    return task


def timeless(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task without fields that change as time passes."""
    passing = {"training_time": None, "training_time_formatted": None}
    return {**task, "progress": {**task["progress"], **passing}}


def rejected(world: World, task_id: str, status: int, **body: Any) -> dict[str, Any]:
    before = world.get(task_id)
    answer = world.client.post(f"{TRAINING}/resume/{task_id}", json=body)
    assert answer.status_code == status, answer.text
    assert timeless(world.get(task_id)) == timeless(before)
    return failure_of(answer)


# -- resume --------------------------------------------------------------------------------------------------------


def test_resumed_training_continues_from_the_last_complete_checkpoint(world: World, stopped: str):
    task = resume(world, stopped)
    assert (task["task_id"], task["status"], task["failure"], task["finished_at"]) == (stopped, "queued", None, None)
    task = world.get(world.run(stopped))
    assert (task["attempt_count"], task["status"]) == (2, "running")
    assert task["attempts"][1]["resumed_from"] == "global_step20"
    submission = world.executor.submissions[-1]
    assert submission.ref.uid == f"{stopped}.2"
    assert task["run_dir"] in submission.argv


def test_resume_without_a_body_is_the_same(world: World, stopped: str):
    answer = world.client.post(f"{TRAINING}/resume/{stopped}")
    assert answer.status_code == 202


def test_checkpoint_can_be_named(world: World, stopped: str):
    resume(world, stopped, checkpoint="global_step10", reset_dataloader=True, reset_optimizer=True)
    task = world.get(world.run(stopped))
    assert task["attempts"][1]["resumed_from"] == "global_step10"
    assert (world.output(stopped) / "20260101_00-00-00" / "latest").read_text() == "global_step10"
    assert {"--reset_dataloader", "--reset_optimizer"} <= set(world.executor.submissions[-1].argv)


@pytest.mark.parametrize("checkpoint", ["global_step30", "global_step99", "latest"])
def test_incomplete_or_missing_checkpoint_is_rejected(world: World, stopped: str, checkpoint: str):
    envelope = rejected(world, stopped, 409, checkpoint=checkpoint)
    assert envelope["error"]["code"] == "no_checkpoint"
    assert envelope["data"]["checkpoints"] == ["global_step10", "global_step20"]


@pytest.mark.parametrize("checkpoint", ["", "../x", "a/b", "a b", ".", "x" * 65, 5, True])
def test_invalid_checkpoint_name_is_rejected(world: World, stopped: str, checkpoint: Any):
    rejected(world, stopped, 422, checkpoint=checkpoint)


def test_training_without_a_checkpoint_cannot_resume(world: World):
    task_id = world.finish(FAILED)
    envelope = rejected(world, task_id, 409)
    assert envelope["error"]["code"] == "no_checkpoint"
    assert envelope["data"]["checkpoints"] == []


def test_queued_or_running_training_cannot_resume(world: World):
    running = world.run()
    waiting = world.start(gpu_count=4)
    for task_id, status in ((running, "running"), (waiting, "queued")):
        envelope = rejected(world, task_id, 409)
        assert (envelope["error"]["code"], envelope["data"]["status"]) == ("task_active", status)


def test_completed_training_resumes_only_with_a_change(world: World):
    task_id = world.run()
    world.make_checkpoints(task_id, 120)
    world.end(task_id)
    envelope = rejected(world, task_id, 409)
    assert envelope["error"]["code"] == "conflict"
    assert resume(world, task_id, config={"epochs": 6})["plan"]["total_steps"] == 240


def test_plan_of_a_resume_has_the_step_that_the_trainer_repeats(world: World):
    task_id = world.run()
    run_dir = world.make_checkpoints(task_id, 120)
    state = pickle.dumps({"custom_loader": {"epoch": 4, "num_batches_pulled": 0}}, protocol=2)
    (run_dir / "global_step120" / "mp_rank_00_model_states.pt").write_bytes(state)
    world.end(task_id)
    assert resume(world, task_id, config={"epochs": 6})["plan"]["total_steps"] == 241
    assert world.client.post(f"{TRAINING}/{task_id}/stop", json={}).status_code == 200
    changed = resume(world, task_id, config={"epochs": 6}, reset_dataloader=True)
    assert changed["plan"]["total_steps"] == 240


def test_changes_are_merged_into_the_configuration(world: World, stopped: str):
    task = resume(world, stopped, config={"epochs": 6, "toy": {"seed": None, "size": 8}})
    assert task["config"] == {"epochs": 6, "toy": {"steps_per_epoch": 10, "size": 8}}
    assert task["plan"]["total_steps"] == 60
    world.run(stopped)
    written = (world.storage / "tasks" / stopped / "attempts" / "2" / "config.toml").read_text()
    assert "epochs = 6" in written
    assert "seed" not in written


def test_null_for_a_missing_key_changes_nothing(world: World, stopped: str):
    assert resume(world, stopped, config={"max_steps": None})["config"]["epochs"] == 3


def test_toml_text_replaces_the_json_form(world: World, stopped: str):
    task = resume(world, stopped, config_toml="epochs = 9\n")
    assert task["config"] == {"epochs": 9}
    assert (task["request"]["config"], task["plan"]["epochs"]) == ({}, 9)


def test_toml_text_and_json_form_together_are_rejected(world: World, stopped: str):
    rejected(world, stopped, 422, config_toml="epochs = 9\n", config={"epochs": 5})


def test_values_are_set_in_a_toml_configuration(world: World):
    text = "# my settings\nepochs = 3  # few\nmax_steps = 90\n\n[toy]\nsteps_per_epoch = 10\n"
    task_id = world.run(config=None, config_toml=text)
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    task = resume(world, task_id, config={"epochs": 6, "max_steps": None, "toy": {"seed": 4}})
    written = "# my settings\nepochs = 6  # few\n\n[toy]\nsteps_per_epoch = 10\nseed = 4\n"
    assert (task["request"]["config_toml"], task["plan"]["total_steps"]) == (written, 60)
    assert task["request"]["config"] == {}


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"toy": {"seed": None}}, "/config/toy/seed"),
        ({"absent": {"key": 1}}, "/config"),
        ({"epocs": 1}, "/config_toml/epocs"),
    ],
)
def test_value_that_cannot_be_set_in_a_text_is_rejected(world: World, config: dict[str, Any], pointer: str):
    task_id = world.run(config=None, config_toml="epochs = 3\n[toy]\nseed = 1\n")
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    envelope = rejected(world, task_id, 422, config=config)
    assert [mistake["pointer"] for mistake in envelope["error"]["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"config": {"epochs": None}}, "/config/epochs"),
        ({"config": {"epocs": 1}}, "/config/epocs"),
        ({"config": "epochs"}, "/config"),
        ({"config_toml": "epochs ="}, "/config_toml"),
        ({"env": {"LD_PRELOAD": "x"}}, "/env/LD_PRELOAD"),
        ({"gpu_id": 9}, "/gpu_id"),
        ({"gpu_id": 0, "gpu_count": 1}, ""),
        ({"model_type": "flux"}, "/model_type"),
        ({"priority": 1}, "/priority"),
    ],
    ids=str,
)
def test_invalid_change_is_rejected(world: World, stopped: str, body: dict[str, Any], pointer: str):
    envelope = rejected(world, stopped, 422, **body)
    assert pointer in [mistake["pointer"] for mistake in envelope["error"]["errors"]]


def test_resume_can_request_other_gpus(world: World, stopped: str):
    resume(world, stopped, gpu_count=2)
    assert len(world.get(world.run(stopped))["gpu_ids"]) == 2


def test_resume_keeps_the_requested_gpus(world: World, stopped: str):
    resume(world, stopped)
    assert world.get(world.run(stopped))["gpu_ids"] == [1]


def test_request_for_more_gpus_than_exist_is_rejected(world: World, stopped: str):
    assert rejected(world, stopped, 507, gpu_count=9)["error"]["code"] == "insufficient_gpus"


def test_resume_resets_the_retries(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock)
    task_id = world.run(max_retries=1)
    world.make_checkpoints(task_id, 10)
    world.end(task_id, FAILED)
    assert (world.get(task_id)["status"], world.get(task_id)["retries"]) == ("queued", 1)
    clock.advance(10)
    world.end(world.run(task_id), FAILED)
    assert (world.get(task_id)["status"], world.get(task_id)["retries"]) == ("failed", 1)
    assert resume(world, task_id)["retries"] == 0


# -- restart -------------------------------------------------------------------------------------------------------


def test_restart_creates_a_training_with_the_same_request(world: World, stopped: str):
    answer = world.client.post(f"{TRAINING}/restart/{stopped}")
    task, old = answer.json()["data"], world.get(stopped)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{TRAINING}/{task['task_id']}"
    assert task["task_id"] != stopped
    assert (task["restarted_from"], task["status"], task["checkpoints"]) == (stopped, "queued", [])
    assert task["request"] == old["request"]
    assert old["status"] == "failed"
    assert task["output_dir"] != old["output_dir"]


def test_queued_or_running_training_cannot_be_restarted(world: World):
    running = world.run()
    waiting = world.start(gpu_count=4)
    for task_id in (running, waiting):
        answer = world.client.post(f"{TRAINING}/restart/{task_id}")
        assert answer.status_code == 409
        assert failure_of(answer)["error"]["code"] == "task_not_finished"


def test_restart_that_does_not_wait_is_rejected_while_its_gpus_are_held(world: World):
    task_id = world.start(queue=False, gpu_id=0)
    world.end(world.run(task_id), FAILED)
    holder = world.run(gpu_id=0)
    answer = world.client.post(f"{TRAINING}/restart/{task_id}")
    assert answer.status_code == 409
    assert holder in failure_of(answer)["error"]["detail"]


@pytest.mark.parametrize("route", ["resume", "restart"])
@pytest.mark.parametrize("task_id", ["train_20260101_00000000", "x", "é"])
def test_unknown_training_is_not_found(world: World, route: str, task_id: str):
    answer = world.client.post(f"{TRAINING}/{route}/{task_id}")
    assert answer.status_code == 404
    assert failure_of(answer)["error"]["code"] == "task_not_found"
