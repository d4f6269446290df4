"""The loop of actions: of all servers one acts, after any end of a server, and once."""

from datetime import timedelta

import pytest

from api.alerts.action_loop import LEASE
from api.domain.alert_action import ActionKind, ActionState
from api.errors import DatabaseUnavailable
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    made = ActingMachine(machine)
    made.come_up()
    return made


def test_of_two_servers_one_acts(acting: ActingMachine):
    other = acting.server()
    acting.fire(ActionKind.IDLE_COMMAND)
    other.run_once()
    acting.round()
    assert (acting.runs, acting.action.attempts) == (1, 1)


def test_another_machine_leaves_it_alone(acting: ActingMachine):
    acting.fire(ActionKind.IDLE_COMMAND)
    acting.server("there").run_once()
    assert (acting.runs, acting.action.state) == (0, ActionState.WAITING)


def test_what_a_server_left_before_it_did_anything_is_done_by_the_next(acting: ActingMachine):
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    assert acting.store.claim("action_1", acting.clock.now(), LEASE) is not None
    assert acting.round().state is ActionState.WAITING
    assert acting.round(after=LEASE.total_seconds()).state is ActionState.DONE
    assert len(acting.machine.parts.holds.list()) == 1


def test_what_was_done_and_not_noted_is_not_done_twice(acting: ActingMachine):
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    acting.machine.parts.holds.hold_gpu(acting.gpu, "x", "rule hot", "alert_1")
    assert acting.round().state is ActionState.DONE
    assert len(acting.machine.parts.holds.list()) == 1


def test_a_fault_of_ours_is_tried_some_times_and_then_told(acting: ActingMachine, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(acting.machine.parts.holds, "hold_gpu", fail)
    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    for _ in range(4):
        assert acting.round(after=15).state is ActionState.WAITING
    action = acting.round(after=15)
    assert (action.state, action.result) == (ActionState.FAILED, "RuntimeError: a bug")


def test_a_database_that_is_away_is_waited_for(acting: ActingMachine, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    acting.fire(ActionKind.HOLD_GPU, acting.gpu)
    with monkeypatch.context() as patched:
        patched.setattr(acting.machine.parts.holds, "hold_gpu", away)
        acting.loop.run_once()
    assert acting.action.state is ActionState.WAITING
    assert acting.round(after=(LEASE + timedelta(seconds=1)).total_seconds()).state is ActionState.DONE
