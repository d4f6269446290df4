"""Validating and starting a training."""

import re
from typing import Any

import pytest

from api.gpus.sources.source import FakeSource
from tests.api.client import Client, failure_of
from tests.api.conftest import TOY, TRAINING, World

VALIDATE, START = f"{TRAINING}/validate", f"{TRAINING}/start"

#: The fields of the contract, and additional ones.
FIELDS = {
    "task_id", "kind", "name", "description", "model_type", "trainer", "status", "priority", "gpu_count", "gpu_ids",
    "gpu_uuids", "waiting_reason", "waiting_reason_code", "warning", "warning_code", "failure", "stop", "created_at",
    "started_at", "finished_at",
    "updated_at", "attempt_count", "retries", "restarted_from", "progress", "metrics", "speed", "request", "config",
    "plan", "system_stats", "checkpoints", "attempts", "warnings", "output_dir", "run_dir", "export", "rehearsal",
    "gpu_id", "gpu_name",
    "queue_position", "estimated_start", "estimated_duration", "logs_path", "log_lost_bytes",
    "owner", "tags", "notes", "trigger_word", "chosen", "sampling", "sweep_id", "sweep_values",
    "samples", "priority_class", "not_before", "stop_seconds", "energy",
}  # fmt: skip

#: One request with a mistake of every kind in its form, its GPUs, its environment and its configuration.
WRONG: dict[str, Any] = {
    "model_type": "toy",
    "gpu_ids": [0, 99, "GPU-nobody"],
    "name": "a\u0007b",
    "priorty": 3,
    "max_retries": -1,
    "env": {"LD_PRELOAD": "/tmp/evil.so"},
    "config": {"epochs": 0, "epocs": 3, "toy": {"step_second": 1}},
    "dataset": {"directories": [{"path": "relative"}]},
}
POINTERS = {
    "/gpu_ids/1", "/gpu_ids/2", "/name", "/priorty", "/max_retries", "/env/LD_PRELOAD", "/config/epochs",
    "/config/epocs", "/config/toy/step_second", "/dataset/directories/0/path",
}  # fmt: skip


