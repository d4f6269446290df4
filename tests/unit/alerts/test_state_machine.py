"""The life of an alert, from facts alone.

`Life` evaluates one rule on one GPU, in steps of a second where that matters.
"""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.evaluation import FactTable
from api.alerts.state_machine import CALM_SECONDS, MOST_CHANGES, MOST_FLIPS, AlertStateMachine
from api.domain.alerts.alert import AlertChange, AlertState, NotificationKind, Subject
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.machines.gpu_event import Severity
from api.domain.reason import text_of
from api.util.clock import FakeClock
from tests.unit.alerts.fact_builders import HOT, firing, gpus, new_id, rule


class Life:
    def __init__(self, clock: FakeClock, *rules: AlertRule, settle: float = 0.0) -> None:
        self.clock = clock
        self.rules = {each.rule_id: each for each in rules or (HOT,)}
        self.machine = AlertStateMachine(clock, new_id, settle)
        self.machine.load([], is_start=True)
        self.changes: list[AlertChange] = []
        self.kinds: list[NotificationKind] = []

    def step(self, table: FactTable | None, after: float = 10.0) -> list[AlertChange]:
        """Run one round, this many seconds after the last."""
        self.clock.advance(after)
        tables = {} if table is None else {RuleScope.GPU: table}
        drafts = self.machine.step(self.rules, tables).all
        self.kinds += [kind for draft in drafts for kind in draft.kinds]
        made = [draft.finished(self.clock.now()) for draft in drafts]
        self.machine.commit(drafts, self.clock.now())
        self.changes += made
        return made

    def run(self, temperature: float | None, seconds: float, step: float = 10.0) -> None:
        for _ in range(round(seconds / step)):
            self.step(gpus(temperature), step)

    @property
    def state(self) -> AlertState | None:
        track = self.machine.tracks.get(("hot", "n/0"))
        return None if track is None else track.alert.state


@pytest.fixture
def life(clock: FakeClock) -> Life:
    return Life(clock)


def test_alert_is_pending_until_its_condition_has_held_long_enough(life: Life):
    life.step(gpus(90))
    assert (life.state, life.kinds) == (AlertState.PENDING, [])
    life.run(90, 50)
    assert life.state is AlertState.PENDING
    life.run(90, 10)
    assert (life.state, life.kinds) == (AlertState.FIRING, [NotificationKind.FIRING])


def test_alert_that_ends_while_pending_leaves_nothing(life: Life):
    life.run(90, 50)
    (change,) = life.step(gpus(70))
    assert (life.state, life.kinds, change.is_forgotten, change.message) == (None, [], True, None)


def test_alert_ends_at_its_clear_level(life: Life):
    life.run(90, 80)
    life.run(78, 600)
    assert life.state is AlertState.FIRING
    life.run(75, 20)
    assert life.state is AlertState.FIRING
    life.run(75, 20)
    assert (life.state, life.kinds[-1]) == (AlertState.RESOLVED, NotificationKind.RESOLVED)


def test_clear_level_must_hold_without_interruption(life: Life):
    life.run(90, 80)
    for _ in range(10):
        life.run(75, 20)
        life.run(78, 10)
    assert life.state is AlertState.FIRING


def test_unknown_facts_freeze_an_alert_and_never_end_it(life: Life):
    life.run(90, 80)
    life.run(None, 3600)
    alert = life.machine.tracks["hot", "n/0"].alert
    assert (alert.state, alert.is_unknown) == (AlertState.FIRING, True)
    life.run(90, 10)
    assert not life.machine.tracks["hot", "n/0"].alert.is_unknown
    assert life.kinds == [NotificationKind.FIRING]


def test_time_with_unknown_facts_does_not_count(life: Life):
    life.run(90, 30)
    life.run(None, 600)
    life.run(90, 30)
    assert life.state is AlertState.PENDING
    life.run(90, 20)
    assert life.state is AlertState.FIRING


def test_scope_without_facts_stays_as_it_is(life: Life):
    life.run(90, 30)
    life.step(None, 600)
    assert life.state is AlertState.PENDING
    life.run(90, 20)
    assert life.state is AlertState.PENDING


