"""What rules do: by the same services as requests, each once, and told how it ended."""

from datetime import timedelta

import pytest

from api.alerts.action_deeds import CommandEnd
from api.domain.alert_action import ActionKind, ActionState
from api.domain.training import StopRung
from api.executors.fake import outcome
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine, steps

STOP, IDLE = ActionKind.STOP_WITH_CHECKPOINT, ActionKind.IDLE_COMMAND


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    return ActingMachine(machine)


@pytest.fixture
def training(acting: ActingMachine) -> ActingMachine:
    """One on which the training `a` makes steps."""
    machine = acting.machine
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.clock.advance(6.0)
    machine.train()
    return acting


def test_a_training_is_stopped_with_a_checkpoint_and_the_result_names_it(training: ActingMachine):
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


def test_a_stop_that_somebody_asked_for_is_left_as_it_is(training: ActingMachine):
    training.machine.ask_to_stop(force=True)
    training.fire(STOP, "a")
    training.round()
    stop = training.machine.task().stop
    assert stop is not None
    assert (stop.force, stop.actor) == (True, "ann")


def test_what_has_ended_already_is_not_stopped(acting: ActingMachine):
    acting.machine.run()
    acting.machine.end()
    acting.fire(STOP, "a")
    assert acting.round().state is ActionState.SKIPPED


def test_one_that_does_not_stop_is_a_failure(training: ActingMachine):
    training.fire(STOP, "a")
    training.round()
    action = training.round(after=timedelta(hours=3).total_seconds())
    assert (action.state, training.ends) == (ActionState.FAILED, 1)
    assert training.store.failed_since(training.clock.now() - timedelta(hours=1)) == [action]


def test_a_rule_of_one_user_does_not_touch_anothers_task(training: ActingMachine):
    training.fire(STOP, "a", acts_for="bob")
    assert training.round().state is ActionState.FAILED
    assert training.machine.task().stop is None


def test_a_gpu_is_held_while_the_alert_is_open(acting: ActingMachine):
    alert = acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    assert acting.round().state is ActionState.DONE
    assert [gpu.judgement.is_available for gpu in acting.machine.gpus.state.gpus] == [True, False, True, True]
    acting.resolve(alert)
    acting.round()
    assert all(gpu.judgement.is_available for gpu in acting.machine.gpus.state.gpus)


def test_a_gpu_that_is_not_there_is_a_failure_and_an_ended_alert_holds_nothing(acting: ActingMachine):
    alert = acting.fire(ActionKind.HOLD_GPU, "GPU-gone")
    assert acting.round().state is ActionState.FAILED
    acting.resolve(alert)
    assert acting.machine.parts.holds.list() == []


def test_the_idle_command_runs_once_and_the_audit_knew_before(acting: ActingMachine):
    acting.come_up()
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, acting.runs) == (ActionState.DONE, 1)
    assert [str(entry.after["result"]) for entry in acting.audited] == ["is begun", "done: the command has ended well"]
    acting.round(after=600)
    assert acting.runs == 1


def test_no_command_runs_where_something_runs_or_waits(acting: ActingMachine):
    acting.come_up()
    acting.machine.put()
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, acting.runs) == (ActionState.SKIPPED, 0)
    assert "1 task waits" in str(action.result)


def test_no_command_runs_once_somebody_knows_of_it(acting: ActingMachine):
    acting.come_up()
    acting.fire(IDLE, wait=60)
    acting.loop.run_once()
    acting.alerts.acknowledge("alert_1", "ann", None, "", acting.clock.now())
    assert acting.round(after=61).state is ActionState.SKIPPED
    assert acting.runs == 0


def test_a_command_that_fails_is_told(acting: ActingMachine):
    acting.come_up()
    acting.command[0] = CommandEnd("/bin/off ended with 1: not permitted")
    acting.fire(IDLE)
    action = acting.round()
    assert (action.state, action.result) == (ActionState.FAILED, "/bin/off ended with 1: not permitted")


def test_a_command_during_which_the_service_ended_is_not_repeated(acting: ActingMachine):
    acting.come_up()
    acting.fire(IDLE)
    claimed = acting.store.claim("action_1", acting.clock.now(), timedelta(seconds=10))
    assert claimed is not None
    assert acting.store.begin("action_1", claimed[1])
    action = acting.round(after=11)
    assert (action.state, acting.runs) == (ActionState.FAILED, 0)
    assert "not repeated" in str(action.result)


def test_a_command_that_is_no_longer_set_is_not_run(machine: TrainingMachine):
    acting = ActingMachine(machine, has_command=False)
    acting.fire(IDLE)
    assert acting.round().state is ActionState.FAILED


def test_a_stop_that_waited_for_an_alert_that_has_ended_is_not_carried_out(training: ActingMachine):
    alert = training.fire(STOP, "a")
    training.clock.advance(6_000)
    training.resolve(alert)
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "the alert has ended, or is silenced")
    assert training.machine.task().stop is None


def test_a_stop_of_another_attempt_is_not_carried_out(training: ActingMachine):
    training.fire(STOP, "a", attempt=2)
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "another attempt of the task has begun since")
    assert training.machine.task().stop is None


def test_a_task_that_has_left_the_gpu_is_not_stopped(training: ActingMachine):
    training.fire(STOP, "a", labels={"gpu_uuid": "GPU-another", "node": "here"})
    action = training.round()
    assert (action.state, action.result) == (ActionState.SKIPPED, "the task is not on the GPU any more")
    assert training.machine.task().stop is None


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_set_takes_nobodys_time_to_object(acting: ActingMachine, hours: int):
    acting.come_up()
    acting.fire(IDLE, wait=60.0)
    assert acting.round().state is ActionState.WAITING
    acting.clock.jump(hours * 3600)
    acting.round(after=50)
    assert acting.runs == 0
    assert (acting.round(after=11).state, acting.runs) == (ActionState.DONE, 1)
