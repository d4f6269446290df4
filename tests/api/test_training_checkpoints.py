"""Deleting checkpoints: what is protected, what is recorded, and what stays."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from api.db.database import Database
from api.errors import StorageFull
from api.executors.fake import outcome
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, MakeWorld, World

FAILED = outcome(exit_code=1)


def listed(world: World, task_id: str) -> list[str]:
    found = world.client.data(f"{TRAINING}/{task_id}/checkpoints")["checkpoints"]
    return [checkpoint["name"] for checkpoint in found]


def deleted(world: World, task_id: str, name: str) -> dict[str, Any]:
    answer = world.client.delete(f"{TRAINING}/{task_id}/checkpoints/{name}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def rejected(world: World, task_id: str, name: str, status: int) -> str:
    before = listed(world, task_id)
    answer = world.client.delete(f"{TRAINING}/{task_id}/checkpoints/{name}")
    assert answer.status_code == status, answer.text
    assert listed(world, task_id) == before
    code: str = failure_of(answer)["error"]["code"]
    return code


@pytest.fixture
def stopped(world: World) -> str:
    """A failed training with two complete checkpoints and an incomplete one."""
    task_id = world.run(config={"epochs": 3, "toy": {"steps_per_epoch": 10, "seed": 1}}, gpu_id=1)
    world.make_checkpoints(task_id, 10, 20, 30, complete=False)
    return world.end(task_id, FAILED)


def test_deleted_checkpoint_frees_its_files_and_is_an_event(world: World, stopped: str):
    run_dir = next(world.output(stopped).glob("2*"))
    size = sum(file.stat().st_size for file in (run_dir / "global_step10").rglob("*") if file.is_file())
    assert deleted(world, stopped, "global_step10") == {
        "task_id": stopped,
        "checkpoint": "global_step10",
        "freed_bytes": size,
    }
    assert listed(world, stopped) == ["global_step20", "global_step30"]
    assert sorted(path.name for path in run_dir.iterdir()) == ["global_step20", "global_step30", "latest"]
    event = world.client.data(f"{TRAINING}/{stopped}/events")["events"][-1]
    assert (event["type"], event["previous"], event["current"]) == ("checkpoint", "global_step10", None)
    assert event["message_code"] == {"code": "checkpoint_deleted", "params": {"name": "global_step10"}}


def test_deletion_uses_one_connection_so_that_many_do_not_wait_for_each_other(
    world: World, stopped: str, monkeypatch: pytest.MonkeyPatch
):
    used = threading.local()
    connect = Database._connect

    @contextmanager
    def connect_once(*arguments: Any) -> Iterator[Connection]:
        assert not getattr(used, "now", False), "a transaction waits for a second connection"
        used.now = True
        try:
            with connect(*arguments) as connection:
                yield connection
        finally:
            used.now = False

    monkeypatch.setattr(Database, "_connect", connect_once)
    deleted(world, stopped, "global_step10")


def test_checkpoint_whose_deletion_cannot_be_recorded_stays(
    world: World, stopped: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise StorageFull("The disk of the database is full.")

    with monkeypatch.context() as full:
        full.setattr("api.training.records.task_store.events.append", fail)
        assert rejected(world, stopped, "global_step10", 503) == "storage_full"
    deleted(world, stopped, "global_step10")


def test_finished_training_resumes_from_the_newest_checkpoint_left(world: World, stopped: str):
    deleted(world, stopped, "global_step20")
    deleted(world, stopped, "global_step30")
    assert world.client.post(f"{TRAINING}/resume/{stopped}", json={}).status_code == 202
    task = world.get(world.run(stopped))
    assert task["attempts"][-1]["resumed_from"] == "global_step10"


@pytest.mark.parametrize("name", ["global_step20", "global_step30"])
def test_newest_and_incomplete_checkpoint_of_a_running_training_stay(world: World, name: str):
    task_id = world.run()
    world.make_checkpoints(task_id, 10, 20, 30, complete=False)
    assert rejected(world, task_id, name, 409) == "checkpoint_in_use"
    deleted(world, task_id, "global_step10")


def test_checkpoint_of_a_pending_resume_stays(world: World, stopped: str):
    world.run(gpu_ids=[1])
    answer = world.client.post(f"{TRAINING}/resume/{stopped}", json={"checkpoint": "global_step10"})
    assert answer.status_code == 202
    assert rejected(world, stopped, "global_step10", 409) == "checkpoint_in_use"
    assert rejected(world, stopped, "global_step20", 409) == "checkpoint_in_use"


def test_checkpoint_stays_while_a_lora_is_made_of_it(world: World, stopped: str):
    body = {"checkpoint": "global_step10"}
    export_id = world.client.post(f"{TRAINING}/{stopped}/export", json=body).json()["data"]["export_id"]
    assert rejected(world, stopped, "global_step10", 409) == "checkpoint_in_use"
    world.client.post(f"{TRAINING}/{export_id}/stop", json={"force": True})
    deleted(world, stopped, "global_step10")


@pytest.mark.parametrize(
    "name", ["global_step11", "latest", "%2e%2e", "global_step10%2f..", ".global_step10.removed", "epoch1"]
)
def test_unknown_checkpoint_is_not_found(world: World, stopped: str, name: str):
    answer = world.client.delete(f"{TRAINING}/{stopped}/checkpoints/{name}")
    assert answer.status_code in (404, 405)
    assert listed(world, stopped) == ["global_step10", "global_step20", "global_step30"]


def test_only_the_owner_and_administrators_delete_checkpoints(make_world: MakeWorld):
    team = make_world(auth="required")
    ann, bob, admin = team.signed_in("ann"), team.signed_in("bob"), team.signed_in("root", "admin")
    task_id = ann.run()
    ann.make_checkpoints(task_id, 10, 20)
    ann.end(task_id, FAILED)
    assert bob.client.delete(f"{TRAINING}/{task_id}/checkpoints/global_step10").status_code in (403, 404)
    deleted(ann, task_id, "global_step10")
    deleted(admin, task_id, "global_step20")
    rows = admin.client.data("/api/v1/auth/audit")["entries"]
    changed = [row["before"] for row in rows if "checkpoints" in row["operation"] and row["outcome"] == "done"]
    assert [each["checkpoint"] for each in changed] == ["global_step20", "global_step10"]
