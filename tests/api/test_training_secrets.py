"""A secret in a request is stored in one private file and passed to the trainer, and is nowhere else."""

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Client
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, Case, TextCase

WANDB, TOKEN = "wandb0123456789planted", "hf_PLANTED_in_the_environment"
MONITORING = {"enable_wandb": True, "wandb_api_key": WANDB, "wandb_tracker_name": "t", "wandb_run_name": "r"}
MONITORING_TOML = f"""
[monitoring]
enable_wandb = true
wandb_api_key = '{WANDB}'
wandb_tracker_name = 't'
wandb_run_name = 'r'
"""


def structured(tmp_path: Path) -> tuple[dict[str, Any], Any]:
    case = Case(tmp_path)
    return {"config": {**case.config, "monitoring": MONITORING}, "dataset": case.dataset}, case.trainer


def textual(tmp_path: Path) -> tuple[dict[str, Any], Any]:
    case = TextCase(tmp_path)
    notes = f"# HF_TOKEN = '{TOKEN}'\n# see https://me:{TOKEN}@host/x\n# {WANDB}\n"
    return {"config_toml": case.config + MONITORING_TOML + notes, "dataset_toml": notes + case.dataset}, case.trainer


@pytest.fixture(params=[structured, textual], ids=["structured", "text"])
def request_body(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    fields, _ = request.param(tmp_path / "trainer_files")
    return {"model_type": "sdxl", "env": {"HF_TOKEN": TOKEN, "NCCL_DEBUG": "INFO"}, **fields}


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    return make_world(
        diffusion_pipe_root=tmp_path / "trainer_files" / "trainer", diffusion_pipe_python=PYTHON, log_level="DEBUG"
    )


class RecordingClient:
    """Sends requests and stores every returned byte."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.received = b""

    def send(self, method: str, path: str, **options: Any) -> Any:
        answer = self.client.ask(method, f"{TRAINING}/{path}", **options)
        self.received += answer.content + str(answer.headers).encode()
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    def request_everything(self, task_id: str) -> None:
        for part in ("", "/progress", "/metrics", "/checkpoints", "/artifacts", "/events"):
            self.send("GET", task_id + part)
        self.send("GET", "list")


def holders(storage: Path) -> set[Path]:
    """Return the files that contain one of the secrets."""
    planted = (WANDB.encode(), TOKEN.encode())
    files = [path for path in storage.rglob("*") if path.is_file()]
    return {path for path in files if any(secret in path.read_bytes() for secret in planted)}


def test_secrets_are_only_in_one_private_file(
    world: World, request_body: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    client = RecordingClient(world.client)
    found = client.send("POST", "validate", json=request_body)
    assert found["errors"] == []
    assert holders(world.storage) == set()

    task_id = client.send("POST", "start", json=request_body, headers={"Idempotency-Key": "k"})["task_id"]
    client.send("POST", "start", json=request_body, headers={"Idempotency-Key": "k"})
    world.run(task_id)
    world.make_checkpoints(task_id, 10)
    client.request_everything(task_id)
    client.send("PATCH", task_id, json={"description": "d"})
    client.send("POST", f"stop/{task_id}")
    world.end(task_id)
    client.send("POST", f"resume/{task_id}", json={"env": {"NCCL_DEBUG": "WARN"}, "reset_optimizer": True})
    world.end(world.run(task_id))
    restarted = client.send("POST", f"restart/{task_id}")["task_id"]
    world.run(restarted)
    client.request_everything(restarted)

    secrets = {world.storage / "tasks" / name / "secrets.json" for name in (task_id, restarted)}
    assert holders(world.storage) == secrets
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    output = client.received + caplog.text.encode() + "".join(capfd.readouterr()).encode()
    assert WANDB.encode() not in output
    assert TOKEN.encode() not in output

    submissions = world.executor.submissions
    assert len(submissions) == 3
    for submission in submissions:
        assert submission.env["HF_TOKEN"] == TOKEN
        assert WANDB in submission.env.values()
        assert not any(secret in " ".join(submission.argv) for secret in (WANDB, TOKEN))
    assert [submission.env["NCCL_DEBUG"] for submission in submissions] == ["INFO", "WARN", "WARN"]


def test_new_secret_replaces_the_old(world: World, request_body: dict[str, Any]):
    task_id = world.client.post(f"{TRAINING}/start", json=request_body).json()["data"]["task_id"]
    world.run(task_id)
    world.make_checkpoints(task_id, 10)
    world.client.post(f"{TRAINING}/stop/{task_id}")
    world.end(task_id)
    answer = world.client.post(f"{TRAINING}/resume/{task_id}", json={"env": {"HF_TOKEN": "hf_the_new_one"}})
    assert answer.status_code == 202, answer.text
    assert "hf_the_new_one" not in answer.text
    world.run(task_id)
    latest = world.executor.submissions[-1].env
    assert latest["HF_TOKEN"] == "hf_the_new_one"
    assert WANDB in latest.values()


@pytest.mark.parametrize(
    "change",
    [
        {"env": {"HF_TOKEN": TOKEN + "\n"}},
        {"env": {"HF_TOKEN": TOKEN * 500}},
        {"env": {"AWS_SECRET_KEY": TOKEN}},
        {"env": {"HF_TOKEN": [TOKEN]}},
        {"env": TOKEN},
        {"config_toml": f"wandb_api_key = '{WANDB}"},
        {"config_toml": f"a = 1\n{WANDB} = ="},
        {"monitoring": MONITORING},
        {"gpu_count": 99},
        {"gpu_id": 0, "gpu_count": 1},
    ],
    ids=str,
)
def test_rejection_does_not_contain_a_secret(
    world: World, request_body: dict[str, Any], change: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    for path in ("validate", "start"):
        answer = world.client.post(f"{TRAINING}/{path}", json={**request_body, **change})
        assert answer.status_code in (200, 422, 507)
        assert WANDB not in answer.text + caplog.text
        assert TOKEN not in answer.text + caplog.text
    assert holders(world.storage) == set()


def test_deleting_a_training_removes_its_secrets_even_if_the_files_stay(world: World, request_body: dict[str, Any]):
    task_id = world.client.post(f"{TRAINING}/start", json=request_body).json()["data"]["task_id"]
    world.client.post(f"{TRAINING}/stop/{task_id}")
    assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 200
    assert holders(world.storage) == set()


def test_training_with_secrets_in_another_storage_is_not_started_without_them(world: World):
    task_id = world.start(env={"HF_TOKEN": TOKEN})
    (world.storage / "tasks" / task_id / "secrets.json").unlink()
    world.train()
    task = world.get(task_id)
    assert task["status"] == "failed"
    assert "HF_TOKEN is missing in this STORAGE_ROOT" in task["failure"]["detail"]
    assert world.executor.submissions == []


def test_key_pasted_into_a_description_is_not_stored(world: World, request_body: dict[str, Any]):
    client = RecordingClient(world.client)
    words = {"name": f"run with {TOKEN}", "description": f"HF_TOKEN={TOKEN} from https://me:{WANDB}@host/x"}
    body = {name: value for name, value in request_body.items() if name != "env"} | words
    task_id = client.send("POST", "start", json=body)["task_id"]
    client.send("PATCH", task_id, json=words)
    client.request_everything(task_id)
    task = client.send("GET", task_id)
    assert (task["name"], task["description"]) == ("run with ***", "HF_TOKEN=*** from https://***@host/x")
    assert TOKEN.encode() not in client.received
    assert holders(world.storage) <= {world.storage / "tasks" / task_id / "secrets.json"}
