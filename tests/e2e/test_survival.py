"""Trainings outlive the server, end on request, and leave nothing behind."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import chaos
from tests.e2e.server import until
from tests.e2e.toy_tasks import COMPLETED, NASTY, QUIT, toy
from tests.e2e.training_server import FINISHED, LONG, TrainingServer, kill
from tests.e2e.truth import check_events, leases
from tests.e2e.witness import runs
from tests.lengths import length
from tests.patience import BUSY_SECONDS

ENDLESS = toy(100_000, step_seconds=0.1)


def _complete(task: dict[str, Any]) -> list[str]:
    return [checkpoint["name"] for checkpoint in task["checkpoints"] if checkpoint["is_complete"]]


# -- a killed server ---------------------------------------------------------------------------------------------------


class Killed:
    """Trainings of a killed server, which was restarted after those that could end had ended."""

    def __init__(self, server: TrainingServer) -> None:
        self.server = server
        self.long = server.start_task(ENDLESS)
        self.stopping = server.start_task(ENDLESS)
        self.keyed = server.start_task(ENDLESS, key="over-a-kill")
        for task_id in (self.long, self.stopping, self.keyed):
            server.await_step(task_id, 3)
        self.completes = server.start_task(toy(50, step_seconds=0.1))
        self.fails = server.start_task(toy(50, step_seconds=0.1, knobs={"fail_at_step": 45, "fail_with": "cuda_oom"}))
        self.waiting = server.start_task(toy(gpus=8))
        for task_id in (self.completes, self.fails):
            server.main_of(task_id)
        self.main = server.main_of(self.long)
        self.log = server.log_of(self.long)
        server.stop_task(self.stopping)
        server.kill()
        until(lambda: all(self._has_ended(task_id) for task_id in (self.completes, self.fails)), LONG)
        server.start()

    def _has_ended(self, task_id: str) -> bool:
        return (self.server.root / "tasks" / task_id / "attempts" / "1" / "exit.json").exists()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    with TrainingServer(tmp_path_factory.mktemp("killed")) as server:
        yield Killed(server)


@pytest.mark.quick
def test_training_outlives_its_server_and_is_adopted(killed: Killed) -> None:
    server, task_id = killed.server, killed.long
    step = server.task(task_id)["progress"]["current_step"] or 0
    task = server.await_step(task_id, step + 5)
    assert task["status"] == "running"
    assert task["attempt_count"] == 1
    assert server.main_of(task_id) == killed.main
    assert task["attempts"][0]["pid"] == killed.main.pid
    log = server.log_of(task_id)
    assert log.startswith(killed.log)
    steps = server.attempts_of(task_id)[0].steps
    assert steps == list(range(1, steps[-1] + 1))


@pytest.mark.quick
def test_training_that_ended_meanwhile_gets_its_true_outcome(killed: Killed) -> None:
    completed = killed.server.await_status(killed.completes, "completed")
    failed = killed.server.await_status(killed.fails, "failed")
    assert completed["attempts"][0]["exit_code"] == 0
    assert completed["progress"]["current_step"] == 50
    assert failed["attempts"][0]["exit_code"] == 1
    assert failed["failure"]["code"] == "cuda_out_of_memory"
    curve = killed.server.get(f"/training/{killed.completes}/metrics")["data"]
    assert [point["step"] for point in curve] == list(range(1, 51))


def test_queued_task_stays_queued_when_its_server_is_killed(killed: Killed) -> None:
    task = killed.server.task(killed.waiting)
    assert task["status"] == "queued"
    assert task["attempt_count"] == 0
    reason = until(lambda: (r := killed.server.task(killed.waiting)["waiting_reason"]) and "held by" in r and r)
    assert killed.long in reason


def test_stop_requested_before_a_kill_is_carried_out(killed: Killed) -> None:
    task = killed.server.await_status(killed.stopping, "stopped")
    assert QUIT in killed.server.log_of(killed.stopping)
    assert _complete(task)
    assert not killed.server.processes_of(killed.stopping)


def test_idempotency_key_makes_one_task_over_a_kill(killed: Killed) -> None:
    assert killed.server.start_task(ENDLESS, key="over-a-kill") == killed.keyed
    assert len(killed.server.task_ids()) == 6


def test_every_chain_of_events_is_complete_after_a_kill(killed: Killed) -> None:
    for task_id in killed.server.task_ids():
        events = killed.server.task_events(task_id)
        assert not list(check_events(events, killed.server.task(task_id)["status"]))


def test_killed_supervisor_is_replaced(killed: Killed) -> None:
    server, task_id = killed.server, killed.keyed
    main = server.main_of(task_id)
    old = next(pid for pid, where in server.processes.supervisors().items() if where.parent.parent.name == task_id)
    kill(old)
    step = server.task(task_id)["progress"]["current_step"] or 0
    server.await_step(task_id, step + 10)
    assert server.main_of(task_id) == main
    assert server.task(task_id)["attempt_count"] == 1
    server.stop_task(task_id)
    task = server.await_status(task_id, "stopped")
    assert QUIT in server.log_of(task_id)
    assert _complete(task)


def test_last_output_is_stored_when_server_and_supervisor_are_killed_together(tmp_path: Path) -> None:
    with TrainingServer(tmp_path / "orphaned") as server:
        task_id = server.start_task(toy(60, step_seconds=0.1))
        server.await_step(task_id, 40)
        main = server.main_of(task_id)
        supervisors = server.processes.supervisors()
        server.kill()
        for pid in supervisors:
            kill(pid)
        until(lambda: not runs(main.identity), LONG, "the end of the trainer")
        server.start()
        task = server.await_status(task_id, "completed")
        assert task["attempt_count"] == 1
        assert server.attempts_of(task_id)[0].steps == list(range(1, 61))
        assert COMPLETED in server.log_of(task_id)


def test_sigterm_ends_the_server_but_no_training(killed: Killed) -> None:
    server, task_id = killed.server, killed.long
    main = server.main_of(task_id)
    steps = len(server.attempts_of(task_id)[0].steps)
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    until(lambda: len(server.attempts_of(task_id)[0].steps) > steps + 5, LONG, "more steps")
    assert runs(main.identity)
    server.start()
    server.await_step(task_id, steps + 10)
    assert server.main_of(task_id) == main


# -- two servers on one storage ----------------------------------------------------------------------------------------


def _runs_trainings(server: TrainingServer) -> bool:
    return any(line["message"] == "this server looks after the trainings" for line in server.log())


def test_one_of_two_servers_runs_the_trainings_and_the_other_takes_over(tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    with (
        TrainingServer(tmp_path / "first", STORAGE_ROOT=storage) as first,
        TrainingServer(tmp_path / "second", STORAGE_ROOT=storage) as second,
    ):
        until(lambda: _runs_trainings(first))
        task_id, waiting = second.start_task(ENDLESS), second.start_task(toy(gpus=8))
        first.await_step(task_id, 3)
        second.await_step(task_id, 3)
        assert not _runs_trainings(second)
        main = first.main_of(task_id)
        reason = until(lambda: (r := second.task(waiting)["waiting_reason"]) and "held by" in r and r)
        assert task_id in reason
        # What the second server acknowledges while no server runs the trainings is done by the next leader.
        first.send_signal(signal.SIGSTOP)
        second.stop_task(task_id)
        assert second.task(task_id)["status"] == "stopping"
        first.kill()
        until(lambda: _runs_trainings(second))
        second.await_status(task_id, "stopped")
        assert QUIT in second.log_of(task_id)
        assert not runs(main.identity)
        second.await_status(waiting, "completed")


# -- trainings with problems -------------------------------------------------------------------------------------------


class Troubled:
    """A server with a training for every problem, all at the same time."""

    def __init__(self, server: TrainingServer) -> None:
        self.server = server
        holds_on = NASTY | {"ignore_sigterm": True, "spawn_children": 4}
        self.hostile = server.start_task(toy(100_000, step_seconds=0.1, gpus=2, knobs=holds_on))
        self.hangs = server.start_task(toy(1000, knobs={"hang_at_step": 5, "ignore_sigterm": True}))
        self.hangs_and_stops = server.start_task(toy(1000, knobs={"hang_at_step": 5}, stop_on_hang=True))
        fails_once = {"fail_at_step": 25, "fail_once": True}
        self.fails_once = server.start_task(toy(40, knobs=fails_once, max_retries=1))
        again = {"fail_at_step": 15, "fail_once": True}
        self.repeats = server.start_task(toy(10, 2, every=None, knobs=again, max_retries=1))
        port = {"fail_at_step": 0, "fail_once": True, "fail_with": "port_in_use"}
        self.port = server.start_task(toy(10, knobs=port))
        self.prunes = server.start_task(toy(120, step_seconds=0.1, every=5, keep_last_checkpoints=2))


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    settings = {"HANG_STEP_SECONDS": "2", "HANG_QUIET_SECONDS": "30", "STOP_CHECKPOINT_SECONDS": "2"}
    with TrainingServer(tmp_path_factory.mktemp("troubled"), **settings) as server:
        yield Troubled(server)


def test_hostile_tree_is_ended_within_its_grace_period(troubled: Troubled) -> None:
    server, task_id = troubled.server, troubled.hostile
    server.await_step(task_id, 3)
    until(lambda: len(server.processes_of(task_id)) >= 6, LONG, "its children")
    identities = {process.identity for process in server.processes_of(task_id)}
    began = time.monotonic()
    server.stop_task(task_id, force=True)
    server.await_status(task_id, "stopped")
    assert time.monotonic() - began < 1 + 5 + BUSY_SECONDS
    assert not server.processes_of(task_id)
    assert not [identity for identity in identities if runs(identity)]
    assert not server.processes.zombies_of(identities)
    until(lambda: not [lease for lease in leases(server.root) if lease[1] == f"{task_id}.1"], LONG, "its GPUs")


def test_plan_of_a_retry_has_the_step_that_the_trainer_repeats(troubled: Troubled) -> None:
    task = troubled.server.await_status(troubled.repeats, "completed")
    assert task["attempts"][1]["resumed_from"] == "global_step10"
    assert (task["plan"]["total_steps"], task["progress"]["total_steps"], task["attempts"][1]["last_step"]) == (21,) * 3


def test_hang_is_a_warning_with_the_last_lines(troubled: Troubled) -> None:
    server, task_id = troubled.server, troubled.hangs
    warning = until(lambda: server.task_events(task_id, "warning"), LONG, "a warning")[0]
    assert "hang" in warning["message"]
    assert "steps: 4" in "\n".join(warning["details"]["last_lines"])


def test_rungs_of_a_stop_are_visible(troubled: Troubled) -> None:
    server, task_id = troubled.server, troubled.hangs
    until(lambda: server.task_events(task_id, "warning"), LONG, "a warning")
    seen = [server.stop_task(task_id)["stop"]["rung"]]
    while (task := server.task(task_id))["status"] not in FINISHED:
        if task["stop"]["rung"] != seen[-1]:
            seen.append(task["stop"]["rung"])
    # The kill is too short to be observed reliably.
    assert seen[:2] == ["checkpoint", "terminate"]
    assert task["status"] == "stopped"
    assert "SIGKILL" in server.task_events(task_id, "status")[-1]["message"]
    assert task["attempts"][0]["signal"] == signal.SIGKILL


def test_hang_fails_the_task_if_requested(troubled: Troubled) -> None:
    task = troubled.server.await_status(troubled.hangs_and_stops, "failed")
    assert task["failure"]["code"] == "hang"
    assert "steps: 4" in "\n".join(task["failure"]["last_lines"])


def test_retry_resumes_from_the_last_complete_checkpoint(troubled: Troubled) -> None:
    task = troubled.server.await_status(troubled.fails_once, "completed")
    first, second = task["attempts"]
    assert (first["failure"]["code"], first["last_step"]) == ("trainer_error", 24)
    assert (second["resumed_from"], second["first_step"], second["last_step"]) == ("global_step20", 21, 40)
    assert task["retries"] == 1
    curve = troubled.server.get(f"/training/{troubled.fails_once}/metrics")["data"]
    assert [point["step"] for point in curve] == list(range(1, 41))


def test_port_in_use_is_retried_with_another_one(troubled: Troubled) -> None:
    task = troubled.server.await_status(troubled.port, "completed")
    first, second = task["attempts"]
    assert first["failure"]["code"] == "port_in_use"
    assert first["master_port"] != second["master_port"]
    assert task["retries"] == 0


def test_old_checkpoints_are_removed_but_never_the_last_complete_one(troubled: Troubled) -> None:
    server, task_id = troubled.server, troubled.prunes
    removed = until(lambda: [e for e in server.task_events(task_id, "checkpoint") if "was deleted" in e["message"]])
    assert "global_step5" in {each["previous"] for each in removed}
    task = server.await_status(task_id, "completed")
    assert _complete(task) == ["global_step115", "global_step120"]


# -- assignment of GPUs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server_of_four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("four"), SIMULATED_GPUS="4x NVIDIA GeForce RTX 4090") as server:
        yield server


@pytest.fixture
def four(server_of_four: TrainingServer) -> TrainingServer:
    """Return a server with four free GPUs."""
    server_of_four.make_idle()
    return server_of_four


def test_gpu_is_draining_and_then_free_after_the_end(four: TrainingServer) -> None:
    task_id = four.start_task(toy(10, gpus=[2]))
    four.await_status(task_id, "completed")
    until(lambda: four.gpu(2)["is_available"], what="a free GPU")
    changes = [event["current"] for event in reversed(four.events(gpu_id="2")) if event["type"] == "status"]
    assert changes[-3:] == ["training", "draining", "available"]
    assert not leases(four.root)


def test_number_of_running_tasks_is_limited(tmp_path: Path) -> None:
    with TrainingServer(tmp_path / "one", MAX_CONCURRENT_TASKS="1") as server:
        tasks = [server.start_task(toy(15)) for _ in range(3)]
        until(lambda: "MAX_CONCURRENT_TASKS" in (server.task(tasks[2])["waiting_reason"] or ""))
        mains: set[str] = set()
        while any(server.task(task_id)["status"] not in FINISHED for task_id in tasks):
            together = {process.uid for process in server.processes.trainers() if process.is_main}
            assert len(together) <= 1
            mains |= together
        assert [uid.rpartition(".")[0] for uid in sorted(mains)] == sorted(tasks)
        assert all(COMPLETED in server.log_of(task_id) for task_id in tasks)


# -- everything together -----------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_under_random_kills(tmp_path: Path) -> None:
    report = chaos.run(tmp_path, kills=length(12, 6), seed=time.time_ns(), seconds=length(30, 15))
    assert not report.violations, "\n".join([*report.violations, str(report)])
    assert report.figures["kills"] > 1
    assert report.figures["tasks"] > 1
