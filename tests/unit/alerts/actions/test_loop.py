"""The loop of actions: one of all servers runs an action, once, even if servers crash."""

from datetime import timedelta

import pytest

from api.alerts.actions.loop import LEASE
from api.domain.alerts.alert_action import ActionKind, ActionState
from api.errors import DatabaseUnavailable
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    made = ActingMachine(machine)
    made.pass_start_time()
    return made


def test_one_of_two_servers_acts(acting: ActingMachine):
    other = acting.server()
    acting.fire(ActionKind.IDLE_COMMAND)
    other.run_once()
    acting.round()
    assert (acting.runs, acting.action.attempts) == (1, 1)


def test_another_machine_does_not_act(acting: ActingMachine):
    acting.fire(ActionKind.IDLE_COMMAND)
    acting.server("there").run_once()
    assert (acting.runs, acting.action.state) == (0, ActionState.WAITING)


def test_action_of_a_server_that_died_early_is_taken_over(acting: ActingMachine):
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    assert acting.store.claim("action_1", acting.clock.now(), LEASE) is not None
    assert acting.round().state is ActionState.WAITING
    assert acting.round(after=LEASE.total_seconds()).state is ActionState.DONE
    assert len(acting.machine.parts.services.holds.list()) == 1


def test_action_that_may_have_run_is_not_repeated(acting: ActingMachine):
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    acting.machine.parts.services.holds.hold_gpu(acting.gpu, "x", "rule hot", "alert_1")
    assert acting.round().state is ActionState.DONE
    assert len(acting.machine.parts.services.holds.list()) == 1


def test_unexpected_error_is_retried_and_then_reported(acting: ActingMachine, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(acting.machine.parts.services.holds, "hold_gpu", fail)
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    for _ in range(4):
        assert acting.round(after=15).state is ActionState.WAITING
    action = acting.round(after=15)
    assert (action.state, action.result) == (ActionState.FAILED, "RuntimeError: a bug")


def test_unavailable_database_delays_the_actions(acting: ActingMachine, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    with monkeypatch.context() as patched:
        patched.setattr(acting.machine.parts.services.holds, "hold_gpu", away)
        acting.loop.run_once()
    assert acting.action.state is ActionState.WAITING
    assert acting.round(after=(LEASE + timedelta(seconds=1)).total_seconds()).state is ActionState.DONE
