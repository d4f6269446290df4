"""The ages of actions, independent of the wall clock."""

from dataclasses import replace
from datetime import timedelta

from api.alerts.action_ages import ActionAges
from api.domain.alert_action import ActionKind, ActionState, AlertAction
from api.util.clock import FakeClock

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
