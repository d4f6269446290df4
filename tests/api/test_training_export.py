"""Exports of checkpoints: who may request them, what is rejected, and how they follow a stop."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.executors.fake import outcome
from api.jobs.exports.request import MARK
from api.jobs.kinds import EXPORT_JOB
from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, MakeWorld, World
from tests.media import picture

FILE = "adapter_model.safetensors"


@pytest.fixture
def training(world: World) -> str:
    """A failed training with two complete checkpoints and an incomplete one."""
    task_id = world.run()
    world.make_checkpoints(task_id, 10, 20, 30, complete=False)
    return world.end(task_id, outcome(exit_code=1))


def export(world: World, task_id: str, expected: int = 202, **body: Any) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/{task_id}/export", json=body)
    assert answer.status_code == expected, answer.text
    made: dict[str, Any] = answer.json()["data"]
    where = made["url"] if made["export_id"] is None else f"{TRAINING}/{made['export_id']}"
    assert answer.headers["location"] == where
    return made


def rejected(world: World, task_id: str, **body: Any) -> tuple[int, str]:
    answer = world.client.post(f"{TRAINING}/{task_id}/export", json=body)
    return answer.status_code, failure_of(answer)["error"]["code"]


def exports_of(world: World, task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.data(f"{TRAINING}/{task_id}/checkpoints")["exports"]
    return found


def request_of(world: World, export_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.output(export_id) / "wish.json").read_bytes())
    return found


def carry_out(world: World, export_id: str) -> None:
    """Do what the program of an export does, and let its task end."""
    request = request_of(world, export_id)
    made = Path(request["run_dir"]) / request["target"]
    made.mkdir()
    (made / FILE).write_bytes(b"weights")
    mark = {"checkpoint": request["checkpoint"], "written_at": request["written_at"]}
    (made / MARK).write_text(json.dumps(mark))
    world.train()
    uid = world.uid(export_id)
    world.executor.runs(uid, ProcessIdentity(4712, 1.0))
    world.train()
    (world.output(export_id) / "run_1").mkdir()
    (world.output(export_id) / "run_1" / "done.json").write_text("{}")
    world.prints(export_id, '{"dp": "progress", "step": 1, "total": 1, "percent": 100.0, "message": "1 of 1 MB"}\n')
    world.prints(export_id, f"{EXPORT_JOB.completed_phrase}\n")
    world.executor.ends(uid, outcome(exit_code=0, phrases=frozenset({EXPORT_JOB.completed_phrase}), last_step=1))
    world.train()


def test_last_complete_checkpoint_is_exported_by_a_task_without_gpus(world: World, training: str):
    made = export(world, training)
    assert (made["checkpoint"], made["status"], made["path"]) == ("global_step20", "queued", None)
    assert request_of(world, made["export_id"])["target"] == "step20"
    world.train()
    submission = world.executor.submissions[-1]
    assert submission.ref.uid == f"{made['export_id']}.1"
    assert EXPORT_JOB.module in submission.argv
    details = world.get(made["export_id"])
    assert (details["kind"], details["gpu_count"], details["status"]) == ("export", 0, "starting")
    shown = {"task_id": training, "checkpoint": "global_step20", "step": 20, "method": "direct"}
    assert details["export"] == {**shown, "path": None, "url": None}
    assert training in [row["task_id"] for row in world.client.data(f"{TRAINING}/list")["tasks"]]
    assert [row["task_id"] for row in world.client.data(f"{TRAINING}/list?kind=export")["tasks"]] == [made["export_id"]]


def test_complete_export_is_returned_with_its_path(world: World, training: str):
    made = export(world, training, checkpoint="global_step10")
    carry_out(world, made["export_id"])
    path = f"{RUN_DIR}/step10/{FILE}"
    shown = export(world, training, 200, checkpoint="global_step10")
    assert (shown["export_id"], shown["status"], shown["path"]) == (made["export_id"], "completed", path)
    assert world.client.get(shown["url"]).content == b"weights"
    assert [one["path"] for one in exports_of(world, training)] == [path]
    assert world.get(made["export_id"])["export"]["path"] == path


def test_model_that_the_trainer_saved_is_returned(world: World, training: str):
    saved = world.output(training) / RUN_DIR / "step20"
    saved.mkdir()
    (saved / FILE).write_bytes(b"of the trainer")
    shown = export(world, training, 200)
    assert (shown["export_id"], shown["path"]) == (None, f"{RUN_DIR}/step20/{FILE}")
    assert exports_of(world, training) == []


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo], ids=["empty", "directory", "fifo"])
def test_model_that_is_no_file_with_content_is_not_taken_for_an_export(
    world: World, training: str, make: Callable[[Path], None]
):
    saved = world.output(training) / RUN_DIR / "step20"
    saved.mkdir()
    make(saved / FILE)
    assert export(world, training)["status"] == "queued"


def test_repeated_request_returns_the_running_export(world: World, training: str):
    first, second = export(world, training), export(world, training)
    assert first["export_id"] == second["export_id"]
    assert export(world, training, checkpoint="global_step10")["export_id"] != first["export_id"]
    assert len(exports_of(world, training)) == 2


def test_failed_export_is_repeated_by_the_same_task(world: World, training: str):
    made = export(world, training)
    world.train()
    world.executor.ends(world.uid(made["export_id"]), outcome(exit_code=1))
    world.train()
    assert exports_of(world, training)[0]["status"] == "failed"
    again = export(world, training)
    assert (again["export_id"], again["status"]) == (made["export_id"], "queued")


def test_rewritten_checkpoint_is_exported_again(world: World, training: str):
    made = export(world, training)
    carry_out(world, made["export_id"])
    (world.output(training) / RUN_DIR / "global_step20" / "state.json").write_text('{"another": "run"}')
    assert export(world, training)["export_id"] != made["export_id"]


def test_unknown_and_incomplete_checkpoints_are_rejected(world: World, training: str):
    assert rejected(world, training, checkpoint="global_step30") == (409, "checkpoint_incomplete")
    assert rejected(world, training, checkpoint="global_step99") == (404, "checkpoint_not_found")
    assert rejected(world, training, checkpoint="../global_step20") == (404, "checkpoint_not_found")
    assert rejected(world, "train_20260101_00000000") == (404, "task_not_found")
    without = world.run(gpu_ids=[1])
    assert rejected(world, without) == (409, "no_checkpoint")
    made = export(world, training)
    assert rejected(world, made["export_id"]) == (404, "task_not_found")


def test_export_has_no_position_in_the_queue(world: World, training: str):
    made = export(world, training)
    answer = world.client.patch(f"{TRAINING}/{made['export_id']}", json={"queue_position": "first"})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "task_not_queued")
    assert "waits for no GPU" in answer.text


def test_export_cannot_be_resumed_or_restarted(world: World, training: str):
    made = export(world, training)
    for action in ("resume", "restart"):
        assert world.client.post(f"{TRAINING}/{action}/{made['export_id']}").status_code == 409


def test_export_belongs_to_the_owner_of_its_training(make_world: MakeWorld):
    team = make_world(auth="required", visibility="own", rate_limits=())
    ann, bob, admin = team.signed_in("ann"), team.signed_in("bob"), team.signed_in("root", "admin")
    task_id = ann.run()
    ann.make_checkpoints(task_id, 10)
    assert rejected(bob, task_id) == (404, "task_not_found")
    made = export(admin, task_id)
    assert ann.get(made["export_id"])["owner"] == "ann"
    assert bob.client.get(f"{TRAINING}/{made['export_id']}").status_code == 404
    audit = admin.client.data("/api/v1/auth/audit?operation=/export&limit=1")["entries"]
    assert audit[0]["actor"].startswith("root")


# -- by the trainer --------------------------------------------------------------------------------------------------


BY_TRAINER = {"config": {"epochs": 3, "toy": {"exports_directly": False}}}


@pytest.fixture
def whole(world: World) -> str:
    """A failed training with two checkpoints that only the trainer can export."""
    task_id = world.run(gpu_count=2, **BY_TRAINER)
    world.make_checkpoints(task_id, 10, 20)
    return world.end(task_id, outcome(exit_code=1))


def resume(world: World, export_id: str) -> Path:
    """Let an export by the trainer begin, and return the run directory that it resumes."""
    world.train()
    world.executor.runs(world.uid(export_id), ProcessIdentity(4713, 1.0))
    world.train()
    return Path(world.get(export_id)["run_dir"])


def finish(world: World, export_id: str, step: int) -> None:
    """Do what the trainer does in its step, and end it."""
    run_dir = resume(world, export_id)
    (run_dir / f"step{step}").mkdir()
    (run_dir / f"step{step}" / FILE).write_bytes(b"weights")
    (run_dir / f"global_step{step}").mkdir()
    (run_dir / f"global_step{step}" / "state.json").write_text("{}")
    (run_dir / "latest").write_text(f"global_step{step}")
    world.prints(export_id, f"steps: {step} loss: 0.5 iter time (s): 1.0 samples/sec: 1.0\nTRAINING COMPLETE!\n")
    world.executor.ends(
        world.uid(export_id), outcome(exit_code=0, phrases=frozenset({"TRAINING COMPLETE!"}), last_step=step)
    )
    world.train()
    world.free_gpus()


def test_trainer_exports_what_the_service_cannot_with_the_trainings_gpus(world: World, whole: str):
    assert rejected(world, whole, method="direct") == (409, "export_unsupported")
    made = export(world, whole, checkpoint="global_step10")
    assert (made["method"], made["step"], made["status"], made["progress"]) == ("resume", 11, "queued", None)
    details = world.get(made["export_id"])
    assert (details["kind"], details["gpu_count"], details["trainer"]) == ("export", 2, "toy")
    assert (details["plan"]["total_steps"], details["plan"]["export"]["step"]) == (11, 11)
    assert "is of step 11" in details["plan"]["notes"][0]
    assert details["config"]["save_every_n_steps"] == 1
    finish(world, made["export_id"], 11)
    path = f"{RUN_DIR}/step11/{FILE}"
    shown = export(world, whole, 200, checkpoint="global_step10")
    assert (shown["export_id"], shown["path"], shown["step"]) == (made["export_id"], path, 11)
    assert world.client.get(shown["url"]).content == b"weights"
    details = world.get(made["export_id"])
    assert (details["status"], details["export"]["path"]) == ("completed", path)
    names = {path.name for path in (world.output(whole) / RUN_DIR).iterdir()}
    assert names == {"global_step10", "global_step20", "latest", "step11"}
    assert (world.output(whole) / RUN_DIR / "latest").read_text() == "global_step20"


def test_trainer_exports_on_request_what_the_service_could(world: World, training: str):
    made = export(world, training, method="resume")
    assert (made["method"], made["step"]) == ("resume", 21)
    assert export(world, training, method="resume")["export_id"] == made["export_id"]
    assert export(world, training)["export_id"] != made["export_id"]
    assert {one["method"] for one in exports_of(world, training)} == {"direct", "resume"}


def test_model_of_the_checkpoints_own_step_is_no_reason_for_another(world: World, whole: str):
    saved = world.output(whole) / RUN_DIR / "step20"
    saved.mkdir()
    (saved / FILE).write_bytes(b"of the trainer")
    shown = export(world, whole, 200)
    assert (shown["export_id"], shown["step"], shown["method"]) == (None, 20, "direct")


def test_failed_export_by_the_trainer_is_repeated_by_a_new_task(world: World, whole: str):
    first = export(world, whole)
    resume(world, first["export_id"])
    assert rejected(world, first["export_id"]) == (404, "task_not_found")
    world.executor.ends(world.uid(first["export_id"]), outcome(exit_code=1))
    world.train()
    world.free_gpus()
    second = export(world, whole)
    assert second["export_id"] != first["export_id"]
    assert export(world, whole)["export_id"] == second["export_id"]
    finish(world, second["export_id"], 21)
    assert [one["status"] for one in exports_of(world, whole)] == ["completed", "failed"]


def test_killed_export_by_the_trainer_repeats_its_step(world: World, whole: str):
    made = export(world, whole)
    run_dir = resume(world, made["export_id"])
    (run_dir / "global_step21").mkdir()
    (run_dir / "global_step21" / "state.json").write_text("{}")
    (run_dir / "latest").write_text("global_step21")
    world.prints(made["export_id"], "steps: 21 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0\n")
    world.prints(made["export_id"], "[rank0]: RuntimeError: EADDRINUSE: address already in use\n")
    world.executor.ends(world.uid(made["export_id"]), outcome(exit_code=1, last_step=21))
    world.train()
    world.free_gpus()
    world.train()
    attempts = world.get(made["export_id"])["attempts"]
    assert [one["resumed_from"] for one in attempts] == ["global_step20", "global_step20"]
    assert {path.name for path in run_dir.iterdir() if path.is_dir()} == {"global_step20"}


def test_checkpoint_that_was_rewritten_before_its_turn_is_not_exported(world: World, whole: str):
    made = export(world, whole)
    (world.output(whole) / RUN_DIR / "global_step20" / "state.json").write_text('{"another": "run"}')
    world.train()
    shown = world.get(made["export_id"])
    assert (shown["status"], shown["failure"]["code"]) == ("failed", "missing_file")
    assert "written again" in shown["failure"]["detail"]


def test_checkpoint_that_waits_for_its_export_cannot_be_deleted(world: World, whole: str):
    export(world, whole, checkpoint="global_step10")
    answer = world.client.delete(f"{TRAINING}/{whole}/checkpoints/global_step10")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "checkpoint_in_use")
    answer = world.client.delete(f"{TRAINING}/{whole}?files=true")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "task_not_finished")


def test_settings_that_are_no_longer_valid_are_named(world: World, tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(picture(8, 8))
    dataset = {"directories": [{"path": str(tmp_path / "pictures")}]}
    task_id = world.run(dataset=dataset, **BY_TRAINER)
    world.make_checkpoints(task_id, 10)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    answer = world.client.post(f"{TRAINING}/{task_id}/export")
    assert answer.status_code == 422, answer.text
    assert "cannot resume with the training's settings any more" in failure_of(answer)["error"]["detail"]
    stop(world, task_id)
    world.end(task_id, outcome(signal=15))
    messages = [event["message"] for event in world.client.data(f"{TRAINING}/{task_id}/events")["events"]]
    assert [each for each in messages if "settings any more" in each]


def test_export_by_the_trainer_follows_a_stop(world: World):
    task_id = world.run(**BY_TRAINER)
    world.make_checkpoints(task_id, 10)
    stop(world, task_id)
    world.end(task_id, outcome(signal=15))
    (made,) = exports_of(world, task_id)
    assert (made["checkpoint"], made["method"], made["step"]) == ("global_step10", "resume", 11)
    finish(world, made["export_id"], 11)
    assert [one["path"] for one in exports_of(world, task_id)] == [f"{RUN_DIR}/step11/{FILE}"]


# -- after a stop ----------------------------------------------------------------------------------------------------


def stop(world: World, task_id: str) -> None:
    answer = world.client.post(f"{TRAINING}/{task_id}/stop", json={"keep_lora": True})
    assert answer.status_code in (200, 202), answer.text


def test_export_follows_the_stop_of_a_running_training(world: World):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    stop(world, task_id)
    assert exports_of(world, task_id) == []
    world.make_checkpoints(task_id, 11)
    world.end(task_id, outcome(exit_code=0, phrases=frozenset({"Manually quitting"}), last_step=11))
    assert world.get(task_id)["status"] == "stopped"
    assert [one["checkpoint"] for one in exports_of(world, task_id)] == ["global_step11"]


def test_repeated_stop_can_add_the_export(world: World):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    world.client.post(f"{TRAINING}/{task_id}/stop")
    stop(world, task_id)
    assert world.get(task_id)["stop"]["keep_lora"] is True
    stop(world, task_id)
    world.end(task_id, outcome(signal=9))
    assert len(exports_of(world, task_id)) == 1


def test_stopped_and_queued_trainings_are_exported_immediately(world: World, training: str):
    world.client.post(f"{TRAINING}/resume/{training}")
    stop(world, training)
    (made,) = exports_of(world, training)
    assert (world.get(training)["status"], made["checkpoint"]) == ("stopped", "global_step20")
    stop(world, training)
    assert len(exports_of(world, training)) == 1


def test_stop_without_a_checkpoint_records_why_there_is_no_lora(world: World):
    task_id = world.run()
    stop(world, task_id)
    world.end(task_id, outcome(signal=15))
    messages = [event["message"] for event in world.client.data(f"{TRAINING}/{task_id}/events")["events"]]
    assert [each for each in messages if each.startswith("no LoRA was made of its checkpoint")]


def test_export_that_fails_unexpectedly_does_not_keep_its_training_from_ending(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise ValueError("unreadable plan")

    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    stop(world, task_id)
    monkeypatch.setattr("api.training.output.exports.Exports.start", fail)
    world.end(task_id, outcome(exit_code=0, phrases=frozenset({"Manually quitting"}), last_step=10))
    assert world.get(task_id)["status"] == "stopped"
    messages = [event["message"] for event in world.client.data(f"{TRAINING}/{task_id}/events")["events"]]
    assert "no LoRA was made of its checkpoint: unreadable plan" in messages
