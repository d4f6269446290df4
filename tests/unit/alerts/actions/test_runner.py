"""Actions of rules: they use the same services as requests, run once, and record their result."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.actions.runner import ActionAges, CommandOutcome
from api.domain.alerts.alert_action import ActionKind, ActionState, AlertAction
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import StopRung
from api.executors.fake import outcome
from api.util.clock import FakeClock
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine, steps

STOP, IDLE = ActionKind.STOP_WITH_CHECKPOINT, ActionKind.IDLE_COMMAND


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    return ActingMachine(machine)


@pytest.fixture
def training(acting: ActingMachine) -> ActingMachine:
    """Return a machine on which the training `a` runs."""
    machine = acting.machine
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.clock.advance(6.0)
    machine.train()
    return acting


def test_training_is_stopped_with_a_checkpoint_that_the_result_names(training: ActingMachine):
    training.fire(STOP, "a")
    assert training.round().state is ActionState.UNDERWAY
    stop = training.machine.task().stop
    assert stop is not None
    assert (stop.force, stop.rung, stop.actor) == (False, StopRung.CHECKPOINT, "rule hot")
    training.machine.train()
    training.machine.saves(7)
    training.machine.end(how=outcome(phrases=["Manually quitting"]))
    action = training.round(after=6)
    assert (action.state, action.result) == (ActionState.DONE, "stopped; its last checkpoint is global_step7")
    history = training.alerts.history("alert_1")
    assert history[-1].message == "stop_with_checkpoint done: stopped; its last checkpoint is global_step7"
    assert [(entry.operation, entry.object) for entry in training.audited] == [
        ("alert action stop_with_checkpoint", "a")
    ]


def test_requested_stop_is_left_as_it_is(training: ActingMachine):
    training.machine.request_task_stop(force=True)
    training.fire(STOP, "a")
    training.round()
    stop = training.machine.task().stop
    assert stop is not None
    assert (stop.force, stop.actor) == (True, "ann")


def test_finished_task_is_not_stopped(acting: ActingMachine):
    acting.machine.run()
    acting.machine.end()
    acting.fire(STOP, "a")
    assert acting.round().state is ActionState.SKIPPED


def test_task_that_does_not_stop_is_a_failure(training: ActingMachine):
    training.fire(STOP, "a")
    training.round()
    action = training.round(after=timedelta(hours=3).total_seconds())
    assert (action.state, training.ends) == (ActionState.FAILED, 1)
    assert training.store.failed_since(training.clock.now() - timedelta(hours=1)) == [action]


def test_rule_of_one_user_does_not_affect_tasks_of_another(training: ActingMachine):
    training.fire(STOP, "a", acts_for="bob")
    assert training.round().state is ActionState.FAILED
    assert training.machine.task().stop is None


def test_gpu_is_held_while_the_alert_is_open(acting: ActingMachine):
    alert = acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    assert acting.round().state is ActionState.DONE
    assert [gpu.judgement.is_available for gpu in acting.machine.gpus.state.gpus] == [True, False, True, True]
    acting.resolve(alert)
    acting.round()
    assert all(gpu.judgement.is_available for gpu in acting.machine.gpus.state.gpus)


def test_missing_gpu_is_a_failure_and_a_resolved_alert_holds_nothing(acting: ActingMachine):
    alert = acting.fire(ActionKind.HOLD_GPU, "GPU-gone")
    assert acting.round().state is ActionState.FAILED
    acting.resolve(alert)
    assert acting.machine.parts.services.holds.list() == []


def test_idle_command_runs_once_and_is_audited_before(acting: ActingMachine):
    acting.pass_start_time()
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, acting.runs) == (ActionState.DONE, 1)
    assert [str(entry.after["result"]) for entry in acting.audited] == ["started", "done: the command succeeded"]
    acting.round(after=600)
    assert acting.runs == 1


def test_command_does_not_run_on_a_busy_machine(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.put()
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, acting.runs) == (ActionState.SKIPPED, 0)
    assert "1 task waits" in str(action.result)


def test_command_does_not_run_after_an_acknowledgement(acting: ActingMachine):
    acting.pass_start_time()
    acting.fire(IDLE, wait=60)
    acting.loop.run_once()
    acting.alerts.acknowledge("alert_1", "ann", None, "", acting.clock.now())
    assert acting.round(after=61).state is ActionState.SKIPPED
    assert acting.runs == 0


def test_failed_command_is_reported(acting: ActingMachine):
    acting.pass_start_time()
    acting.command[0] = CommandOutcome("/bin/off ended with 1: not permitted")
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, action.result) == (ActionState.FAILED, "/bin/off ended with 1: not permitted")


def test_command_that_was_interrupted_by_a_restart_is_not_repeated(acting: ActingMachine):
    acting.pass_start_time()
    acting.fire(IDLE)
    claimed = acting.store.claim("action_1", acting.clock.now(), timedelta(seconds=10))
    assert claimed is not None
    assert acting.store.begin("action_1", claimed[1])
    action = acting.round(after=11)
    assert (action.state, acting.runs) == (ActionState.FAILED, 0)
    assert "not repeated" in str(action.result)


def test_command_that_is_no_longer_configured_does_not_run(machine: TrainingMachine):
    acting = ActingMachine(machine, has_command=False)
    acting.fire(IDLE)
    assert acting.round().state is ActionState.FAILED


def test_stop_is_skipped_if_its_alert_has_ended(training: ActingMachine):
    alert = training.fire(STOP, "a")
    training.clock.advance(6_000)
    training.resolve(alert)
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "the alert has ended or is silenced")
    assert training.machine.task().stop is None


def test_stop_is_skipped_for_another_attempt(training: ActingMachine):
    training.fire(STOP, "a", attempt=2)
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "the task has started another attempt since")
    assert training.machine.task().stop is None


def test_task_that_has_left_the_gpu_is_not_stopped(training: ActingMachine):
    training.fire(STOP, "a", labels={"gpu_uuid": "GPU-another", "node": "here"})
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "the task no longer runs on the GPU")
    assert training.machine.task().stop is None


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_does_not_shorten_the_grace_period(acting: ActingMachine, hours: int):
    acting.pass_start_time()
    acting.fire(IDLE, wait=60.0)
    assert acting.round().state is ActionState.WAITING
    acting.clock.jump(hours * 3600)
    acting.round(after=50)
    assert acting.runs == 0
    assert (acting.round(after=11).state, acting.runs) == (ActionState.DONE, 1)


FIRST = AlertAction(
    "action_1", "alert_1", 1, ActionKind.IDLE_COMMAND, "r", "here", None, None, None, "root", ActionState.WAITING,
    FakeClock().now(), FakeClock().now() + timedelta(seconds=60), 0, None, None,
)  # fmt: skip


def test_action_ages_by_the_monotonic_clock(clock: FakeClock):
    ages = ActionAges(clock)
    assert (ages.of(FIRST), ages.has_had_grace(FIRST)) == (0.0, False)
    clock.jump(25 * 3600)
    clock.advance(59)
    assert not ages.has_had_grace(FIRST)
    clock.advance(1)
    assert (ages.of(FIRST), ages.has_had_grace(FIRST)) == (60.0, True)


def test_action_of_a_former_process_gets_its_full_grace_period(clock: FakeClock):
    ages, seen = ActionAges(clock), replace(FIRST, attempts=3, not_before=FIRST.created_at)
    clock.advance(59)
    assert not ages.has_had_grace(seen)
    clock.advance(60)
    assert ages.has_had_grace(seen)


def idle(acting: ActingMachine) -> float:
    acting.clock.advance(20)
    acting.machine.gpus._monitor.sweep()
    return acting.idle.fact()


def test_machine_is_not_idle_right_after_its_start(acting: ActingMachine):
    assert idle(acting) == 0
    acting.pass_start_time()
    assert idle(acting) == 1
    assert acting.idle.find_work() is None


def test_queued_and_running_tasks_keep_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.put()
    assert idle(acting) == 0
    assert acting.idle.find_work() == "1 task waits"
    acting.machine.train()
    assert idle(acting) == 0
    assert acting.idle.find_work() == "1 attempt runs"


def test_program_on_a_gpu_keeps_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.gpus.tasks.register([0], TaskType.EXTERNAL, "ext_1")
    assert idle(acting) == 0
    assert acting.idle.find_work() == "ext_1 uses GPU 0"


def test_held_gpu_does_not_keep_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.parts.services.holds.hold_gpu("0", "why", "root")
    assert idle(acting) == 1


def test_unreadable_gpu_is_not_idle(acting: ActingMachine):
    acting.pass_start_time()
    acting.clock.advance(100_000)
    acting.machine.gpus.check_freshness()
    assert math.isnan(acting.idle.fact())
    assert acting.idle.find_work() == "the use of its GPUs is unknown"
