"""The service over DeepSpeed's own launcher, with a stand-in for the trainer's train.py that reproduces its failures.

It needs an environment with deepspeed, torch and toml, some hundred MB, which neither the service nor its other tests
need. Without DEEPSPEED_PYTHON, the Python of such an environment, everything here is skipped, also in CI. All runs
start together in one server, so all tests should run in one process:

    make test-launcher
"""

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deepspeed_plays import FAILURES, PLAYS, SECRET, TWO
from tests.e2e.deepspeed_runs import IMAGES, PATIENCE, Run, Stage, missing_reason, settings_for
from tests.e2e.server import ServerProcess, until

PYTHON = os.environ.get("DEEPSPEED_PYTHON")
PROBLEM = missing_reason(PYTHON)

pytestmark = [
    pytest.mark.skipif(PROBLEM is not None, reason=PROBLEM or "there is none"),
    pytest.mark.timeout(2 * PATIENCE),
]


def played(*names: str) -> Any:
    """Pass these runs to a test when they are over."""
    return pytest.mark.parametrize("run", names, indirect=True)


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Start a server and, together, every run that a selected test inspects."""
    assert PYTHON is not None
    with Stage(tmp_path_factory.mktemp("deepspeed"), PYTHON, PLAYS) as opened:
        # One of several processes does not know which tests it will get.
        if "PYTEST_XDIST_WORKER" not in os.environ:
            params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
            opened.begin_all(param["run"] for param in params if param.get("run") in PLAYS)
        yield opened


@pytest.fixture
def run(request: pytest.FixtureRequest, stage: Stage) -> Run:
    return stage.see(request.param)


def messages(run: Run) -> list[str]:
    return [event["message"] for event in run.get("/events", limit=200)["events"]]


@played(*FAILURES)
def test_failure_is_named_with_a_remedy(run: Run):
    expected, task = FAILURES[run.directory.name], run.get()
    failure = task["failure"]
    assert (task["status"], failure["code"]) == ("failed", expected.code), failure
    assert expected.detail in failure["detail"]
    assert expected.remedy.lower() in failure["remedy"].lower()
    assert any(expected.line in line for line in failure["last_lines"])
    assert run.survivors == []


@played("completes")
def test_run_completes_with_all_its_results_recorded(run: Run):
    task = run.get()
    total = 2 * IMAGES
    assert task["status"] == "completed"
    assert run.steps == list(range(1, total + 1))
    assert task["progress"]["current_step"] == task["progress"]["total_steps"] == total
    assert (task["progress"]["current_epoch"], task["progress"]["steps_per_epoch"]) == (2, IMAGES)
    assert task["metrics"]["learning_rate"] == 0.0002
    assert [(one["step"], one["is_complete"], one["is_latest"]) for one in task["checkpoints"]] == [
        (IMAGES, True, False),
        (total, True, True),
    ]
    assert [point["step"] for point in run.get("/metrics", metric="loss")["data"]] == run.steps
    models = [found["path"] for found in run.get("/artifacts")["artifacts"] if found["kind"] == "model"]
    assert [path.partition("/")[2] for path in models] == ["epoch1/lora.safetensors", "epoch2/lora.safetensors"]
    assert run.survivors == []


@played("completes")
def test_secret_reaches_the_trainer_but_no_file_of_the_run(run: Run):
    assert f"a key of {len(SECRET)} characters" in run.log
    task = Path(run.get()["output_dir"]).parent
    files = [path for path in task.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == [task / "secrets.json"]
    assert SECRET not in json.dumps(run.get())


@played("completes", "completes_on_two", "one_of_two", "other_of_two")
def test_ranks_see_exactly_the_gpus_of_the_lease(run: Run):
    indices = run.get()["attempts"][0]["gpu_ids"]
    assert run.devices == [",".join(str(index) for index in indices)] * len(indices)
    assert f"Setting CUDA_VISIBLE_DEVICES={run.devices[0]}" in run.log


@played("completes_on_two")
def test_two_ranks_share_the_batch(run: Run):
    task = run.get()
    assert task["status"] == "completed"
    assert task["attempts"][0]["gpu_ids"] == [3, 5]
    assert run.log.count("Global batch size = 2") == 2
    assert run.steps == list(range(1, IMAGES + 1))
    assert [warning for warning in task["warnings"] if "accelerator to CPU" not in warning] == []
    assert run.survivors == []


@played("one_of_two")
def test_two_concurrent_runs_have_their_own_ports(run: Run, stage: Stage):
    both = [run.get(), stage.see("other_of_two").get()]
    assert len({task["attempts"][0]["master_port"] for task in both}) == 2
    assert [(task["status"], len(task["attempts"])) for task in both] == [("stopped", 1)] * 2
    first, second = (_span(task) for task in both)
    assert max(first[0], second[0]) < min(first[1], second[1])


def _span(task: Any) -> tuple[datetime, datetime]:
    began, ended = (datetime.fromisoformat(task["attempts"][0][name]) for name in ("started_at", "ended_at"))
    return began, ended


@played("one_of_two", "other_of_two")
def test_two_ranks_obey_a_stop_with_checkpoint(run: Run):
    task = run.get()
    assert task["status"] == "stopped"
    assert task["stop"]["rung"] == "checkpoint"
    assert "stopped with a checkpoint" in " ".join(messages(run))
    assert run.log.count("Manually quitting") == 2
    assert task["checkpoints"][-1]["is_complete"]
    assert task["checkpoints"][-1]["step"] == run.steps[-1]
    assert not (run.run_dir / "save_quit").exists()
    assert run.survivors == []


@played("nan_for_ever")
def test_nan_loss_is_counted_and_reported(run: Run):
    task = run.get()
    assert task["status"] == "completed"
    assert task["metrics"]["current_loss"] is None
    assert task["metrics"]["nan_steps"] == 4 * IMAGES - 4
    assert task["metrics"]["best_loss"] is not None
    assert run.get("/metrics", metric="loss")["nan_count"] == 4 * IMAGES - 4
    assert any("losses" in message and "NaN" in message for message in messages(run))


@played("crash_at_exit")
def test_crash_after_the_final_message_is_a_success(run: Run):
    assert "exits with return code = -11" in run.log
    assert run.get()["status"] == "completed"


@played("port_in_use")
def test_port_in_use_is_retried_on_another_port(run: Run):
    task = run.get()
    first, second = task["attempts"]
    assert first["failure"]["code"] == "port_in_use"
    assert first["master_port"] != second["master_port"]
    assert (task["status"], task["retries"]) == ("completed", 0)
    assert run.survivors == []


@played("stopped_and_resumed")
def test_resume_continues_from_the_checkpoint_of_the_stop(run: Run):
    task = run.get()
    first, second = task["attempts"]
    assert second["resumed_from"] == f"global_step{first['last_step']}"
    # One step more if the checkpoint was that of an epoch's end.
    total = (first["last_step"] // IMAGES + 1) * IMAGES + (first["last_step"] % IMAGES == 0)
    assert (second["first_step"], second["last_step"]) == (first["last_step"] + 1, total)
    assert run.steps == list(range(1, total + 1))
    assert second["run_dir"] == first["run_dir"]


@played("stopped_and_resumed")
def test_leftover_save_quit_file_does_not_end_a_resumed_run(run: Run):
    assert run.get()["status"] == "completed"
    assert run.log.count("Manually quitting") == 1
    assert not (run.run_dir / "save_quit").exists()


@played("resumed_from_the_first")
def test_resume_from_an_older_checkpoint(run: Run):
    task = run.get()
    assert task["status"] == "completed"
    assert task["attempts"][1]["resumed_from"] == f"global_step{IMAGES}"
    # After the checkpoint of an epoch's end the trainer repeats a step.
    assert run.steps == [*range(1, 2 * IMAGES + 1), *range(IMAGES + 1, 3 * IMAGES + 2)]
    assert task["plan"]["total_steps"] == task["progress"]["total_steps"] == 3 * IMAGES + 1


@played("retried")
def test_retry_continues_from_the_last_complete_checkpoint(run: Run):
    task = run.get()
    assert task["status"] == "failed"
    assert [one["resumed_from"] for one in task["attempts"]] == [None, f"global_step{IMAGES}"]
    assert [one["first_step"] for one in task["attempts"]] == [1, IMAGES + 1]
    assert [one["failure"]["code"] for one in task["attempts"]] == ["trainer_error"] * 2


@played("disk_full")
def test_checkpoint_that_did_not_fit_on_the_disk_is_not_resumed_from(run: Run):
    assert [one["is_complete"] for one in run.get("/checkpoints")["checkpoints"]] == [False]
    assert run.refused_resume() == "no_checkpoint"


@played("disagreeing_ranks")
def test_stop_escalates_when_ranks_deadlock(run: Run):
    task = run.get()
    assert (task["status"], task["stop"]["rung"]) == ("stopped", "terminate")
    assert "Manually quitting" not in run.log
    assert run.survivors == []


@played("slow_to_end")
def test_stop_kills_processes_that_ignore_sigterm(run: Run):
    task = run.get()
    assert "is requested to end" in run.log
    assert (task["status"], task["stop"]["rung"]) == ("stopped", "kill")
    assert run.survivors == []


@played("ends_in_a_while")
def test_stop_waits_for_processes_that_handle_sigterm_slowly(run: Run):
    task = run.get()
    assert "is requested to end" in run.log
    assert (task["status"], task["stop"]["rung"]) == ("stopped", "terminate")
    assert run.survivors == []


@played("hang_is_reported")
def test_hang_while_caching_is_reported_and_can_be_stopped(run: Run):
    task = run.get()
    assert any("caching" in message and "seems to hang" in message for message in messages(run))
    assert (task["status"], task["stop"]["rung"]) == ("stopped", "terminate")
    assert run.survivors == []


@played("orphan_at_the_end", "orphan_at_a_stop")
def test_orphan_in_its_own_session_is_ended(run: Run):
    assert "behind" in run.log
    assert run.get()["status"] == ("completed" if run.directory.name == "orphan_at_the_end" else "stopped")
    assert run.orphans == []
    assert run.survivors == []


def test_run_outlives_a_killed_server(tmp_path: Path):
    assert PYTHON is not None
    with ServerProcess(tmp_path, settings_for(PYTHON)) as server:
        run = Run(server, tmp_path / "outlives", "", 0.2, **TWO)
        run.start()
        run.wait_for_step(2)
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.start(port=server.port)
        run.wait()
        task = run.get()
        assert (task["status"], len(task["attempts"])) == ("completed", 1)
        assert run.steps == list(range(1, IMAGES + 1))
        assert task["progress"]["current_step"] == IMAGES
        assert run.survivors == []


@played("completes")
def test_gpus_are_free_when_all_runs_are_over(run: Run, stage: Stage):
    stage.see_all()
    until(lambda: all(gpu["is_available"] for gpu in stage.server.gpus()), 90, "the GPUs")
    assert stage.server.tracebacks() == []