def test_alert_about_a_missing_target_ends_if_the_facts_are_complete(life: Life):
    life.run(90, 80)
    life.step(FactTable(RuleScope.GPU, (), {}, is_complete=False))
    assert life.machine.tracks["hot", "n/0"].alert.is_unknown
    life.step(FactTable(RuleScope.GPU, (), {}))
    assert life.state is AlertState.RESOLVED
    assert "no longer exists" in text_of(life.changes[-1].message or "")


def test_disabled_rule_ends_its_alerts(life: Life):
    life.run(90, 80)
    life.rules = {"hot": rule(enabled=False)}
    life.step(gpus(90))
    assert life.state is AlertState.RESOLVED


def test_alert_within_five_minutes_continues_the_incident(life: Life):
    life.run(90, 80)
    life.run(70, 60)
    life.run(90, 80)
    first, *_, third = [change.after for change in life.changes if "fires" in text_of(change.message or "")]
    assert first.alert_id == third.alert_id
    life.run(70, 600)
    life.run(90, 80)
    assert life.machine.tracks["hot", "n/0"].alert.alert_id != first.alert_id


def test_flapping_is_notified_once_until_it_ends(life: Life):
    for _ in range(20):
        life.run(90, 80)
        life.run(70, 60)
    assert life.kinds.count(NotificationKind.FLAPPING) == 1
    assert len(life.kinds) <= MOST_FLIPS + 1
    life.run(70, CALM_SECONDS + 60, step=60)
    assert life.kinds[-1] is NotificationKind.CALM
    assert life.machine.tracks.get(("hot", "n/0")) is None or not life.machine.tracks["hot", "n/0"].alert.flips


def test_higher_severity_is_notified_again(clock: FakeClock):
    life = Life(clock, rule(critical_when=["temperature_gpu >= 95"]))
    life.run(90, 80)
    life.step(gpus(96))
    alert = life.machine.tracks["hot", "n/0"].alert
    assert (alert.severity, alert.notified, life.kinds) == (Severity.CRITICAL, (), [NotificationKind.FIRING] * 2)
    life.step(gpus(90))
    assert life.machine.tracks["hot", "n/0"].alert.severity is Severity.CRITICAL


def test_nothing_fires_right_after_a_start(clock: FakeClock):
    life = Life(clock, rule(for_seconds=0), settle=20)
    life.step(gpus(90), after=0)
    assert life.state is AlertState.PENDING
    life.step(gpus(90), after=15)
    assert life.state is AlertState.PENDING
    life.step(gpus(90), after=10)
    assert life.state is AlertState.FIRING


def test_setting_the_clock_fires_and_ends_nothing(life: Life):
    life.run(90, 30)
    life.clock.jump(7200)
    life.step(gpus(90))
    assert life.state is AlertState.PENDING


def test_firing_alert_survives_a_restart_without_a_new_notification(clock: FakeClock):
    life = Life(clock)
    life.machine.load([firing(notified=("c1",))], is_start=True)
    life.run(90, 600)
    assert (life.kinds, life.state) == ([], AlertState.FIRING)
    life.run(70, 60)
    assert life.kinds == [NotificationKind.RESOLVED]


def test_pending_alert_survives_a_restart(clock: FakeClock):
    life = Life(clock)
    since = clock.now() - timedelta(seconds=50)
    life.machine.load([firing(state=AlertState.PENDING, fired_at=None, since=since)], is_start=True)
    life.run(90, 10)
    assert life.state is AlertState.FIRING


def on_gpu(subject: Subject | None, temperature: float = 90) -> FactTable:
    table = gpus(temperature)
    return replace(table, targets=tuple(replace(target, subject=subject) for target in table.targets))


def test_task_is_bound_when_the_condition_starts(life: Life, clock: FakeClock):
    first, second = Subject("first", "ann"), Subject("second", "bob")
    life.step(on_gpu(first))
    life.run(90, 20)
    (track,) = life.machine.tracks.values()
    again = Life(clock)
    again.machine.load([track.alert], is_start=True)
    for each in (life, again):
        each.step(on_gpu(second), after=60)
        (track,) = each.machine.tracks.values()
        assert (track.alert.state, track.alert.bound) == (AlertState.FIRING, first)


