from dataclasses import replace
from datetime import timedelta

from api.domain.reason import Reason
from api.domain.tasks.progress import NO_PROGRESS, Progress, ProgressReport
from api.domain.tasks.training import Attempt, AttemptStatus, StopRung, TaskStatus
from api.executors.fake import outcome
from api.training.attempts.watch.progress_reports import show_progress, unobserved_warning
from api.training.queue.forecast import Forecast
from api.training.view_builders import Waiting, show_attempt, show_progress_of, show_row, show_stopped, with_time
from tests.unit.builders import NOW
from tests.unit.trainings import TrainingMachine, steps

ATTEMPT = Attempt("t.1", "t", 1, AttemptStatus.RUNNING, "token", "here", "/d", (), (), None, NOW, NOW)


def test_training_time_sums_all_attempts_and_is_never_negative():
    first = replace(ATTEMPT, ended_at=NOW + timedelta(seconds=100))
    second = replace(ATTEMPT, started_at=NOW + timedelta(seconds=500))
    waiting = replace(ATTEMPT, started_at=None)
    shown = with_time(NO_PROGRESS, [first, second, waiting], NOW + timedelta(seconds=520))
    assert shown.progress.training_time == 120.0
    early = with_time(NO_PROGRESS, [ATTEMPT], NOW - timedelta(seconds=10))
    assert early.progress.training_time == 0.0
    assert with_time(NO_PROGRESS, [waiting], NOW) is NO_PROGRESS


def test_training_time_uses_monotonic_clocks_if_known():
    ended = replace(ATTEMPT, ended_at=NOW + timedelta(seconds=500), outcome={"seconds": 7.0})
    assert with_time(NO_PROGRESS, [ended], NOW).progress.training_time == 7.0


def test_row_of_an_unobserved_task_has_no_pace(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1, 2, 3))
    machine.train()
    live = machine.watch().show()
    seen = show_progress_of(machine.task(), machine.attempts.of_task("a"), live, machine.clock.now(), None)
    assert (seen.speed.steps_per_second, seen.progress.eta_seconds is None) == (1.0, False)
    unseen = unobserved_warning("it is elsewhere")
    hidden = replace(machine.task(), warning=unseen.text, warning_code=unseen.said)
    shown = show_progress_of(hidden, (), live, machine.clock.now(), None)
    assert (shown.speed.steps_per_second, shown.progress.eta_seconds) == (None, None)


def test_running_attempt_shows_its_steps(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(4, 5, 6))
    machine.train()
    [attempt] = machine.attempts.of_task("a")
    live = machine.watch().show()
    shown = show_attempt(attempt, live)
    assert (shown.first_step, shown.last_step) == (4, 6)
    stored = show_attempt(attempt, ProgressReport.from_json(live.as_json()))
    assert (stored.first_step, stored.last_step) == (4, 6)
    for other in (replace(attempt, uid="a.2"), replace(attempt, ended_at=NOW)):
        assert (show_attempt(other, live).first_step, show_attempt(other, live).last_step) == (None, None)


def test_loading_attempt_has_no_steps(machine: TrainingMachine):
    machine.run()
    [attempt] = machine.attempts.of_task("a")
    resumed = replace(attempt, resumed_from="global_step5")
    shown = show_attempt(resumed, show_progress(Progress(), resumed, 0.0))
    assert (shown.first_step, shown.last_step) == (None, None)


def test_row_has_a_cause_only_if_failed_and_a_waiting_reason_only_if_queued(machine: TrainingMachine):
    machine.run()
    machine.end(how=outcome(exit_code=1))
    waits = Waiting(Reason.of("needs 1 GPU", "needs_gpus"), Forecast(2, None, 5.0))
    row = show_row(machine.task(), {}, waits)
    assert row.failure is not None
    assert (row.waiting_reason, row.queue_position) == ("needs 1 GPU", 2)
    row = show_row(replace(machine.task(), status=TaskStatus.STOPPED), {}, Waiting(None, None))
    assert (row.failure, row.waiting_reason) == (None, None)


def test_request_is_shown_in_its_original_form(machine: TrainingMachine):
    machine.put("by count", count=2)
    machine.put("by name", 2, 3, "GPU-x")
    shown = [machine.parts.services.details.get(task_id).request for task_id in ("by count", "by name")]
    assert (shown[0]["gpu_count"], "gpu_ids" in shown[0]) == (2, False)
    assert (shown[1]["gpu_ids"], "gpu_count" in shown[1]) == ([3, "GPU-x"], False)


def test_configuration_text_is_shown_as_json_values(machine: TrainingMachine):
    plan = machine.plan()
    machine.put(config={}, config_toml=f"epochs = 3\nlarge = {2**70}", plan=plan)
    machine.put("broken", config={}, config_toml="epochs = ", plan=plan)
    assert machine.parts.services.details.get("a").config == {"epochs": 3, "large": str(2**70)}
    assert machine.parts.services.details.get("broken").config == {}


def test_saved_checkpoint_is_known_at_the_end(machine: TrainingMachine):
    machine.run()
    machine.saves(5)
    machine.request_task_stop()
    stopping = replace(machine.parts.services.details.get("a"), checkpoints=())
    assert show_stopped(stopping).checkpoint_saved is None
    machine.end(how=outcome(stop_rung=StopRung.CHECKPOINT))
    stopped = machine.parts.services.details.get("a")
    (only,) = stopped.checkpoints
    assert stopped.stop is not None
    late = replace(only, created_at=stopped.stop.requested_at + timedelta(seconds=1))
    assert show_stopped(replace(stopped, checkpoints=(late,))).checkpoint_saved is True
    early = replace(only, created_at=stopped.stop.requested_at - timedelta(seconds=1))
    assert show_stopped(replace(stopped, checkpoints=(early,))).checkpoint_saved is False
    assert show_stopped(replace(stopped, checkpoints=())).last_checkpoint is None
