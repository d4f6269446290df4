"""The service with the real trainer on the CPU: `make test-trainer TRAINER_ROOT=... TRAINER_PYTHON=...`.

Every test compares what the service reports with what the trainer printed and wrote. docs/trainer-tests.md says how to
get a trainer; without one, everything here is skipped.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.server import BASE
from tests.e2e.training_server import TrainingServer
from tests.own_service import lacks
from tests.trainer.rig import (
    PATIENCE,
    STEPS,
    Rig,
    await_end,
    await_log,
    await_step,
    missing_reason,
    names_in,
    steps_in,
    wait_for,
)

ROOT, PYTHON = os.environ.get("TRAINER_ROOT"), os.environ.get("TRAINER_PYTHON")
PROBLEM = missing_reason(ROOT, PYTHON)

if PROBLEM is not None:
    pytest.skip(PROBLEM, allow_module_level=True)

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * PATIENCE)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    assert ROOT is not None
    assert PYTHON is not None
    return Rig(tmp_path_factory.mktemp("rig"), ROOT, PYTHON)


@pytest.fixture(scope="module")
def server(rig: Rig) -> Iterator[TrainingServer]:
    with rig.server(rig.directory / "service") as started:
        yield started


@pytest.fixture(autouse=True)
def _leave_nothing_behind(server: TrainingServer) -> Iterator[None]:
    yield
    server.make_idle()
    assert server.processes.trainers() == []


def checkpoint_steps(server: TrainingServer, task_id: str) -> list[int]:
    """Return the steps of the complete checkpoints, as the service lists them."""
    found = server.get(f"/training/{task_id}/checkpoints")["checkpoints"]
    return [one["step"] for one in found if one["is_complete"]]


def series(server: TrainingServer, task_id: str, metric: str) -> dict[int, float]:
    """Return the values of a metric by step."""
    data = server.get(f"/training/{task_id}/metrics", params={"metric": metric})["data"]
    return {point["step"]: point["value"] for point in data}


def models(server: TrainingServer, task_id: str) -> set[str]:
    """Return the paths of the saved models, as the service lists them."""
    found = server.get(f"/training/{task_id}/artifacts")["artifacts"]
    return {one["path"] for one in found if one["kind"] == "model" and one["path"].endswith(".safetensors")}


# -- a complete training ---------------------------------------------------------------------------------------------


def test_training_is_followed_from_its_start_to_its_end_and_continued_with_more_epochs(
    server: TrainingServer, rig: Rig
):
    request = rig.request(epochs=2)
    request["config"]["eval"] = rig.evaluation("held_out")
    task_id = server.start_task(request)
    task = await_end(server, task_id, "completed")
    log, run_dir = server.log_of(task_id), Path(task["run_dir"])

    assert steps_in(log) == list(range(1, 2 * STEPS + 1))
    assert (task["plan"]["steps_per_epoch"], task["plan"]["total_steps"]) == (STEPS, 2 * STEPS)
    progress = task["progress"]
    assert (progress["current_step"], progress["total_steps"], progress["current_epoch"]) == (10, 10, 2)
    assert (progress["overall_progress"], task["warnings"], task["warning"]) == (100.0, [], None)
    assert f"Global batch size = {task['plan']['global_batch_size']}" in log

    losses = series(server, task_id, "train/loss")
    assert list(losses) == list(range(1, 2 * STEPS + 1))
    assert len(set(losses.values())) > 1
    assert task["metrics"]["learning_rate"] == pytest.approx(2e-4)
    assert sorted(series(server, task_id, "held_out/loss")) == [0, STEPS, 2 * STEPS]
    assert log.count("Running eval") == 3

    assert checkpoint_steps(server, task_id) == [STEPS, 2 * STEPS]
    name = "pytorch_lora_weights.safetensors"
    assert models(server, task_id) == {f"{run_dir.name}/epoch{epoch}/{name}" for epoch in (1, 2)}
    assert "adapter_config.json" not in names_in(run_dir / "epoch1")

    # The trainer repeats one step after a checkpoint of an epoch's end.
    changed = server.post(f"/training/resume/{task_id}", 202, json={"config": {"epochs": 3}})
    assert changed["plan"]["total_steps"] == 3 * STEPS + 1
    await_step(server, task_id, 2 * STEPS + 1)
    assert server.task(task_id)["progress"]["total_steps"] == 3 * STEPS + 1
    task = await_end(server, task_id, "completed")
    assert steps_in(server.log_of(task_id)) == list(range(1, 3 * STEPS + 2))
    assert (task["progress"]["current_step"], task["progress"]["total_steps"]) == (3 * STEPS + 1, 3 * STEPS + 1)
    assert task["run_dir"] == str(run_dir)


# -- stop, save, resume ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["process 1", "caching latents"], ids=["while it loads", "while it caches"])
def test_training_without_steps_is_stopped_at_once(server: TrainingServer, rig: Rig, moment: str):
    task_id = server.start_task(rig.request(data=f"stopped_{len(moment)}"))
    await_log(server, task_id, "spawned with command" if moment == "process 1" else moment)
    server.stop_task(task_id)
    task = await_end(server, task_id, "stopped")
    assert (task["stop"]["rung"], task["checkpoints"]) == ("terminate", [])


def test_stopped_training_saves_and_continues_exactly_there(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(epochs=3, notes="pace=0.5"))
    await_step(server, task_id, 2)
    server.post(f"/training/{task_id}/save", 202)
    wait_for(lambda: checkpoint_steps(server, task_id), "the requested checkpoint")
    await_step(server, task_id, STEPS + 2)
    server.stop_task(task_id)
    task = await_end(server, task_id, "stopped")
    assert task["stop"]["rung"] == "checkpoint"
    last = task["progress"]["current_step"]
    assert checkpoint_steps(server, task_id)[-1] == last
    assert server.log_of(task_id).count("Manually quitting") == 1

    extra = last % STEPS == 0
    changed = server.post(f"/training/resume/{task_id}", 202, json={})
    assert changed["plan"]["total_steps"] == 3 * STEPS + extra
    task = await_end(server, task_id, "completed")
    assert steps_in(server.log_of(task_id)) == list(range(1, 3 * STEPS + extra + 1))
    assert task["attempts"][1]["resumed_from"] == f"global_step{last}"


# -- kills -----------------------------------------------------------------------------------------------------------


def test_training_outlives_its_server_and_its_supervisor(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(epochs=4, notes="pace=0.5"))
    await_step(server, task_id, 2)
    server.kill()
    for supervisor in server.processes.supervisors():
        os.kill(supervisor, signal.SIGKILL)
    server.start(port=server.port)
    task = await_end(server, task_id, "completed")
    assert (task["attempt_count"], steps_in(server.log_of(task_id))) == (1, list(range(1, 4 * STEPS + 1)))
    assert task["progress"]["current_step"] == 4 * STEPS


def test_killed_rank_is_named_as_the_cause_and_the_retry_ends_at_the_step_that_it_announces(
    server: TrainingServer, rig: Rig
):
    request = rig.request(epochs=3, notes="pace=0.5", max_retries=1, retry_on=["host_out_of_memory"])
    task_id = server.start_task(request)
    await_step(server, task_id, STEPS + 1)
    [rank] = psutil.Process(server.task(task_id)["attempts"][0]["pid"]).children()
    rank.kill()
    await_log(server, task_id, "Resuming training from checkpoint")
    await_step(server, task_id, STEPS + 1)
    task = await_end(server, task_id, "completed")
    first, second = task["attempts"]
    assert (first["failure"]["code"], second["resumed_from"]) == ("host_out_of_memory", f"global_step{STEPS}")
    assert second["last_step"] == task["progress"]["total_steps"] == task["plan"]["total_steps"] == 3 * STEPS + 1


def test_killed_launcher_leaves_no_rank(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(epochs=9, notes="pace=0.5"))
    await_step(server, task_id, 1)
    os.kill(server.task(task_id)["attempts"][0]["pid"], signal.SIGKILL)
    task = await_end(server, task_id, "failed")
    assert task["failure"]["code"] == "host_out_of_memory"
    assert server.processes_of(task_id) == []


# -- failures --------------------------------------------------------------------------------------------------------


def test_exhausted_gpu_memory_is_named_with_a_remedy(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(notes="oom_at=3"))
    failure = await_end(server, task_id, "failed")["failure"]
    assert (failure["code"], "micro_batch_size_per_gpu" in failure["remedy"]) == ("cuda_out_of_memory", True)
    assert "Tried to allocate 2.25 GiB" in failure["detail"]


def test_exception_while_caching_ends_the_attempt_instead_of_holding_its_gpu(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(data="bad_item", notes="bad_item=3"))
    task = await_end(server, task_id, "failed")
    # It hangs, or its processes end one another: that is a matter of chance.
    assert task["failure"]["code"] == "trainer_error"
    assert "IndexError: index out of range in self" in task["failure"]["detail"]
    assert any("Traceback" in line for line in task["failure"]["last_lines"])


def test_read_only_dataset_directory_is_refused(rig: Rig, tmp_path: Path):
    data = rig.pictures("read_only")
    own = rig.server(tmp_path)
    mount = f"mount --bind '{data}' '{data}' && mount -o remount,ro,bind '{data}' && exec \"$@\""
    own.launcher = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if os.system("unshare --mount true 2> /dev/null"):
        lacks("a read-only mount needs root")
    with own:
        refused = own.post("/training/start", 422, json=rig.request(data="read_only"))
        assert [error["pointer"] for error in refused["errors"]] == ["/dataset/directories/0/path"]
        assert "cannot write its cache" in refused["errors"][0]["message"]


# -- datasets --------------------------------------------------------------------------------------------------------


def test_dataset_is_cached_ahead_and_a_training_uses_that_cache(server: TrainingServer, rig: Rig):
    server.post("/datasets", 201, json={"name": "noise", "directory": str(rig.pictures("registered"))})
    wait_for(lambda: server.get("/datasets/noise")["dataset"]["items"], "the items")
    request = rig.request(dataset={**rig.dataset(), "directories": [{"dataset": "noise"}]})
    cached = server.post("/training/cache", 201, json=request)["task_id"]
    task = await_end(server, cached, "completed")
    assert (task["kind"], steps_in(server.log_of(cached))) == ("cache", [])
    task_id = server.start_task(request)
    task = await_end(server, task_id, "completed")
    assert task["plan"]["cache"]["state"] == "complete"
    assert "[CACHE] Existing cache length: 6" in server.log_of(task_id)
    assert steps_in(server.log_of(task_id)) == list(range(1, 2 * STEPS + 1))


def test_video_training_runs_as_planned_and_names_the_files_that_it_lost(server: TrainingServer, rig: Rig):
    config = {"gradient_accumulation_steps": 1, "optimizer": {"type": "adamw", "lr": 2e-4}}
    dataset = rig.dataset(rig.videos("clips"), frame_buckets=[1, 5, 9])
    task_id = server.start_task(rig.request("wan", config=config, dataset=dataset))
    task = await_end(server, task_id, "completed")
    steps = steps_in(server.log_of(task_id))
    assert len(steps) == task["plan"]["total_steps"] == task["progress"]["total_steps"]
    warnings = " ".join(task["warnings"])
    assert "broken.mp4" in warnings
    run_dir = Path(task["run_dir"])
    assert models(server, task_id) == {f"{run_dir.name}/epoch{epoch}/adapter_model.safetensors" for epoch in (1, 2)}
    assert "adapter_config.json" in names_in(run_dir / "epoch1")


# -- rehearsals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["flux", "wan"])
def test_rehearsal_predicts_steps_and_pace_of_the_training_that_follows(server: TrainingServer, rig: Rig, kind: str):
    body = rig.request(kind, data=f"rehearsed_{kind}", notes="pace=0.8")
    if kind == "wan":
        dataset = rig.dataset(rig.videos("rehearsed_clips"), frame_buckets=[1, 5, 9])
        config = {"gradient_accumulation_steps": 1, "optimizer": {"type": "adamw", "lr": 2e-4}}
        body = rig.request(kind, config=config, dataset=dataset, notes="pace=0.8")
    task_id = str(server.post("/training/rehearse", 202, json=body)["task_id"])
    task = await_end(server, task_id, "completed")
    found, log = task["rehearsal"], server.log_of(task_id)
    assert len(steps_in(log)) == found["steps"] == task["plan"]["total_steps"]
    assert log.count("Saving model to directory") == 1
    assert len(task["plan"]["rehearsal"]["items"]) == 2
    files = server.root / "tasks" / task_id
    wait_for(lambda: names_in(files) == {"attempts", "log"}, "the removal of its files")
    directory = Path(body["dataset"]["directories"][0]["path"])
    assert "cache" not in names_in(directory)

    started = server.start_task(body)
    trained = await_end(server, started, "completed")
    assert found["total_steps"] == len(steps_in(server.log_of(started)))
    assert found["seconds_per_step"] == pytest.approx(trained["speed"]["time_per_step"], rel=0.2)
    assert found["estimated_duration"] == pytest.approx(trained["progress"]["training_time"], rel=0.5)
    assert found["saved_model_bytes"] * 2 == sum(
        one["size_bytes"] for one in server.get(f"/training/{started}/artifacts")["artifacts"] if one["kind"] == "model"
    )


# -- several GPUs, other models --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "batch"),
    [({"gradient_accumulation_steps": 1}, 2), ({"pipeline_stages": 2}, 2)],
    ids=["two ranks", "two stages"],
)
def test_two_gpus_share_a_training(server: TrainingServer, rig: Rig, config: dict[str, int], batch: int):
    task_id = server.start_task(rig.request(gpu_count=2, epochs=1, config=config))
    task = await_end(server, task_id, "completed")
    log = server.log_of(task_id)
    assert log.count(f"Global batch size = {batch}") == 2
    assert steps_in(log) == list(range(1, STEPS + 1))
    assert (task["plan"]["total_steps"], task["progress"]["current_step"]) == (STEPS, STEPS)
    assert checkpoint_steps(server, task_id) == [STEPS]


@pytest.mark.parametrize("kind", ["sd3", "qwen_image"])
def test_other_model_types_train_as_planned(server: TrainingServer, rig: Rig, kind: str):
    task_id = server.start_task(rig.request(kind, epochs=1))
    task = await_end(server, task_id, "completed", "failed")
    if "QwenEmbedRope.forward() got multiple values" in str(task["failure"]):
        pytest.skip("the trainer's code for qwen_image needs an older diffusers than this one")
    assert task["status"] == "completed", task["failure"]
    assert steps_in(server.log_of(task_id)) == list(range(1, STEPS + 1))
    assert task["plan"]["total_steps"] == STEPS
    assert checkpoint_steps(server, task_id) == [STEPS]


# -- exports ---------------------------------------------------------------------------------------------------------


def await_export(server: TrainingServer, made: dict[str, Any]) -> Path:
    """Wait until a model of a checkpoint is complete, and return its path."""
    await_end(server, made["export_id"], "completed")
    shown = server.get(f"/training/{made['task_id']}/checkpoints")["exports"]
    path = next(one["path"] for one in shown if one["export_id"] == made["export_id"])
    assert path in models(server, made["task_id"])
    return server.root / "tasks" / made["task_id"] / "output" / str(path)


def compared(rig: Rig, one: Path, other: Path) -> bool:
    """Return whether two models differ in their values. Names, shapes and types must be equal."""
    code = (
        "import sys; from safetensors.torch import load_file; one, two = map(load_file, sys.argv[1:]); assert one;"
        "assert {k: (v.shape, v.dtype) for k, v in one.items()} == {k: (v.shape, v.dtype) for k, v in two.items()};"
        "print(any((one[k].float() != two[k].float()).any() for k in one))"
    )
    command = [str(rig.python), "-c", code, str(one), str(other)]
    done = subprocess.run(command, check=True, timeout=PATIENCE, capture_output=True, text=True)
    return done.stdout.strip() == "True"


FLOAT32 = {"adapter": {"type": "lora", "rank": 4, "dtype": "float32"}}


@pytest.mark.parametrize(
    ("kind", "config"),
    [("flux", {}), ("flux", {"pipeline_stages": 2}), ("wan", FLOAT32), ("wan", {"pipeline_stages": 2}), ("sd3", {})],
    ids=["flux", "flux in two stages", "wan from float32", "wan in two stages", "sd3"],
)
def test_exported_checkpoint_equals_the_model_that_the_trainer_saved_at_its_step(
    server: TrainingServer, rig: Rig, kind: str, config: dict[str, Any]
):
    stages = config.get("pipeline_stages", 1)
    task_id = server.start_task(rig.request(kind, epochs=1, gpu_count=stages, config=config))
    saved = Path(await_end(server, task_id, "completed")["run_dir"]) / "epoch1"
    # The first export has no earlier model to compare itself with, or to copy from.
    hidden = saved.rename(saved.parents[2] / "hidden")
    made = server.post(f"/training/{task_id}/export", 202, json={"checkpoint": f"global_step{STEPS}"})
    exported = await_export(server, made).parent
    hidden.rename(saved)

    assert names_in(exported) - {".exported.json"} == names_in(saved)
    for name in names_in(saved) - {"adapter_config.json"}:
        assert (exported / name).read_bytes() == (saved / name).read_bytes(), name
    if (saved / "adapter_config.json").exists():
        theirs, ours = (json.loads((each / "adapter_config.json").read_text()) for each in (saved, exported))
        theirs["target_modules"].sort()
        assert ours.items() <= theirs.items()


# The random weights of wan give no gradients, so that its LoRA stays as it was.
@pytest.mark.parametrize(("kind", "learns"), [("flux", True), ("wan", False)])
def test_stop_that_keeps_a_lora_leaves_one_with_the_names_of_the_trainer(
    server: TrainingServer, rig: Rig, kind: str, learns: bool
):
    task_id = server.start_task(rig.request(kind, epochs=1000, notes="pace=0.3"))
    await_step(server, task_id, STEPS + 2)
    server.stop_task(task_id, keep_lora=True)
    task = await_end(server, task_id, "stopped")
    (made,) = server.get(f"/training/{task_id}/checkpoints")["exports"]
    assert made["checkpoint"] == f"global_step{task['progress']['current_step']}"
    exported = await_export(server, made)

    saved = Path(task["run_dir"]) / "epoch1" / exported.name
    assert compared(rig, exported, saved) is learns

    server.post(f"/training/resume/{task_id}", 202)
    await_step(server, task_id, task["progress"]["current_step"] + 1)


#: In bfloat16 a single step of LoKr takes minutes on a CPU.
LOKR = {"adapter": {"type": "lokr", "rank": 4, "dtype": "float32"}}
FLOAT8 = {"optimization": {"activation_checkpointing": True, "save_dtype": "float8"}}


@pytest.mark.parametrize(
    ("kind", "config", "asked"),
    [
        ("flux", {}, {"method": "resume"}),
        ("flux", FLOAT8, {}),
        ("flux", {"adapter": None}, {}),
        ("flux", {"pipeline_stages": 2, **FLOAT8}, {}),
        ("wan", LOKR, {}),
    ],
    ids=["flux", "flux in float8", "the whole flux", "flux in two stages", "wan with LoKr"],
)
def test_trainer_makes_a_model_of_a_checkpoint_with_the_names_of_its_own(
    server: TrainingServer, rig: Rig, kind: str, config: dict[str, Any], asked: dict[str, str]
):
    stages = config.get("pipeline_stages", 1)
    # One step per epoch, since those of LoKr take long on a CPU.
    dataset = rig.dataset(rig.pictures("few", 4))
    body = rig.request(kind, epochs=1, gpu_count=stages, config=config, dataset=dataset)
    body["config"] = {name: value for name, value in body["config"].items() if value is not None}
    task_id = server.start_task(body)
    task = await_end(server, task_id, "completed")
    run_dir, step = Path(task["run_dir"]), task["plan"]["total_steps"]
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    made = server.post(f"/training/{task_id}/export", 202, json={"checkpoint": f"global_step{step}", **asked})
    assert (made["method"], made["step"]) == ("resume", step + 1)
    exported = await_export(server, made)

    log = server.log_of(made["export_id"])
    assert (steps_in(log), log.count("Saving model to directory")) == ([step + 1], 1)
    assert "caching latents" not in log or "it/s" not in log.partition("caching latents")[2].partition("Resuming")[0]
    own = run_dir / "epoch1"
    assert names_in(exported.parent) - {".exported.json"} == names_in(own)
    assert exported.parent.name == f"step{step + 1}"
    assert compared(rig, exported, own / exported.name) is (kind == "flux")
    assert {path: path.read_bytes() for path in before} == before
    task = server.task(made["export_id"])
    assert (task["gpu_count"], task["plan"]["export"]["step"]) == (stages, step + 1)
    files = server.root / "tasks" / made["export_id"]
    wait_for(lambda: names_in(files) == {"attempts", "log"}, "the removal of its files")


def test_stop_that_keeps_a_lora_has_the_trainer_make_it_where_the_service_cannot(server: TrainingServer, rig: Rig):
    task_id = server.start_task(rig.request(epochs=1000, notes="pace=0.3", config=FLOAT8))
    await_step(server, task_id, STEPS + 2)
    server.stop_task(task_id, keep_lora=True)
    task = await_end(server, task_id, "stopped")
    (made,) = server.get(f"/training/{task_id}/checkpoints")["exports"]
    step = task["progress"]["current_step"]
    assert (made["checkpoint"], made["method"], made["step"]) == (f"global_step{step}", "resume", step + 1)
    exported = await_export(server, made)
    assert compared(rig, exported, Path(task["run_dir"]) / "epoch1" / exported.name)
    server.post(f"/training/resume/{task_id}", 202)
    await_step(server, task_id, step + 1)


def test_service_logged_no_error_of_its_own(server: TrainingServer):
    assert server.client.get(f"{BASE}/system/health").status_code in (200, 404)
    assert server.tracebacks() == []