def validate(client: Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(VALIDATE, json={**TOY, **fields})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def rejected(client: Client, status: int, **fields: Any) -> dict[str, Any]:
    """Return the error of a request that must not start anything."""
    before = client.data(f"{TRAINING}/list")["pagination"]["total"]
    answer = client.post(START, json={**TOY, **fields})
    assert answer.status_code == status, answer.text
    assert client.data(f"{TRAINING}/list")["pagination"]["total"] == before
    return failure_of(answer)


def errors_of(envelope: dict[str, Any]) -> dict[str, str]:
    return {mistake["pointer"]: mistake["message"] for mistake in envelope["error"]["errors"]}


# -- validate ------------------------------------------------------------------------------------------------------


def test_valid_request_shows_its_plan(client: Client):
    found = validate(client, gpu_count=2, config={"epochs": 3, "toy": {"steps_per_epoch": 7}})
    assert (found["valid"], found["errors"]) == (True, [])
    plan = found["plan"]
    assert (plan["epochs"], plan["steps_per_epoch"], plan["total_steps"], plan["gpu_count"]) == (3, 7, 21, 2)
    assert "steps_per_epoch = 7" in plan["files"]["config.toml"]
    assert found["gpus"]["gpu_ids"] == [0, 1]
    assert found["gpus"]["waiting_reason"] is None


def test_validation_starts_and_writes_nothing(world: World):
    files = set(world.storage.rglob("*"))
    validate(world.client, env={"HF_TOKEN": "hf_secret"})
    world.train()
    assert world.client.data(f"{TRAINING}/list")["tasks"] == []
    assert world.executor.submissions == []
    assert {path for path in set(world.storage.rglob("*")) - files if "sqlite" not in path.name} <= {
        world.storage / "trainings.lock"
    }


def test_every_error_is_found_at_once(client: Client):
    found = validate(client, **WRONG)
    assert not found["valid"]
    assert {error["pointer"] for error in found["errors"]} == POINTERS
    assert (found["plan"], found["gpus"]) == (None, None)


@pytest.mark.parametrize(
    ("field", "suggestion"),
    [("priorty", "priority"), ("gpu_ID", "gpu_id"), ("configs", "config"), ("model-type", "model_type")],
)
def test_unknown_field_gets_a_suggestion(shared_client: Client, field: str, suggestion: str):
    (error,) = validate(shared_client, **{field: 1})["errors"]
    assert error["pointer"] == f"/{field}"
    assert f'did you mean "{suggestion}"' in error["message"]


def test_unknown_model_type_gets_a_suggestion(client: Client):
    (error,) = validate(client, model_type="fluxx")["errors"]
    assert error["pointer"] == "/model_type"
    assert '"flux"' in error["remedy"]


def test_unknown_model_type_without_a_similar_one_gets_the_list(client: Client):
    (error,) = validate(client, model_type="qqqqqq")["errors"]
    assert {"toy", "flux", "wan", "sdxl"} <= set(re.findall(r"[\w\-]+", error["remedy"]))


def test_request_too_large_for_the_machine_is_a_finding(client: Client):
    found = validate(client, gpu_count=5)
    assert not found["valid"]
    assert "this machine has 4" in found["errors"][0]["message"]


def test_validation_says_why_the_task_would_wait(world: World):
    holder = world.run(gpu_id=0)
    found = validate(world.client, gpu_id=0)
    assert found["valid"]
    assert found["gpus"]["gpu_ids"] == []
    assert f"GPU 0 is held by {holder}" in found["gpus"]["waiting_reason"]


def test_validation_considers_queued_tasks(world: World):
    world.start(gpu_count=3)
    assert validate(world.client)["gpus"]["gpu_ids"] == [3]
    assert validate(world.client, gpu_count=2)["gpus"]["gpu_ids"] == []


def test_warnings_do_not_make_a_request_invalid(client: Client):
    found = validate(client, trust_cache=True)
    assert found["valid"]
    assert [warning["pointer"] for warning in found["warnings"]] == ["/trust_cache"]


@pytest.mark.parametrize("body", ["{}", '{"config": {}}'])
def test_body_without_a_model_type_cannot_be_started(client: Client, body: str):
    answer = client.post(START, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert failure_of(answer)["error"]["errors"] != []


@pytest.mark.parametrize("body", ["{}", '{"config": {}}'])
def test_body_without_a_model_type_is_not_valid(client: Client, body: str):
    answer = client.post(VALIDATE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert not answer.json()["data"]["valid"]
    assert answer.json()["data"]["errors"] != []


# -- start ---------------------------------------------------------------------------------------------------------


def test_started_training_is_queued(client: Client):
    made = client.post(START, json={**TOY, "name": "n", "description": "d", "priority": 7, "gpu_count": 2})
    task = made.json()["data"]
    assert (made.status_code, made.json()["code"], task["status"]) == (201, 201, "queued")
    assert re.fullmatch(r"train_\d{8}_[0-9a-z]{8}", task["task_id"])
    assert made.headers["location"] == f"{TRAINING}/{task['task_id']}"
    assert set(task) == FIELDS
    assert (task["name"], task["description"], task["priority"], task["gpu_count"]) == ("n", "d", 7, 2)
    assert (task["started_at"], task["finished_at"], task["attempts"], task["failure"]) == (None, None, [], None)
    assert task["waiting_reason"]
    assert client.data(made.headers["location"]) == task


def test_unknown_values_are_null(client: Client):
    task = client.post(START, json=TOY).json()["data"]
    assert task["progress"].pop("overall_progress") == 0
    assert set(task["progress"].values()) | set(task["metrics"].values()) | set(task["speed"].values()) == {None}


def test_queued_training_gets_its_gpu_and_runs(world: World):
    task = world.get(world.run(gpu_id=2))
    assert (task["status"], task["gpu_ids"], task["waiting_reason"]) == ("running", [2], None)
    assert task["started_at"] is not None
    (attempt,) = task["attempts"]
    assert (attempt["gpu_ids"], attempt["pid"], attempt["status"]) == ([2], 4711, "running")
    assert [stats["gpu_id"] for stats in task["system_stats"]] == [2]
    gpu = world.client.data("/api/v1/gpu/2")
    assert (gpu["status"], gpu["current_task"]["task_id"]) == ("training", task["task_id"])


def test_all_errors_of_a_start_request_are_returned_at_once(client: Client):
    envelope = rejected(client, 422, **WRONG)
    assert envelope["error"]["code"] == "validation_failed"
    assert set(errors_of(envelope)) == POINTERS


@pytest.mark.parametrize(
    "gpus",
    [
        {"gpu_id": 0, "gpu_ids": [1]},
        {"gpu_id": 0, "gpu_count": 1},
        {"gpu_ids": [0], "gpu_count": 1},
        {"gpu_id": 0, "gpu_ids": [1], "gpu_count": 1},
    ],
)
def test_gpus_are_selected_in_one_way(client: Client, gpus: dict[str, Any]):
    (message,) = errors_of(rejected(client, 422, **gpus)).values()
    assert "one of gpu_id, gpu_ids and gpu_count" in message


def test_contradictory_gpu_selection_is_found_with_other_errors(client: Client):
    found = errors_of(rejected(client, 422, gpu_id=0, gpu_ids=[1], config={"epochs": 0}, bogus=1))
    assert {"", "/bogus", "/config/epochs"} == set(found)


@pytest.mark.parametrize("gpu", [4, 99, "4", "GPU-nobody", "01"])
def test_missing_gpu_is_rejected(shared_client: Client, gpu: int | str):
    assert set(errors_of(rejected(shared_client, 422, gpu_id=gpu))) == {"/gpu_id"}
    assert set(errors_of(rejected(shared_client, 422, gpu_ids=[0, gpu]))) == {"/gpu_ids/1"}


@pytest.mark.parametrize("gpu", [-1, 1.5, True, "", "a b", {}, [0], "../0", 2**40])
def test_invalid_gpu_reference_is_rejected(shared_client: Client, gpu: Any):
    assert set(errors_of(rejected(shared_client, 422, gpu_id=gpu))) == {"/gpu_id"}


def test_gpu_listed_twice_is_rejected(client: Client):
    uuid = client.data("/api/v1/gpu/1")["uuid"]
    assert set(errors_of(rejected(client, 422, gpu_ids=[1, 1]))) == {"/gpu_ids/1"}
    assert set(errors_of(rejected(client, 422, gpu_ids=[1, uuid]))) == {"/gpu_ids/1"}
    assert set(errors_of(rejected(client, 422, gpu_ids=[uuid, "1"]))) == {"/gpu_ids/1"}


def test_gpus_are_referenced_by_index_and_uuid(world: World):
    uuid = world.client.data("/api/v1/gpu/3")["uuid"]
    assert world.get(world.run(gpu_ids=[uuid, "1"]))["gpu_ids"] == [1, 3]


def test_whole_float_is_accepted_as_integer(world: World):
    assert world.get(world.start(gpu_count=2.0, priority=1.0))["gpu_count"] == 2


def test_causes_to_retry_are_accepted_by_name(world: World):
    request = world.get(world.start(max_retries=2, retry_on=["cuda_out_of_memory", "hang"]))["request"]
    assert (request["max_retries"], request["retry_on"]) == (2, ["cuda_out_of_memory", "hang"])


@pytest.mark.parametrize("causes", ["hang", ["bad luck"], [1], [None], {"hang": True}])
def test_unknown_causes_are_rejected(client: Client, causes: Any):
    (pointer,) = errors_of(rejected(client, 422, retry_on=causes))
    assert pointer.startswith("/retry_on")


# -- limits of the machine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpus", [{"gpu_count": 5}, {"min_memory": 30_000}, {"gpu_count": 2, "min_memory": 24_565}])
def test_request_that_the_machine_can_never_serve_is_rejected(client: Client, gpus: dict[str, Any]):
    envelope = rejected(client, 507, **gpus)
    assert envelope["error"]["code"] == "insufficient_gpus"
    assert [gpu["gpu_id"] for gpu in envelope["data"]["gpus"]] == [0, 1, 2, 3]
    assert {gpu["memory_total"] for gpu in envelope["data"]["gpus"]} == {24_564}


def test_mixed_machine_uses_gpus_that_are_large_enough(make_world):
    world = make_world(simulated_gpus="2x NVIDIA GeForce RTX 4090, 1x NVIDIA H100 80GB HBM3")
    assert world.get(world.run(min_memory=60_000))["gpu_ids"] == [2]
    assert rejected(world.client, 507, min_memory=60_000, gpu_count=2)["error"]["code"] == "insufficient_gpus"


def test_lack_of_disk_space_is_rejected(make_world):
    world = make_world(min_free_disk_mb=2**40)
    assert rejected(world.client, 507)["error"]["code"] == "insufficient_storage"


# -- without waiting -----------------------------------------------------------------------------------------------


def test_training_that_does_not_wait_gets_its_gpus_immediately(client: Client):
    made = client.post(START, json={**TOY, "queue": False, "gpu_id": 1})
    task = made.json()["data"]
    assert (made.status_code, task["status"], task["gpu_ids"]) == (201, "starting", [1])
    assert client.data("/api/v1/gpu/1")["current_task"]["task_id"] == task["task_id"]


def test_training_that_does_not_wait_is_rejected_while_its_gpu_is_held(world: World):
    holder = world.run(gpu_id=0)
    world.prints(holder, "steps: 1 loss: 0.5 iter time (s): 10.0 samples/sec: 6.4\n")
    world.train()
    envelope = rejected(world.client, 409, queue=False, gpu_id=0)
    assert envelope["error"]["code"] == "gpu_busy"
    assert holder in envelope["error"]["detail"]
    assert envelope["data"]["available_gpus"] == [1, 2, 3]
    assert (envelope["data"]["gpu_id"], envelope["data"]["current_task"]["task_id"]) == (0, holder)


def test_rejection_estimates_when_gpus_are_free(world: World):
    holder = world.run(gpu_count=4)
    assert rejected(world.client, 409, queue=False)["data"]["estimated_available_time"] is None
    world.prints(holder, "steps: 1 loss: 0.5 iter time (s): 10.0 samples/sec: 6.4\n")
    world.note_progress()
    data = rejected(world.client, 409, queue=False)["data"]
    assert data["available_gpus"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", data["estimated_available_time"])


def test_training_that_does_not_wait_overtakes_no_task(world: World):
    world.run(gpu_count=3)
    waiting = world.start(gpu_count=2)
    envelope = rejected(world.client, 409, queue=False)
    assert f"reserved for {waiting}" in envelope["error"]["detail"]


def test_training_waits_for_the_gpu_of_a_foreign_program(fake_world: World, source: FakeSource):
    source.set_memory(0, 20_000)
    fake_world.sweep()
    task_id = fake_world.start(gpu_id=0)
    fake_world.train()
    task = fake_world.get(task_id)
    assert task["status"] == "queued"
    assert "GPU 0 is busy" in task["waiting_reason"]
    source.set_memory(0, 400)
    fake_world.sweep()
    assert fake_world.get(fake_world.run(task_id))["gpu_ids"] == [0]


# -- environment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "CUDA_VISIBLE_DEVICES", "HOME",
        "NCCL_NET_PLUGIN", "TRITON_CUDACRT_PATH", "TORCH_EXTENSIONS_DIR", "HF_HUB_TRUST_REMOTE_CODE", "hf_token",
        "BASH_ENV", "A=B", "", "HF_\n", "MASTER_ADDR", "DIFFUSION_PIPE_ATTEMPT",
    ],
)  # fmt: skip
def test_forbidden_variable_is_rejected(shared_client: Client, name: str):
    envelope = rejected(shared_client, 422, env={name: "x"})
    assert len(envelope["error"]["errors"]) == 1
    assert next(iter(errors_of(envelope))).startswith("/env/")


def test_allowed_variables_reach_the_trainer(world: World):
    world.run(env={"NCCL_P2P_DISABLE": "1", "HF_TOKEN": "hf_secret"})
    (submission,) = world.executor.submissions
    assert submission.env["NCCL_P2P_DISABLE"] == "1"
    assert submission.env["HF_TOKEN"] == "hf_secret"


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "x" * 4097])
def test_value_that_could_be_another_variable_is_rejected(client: Client, value: str):
    envelope = rejected(client, 422, env={"NCCL_DEBUG": value})
    assert set(errors_of(envelope)) == {"/env/NCCL_DEBUG"}


@pytest.mark.parametrize("value", [1, None, ["x"], {"a": "b"}])
def test_value_that_is_not_text_is_rejected(client: Client, value: Any):
    assert set(errors_of(rejected(client, 422, env={"NCCL_DEBUG": value}))) == {"/env/NCCL_DEBUG"}


def test_too_many_variables_are_rejected(client: Client):
    rejected(client, 422, env={f"NCCL_{n}": "1" for n in range(65)})


def test_environment_of_the_service_is_not_passed_on(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    world.run()
    (submission,) = world.executor.submissions
    assert "DATABASE_URL" not in submission.env
    assert submission.env["CUDA_VISIBLE_DEVICES"] == "0"


def test_cluster_options_are_rejected_on_a_local_executor(client: Client):
    answer = client.post(VALIDATE, json={**TOY, "slurm": {"partition": "gpu"}}).json()["data"]
    assert [found["pointer"] for found in answer["errors"]] == ["/slurm"]