def test_condition_that_starts_again_binds_another_task(life: Life):
    first, second = Subject("first", "ann"), Subject("second", "bob")
    for subject, temperature in ((first, 90), (first, 90), (first, 60), (first, 60), (second, 90), (first, 90)):
        life.step(on_gpu(subject, temperature), after=60)
    (track,) = life.machine.tracks.values()
    assert (track.alert.state, track.alert.bound) == (AlertState.FIRING, second)


def test_draft_that_was_not_stored_is_made_again(life: Life, clock: FakeClock):
    life.run(90, 60)
    clock.advance(10)
    lost = life.machine.step(life.rules, {RuleScope.GPU: gpus(90)}).all
    assert [draft.after.state for draft in lost] == [AlertState.FIRING]
    assert life.state is AlertState.PENDING
    life.step(gpus(90))
    assert life.state is AlertState.FIRING


@pytest.mark.parametrize("seed", range(3))
def test_three_days_of_faults_lose_no_alert_and_leave_none_stuck(clock: FakeClock, seed: int):
    """The oracle: who was above for so long fires, who was clear for so long does not, and messages are bounded."""
    luck = random.Random(seed)
    life = Life(clock, settle=0)
    above = clear = 0.0
    for _ in range(3 * 86_400 // 30 // 10):
        value = luck.choice([90, 90, 78, 70, 70, None])
        for _ in range(luck.randint(1, 10)):
            life.step(gpus(value), after=30)
            above = above + 30 if value == 90 else above if value is None else 0.0
            clear = clear + 30 if value == 70 else clear if value is None else 0.0
            if above > 60 + 30:
                assert life.state is AlertState.FIRING
            if clear > 30 + 30:
                assert life.state is not AlertState.FIRING
    for before, after in zip(life.changes, life.changes[1:], strict=False):
        if before.after.alert_id == after.after.alert_id:
            assert after.before is not None
            assert after.before.number == before.after.number
    hours = 3 * 24
    assert len(life.kinds) <= hours * (MOST_FLIPS + 2)
    life.run(70, 2 * CALM_SECONDS, step=60)
    assert life.state is not AlertState.FIRING


def test_many_changes_are_made_in_bounded_steps_without_omission(clock: FakeClock):
    count = 4 * MOST_CHANGES + 7
    machine, rules = AlertStateMachine(clock, new_id, 0.0), {"hot": rule(for_seconds=0, clear=[], clear_seconds=0)}

    def rounds(temperature: int) -> tuple[list[int], int]:
        clock.advance(5)
        sizes, tables, is_partial = list[int](), {RuleScope.GPU: gpus(*[temperature] * count)}, True
        while is_partial:
            drafts = machine.step(rules, tables)
            is_partial = drafts.is_partial
            machine.commit(drafts.all, clock.now())
            sizes.append(len(drafts))
        return sizes, sum(track.alert.state is AlertState.FIRING for track in machine.tracks.values())

    sizes, firing = rounds(90)
    assert (max(sizes), sum(sizes), firing) == (MOST_CHANGES, count, count)
    sizes, firing = rounds(90)
    assert (sum(sizes), firing) == (0, count)
    sizes, firing = rounds(20)
    assert (max(sizes), sum(sizes), firing) == (MOST_CHANGES, count, 0)


def test_partial_step_is_restarted_after_a_reload(clock: FakeClock):
    machine, rules = AlertStateMachine(clock, new_id, 0.0), {"hot": rule(for_seconds=0)}
    tables = {RuleScope.GPU: gpus(*[90] * (MOST_CHANGES + 1))}
    assert machine.step(rules, tables).is_partial
    machine.load([], is_start=False)
    drafts = machine.step(rules, tables)
    assert (len(drafts), drafts.is_partial) == (MOST_CHANGES, True)


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_does_not_prolong_flapping(life: Life, hours: int):
    for _ in range(MOST_FLIPS):
        life.run(90, 70)
        life.run(60, 40)
    assert NotificationKind.FLAPPING in life.kinds
    life.clock.jump(hours * 3600)
    life.run(60, 20)
    life.kinds.clear()
    life.run(90, 4_000)
    assert life.state is AlertState.FIRING
    assert {NotificationKind.FIRING, NotificationKind.CALM} & set(life.kinds)
