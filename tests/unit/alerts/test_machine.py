"""The life of an alert, from facts alone. `Life` plays one rule over one GPU, a second at a time where it matters."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.evaluation import FactTable
from api.alerts.machine import CALM_SECONDS, MOST_CHANGES, MOST_FLIPS, AlertMachine
from api.domain.alert import AlertChange, AlertState, NotificationKind, Subject
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.event import Severity
from api.util.clock import FakeClock
from tests.unit.alerts.facts import HOT, firing, gpus, new_id, rule


class Life:
    def __init__(self, clock: FakeClock, *rules: AlertRule, settle: float = 0.0) -> None:
        self.clock = clock
        self.rules = {each.rule_id: each for each in rules or (HOT,)}
        self.machine = AlertMachine(clock, new_id, settle)
        self.machine.load([], is_start=True)
        self.changes: list[AlertChange] = []
        self.kinds: list[NotificationKind] = []

    def look(self, table: FactTable | None, after: float = 10.0) -> list[AlertChange]:
        """One round, so many seconds after the last."""
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
            self.look(gpus(temperature), step)

    @property
    def state(self) -> AlertState | None:
        track = self.machine.tracks.get(("hot", "n/0"))
        return None if track is None else track.alert.state


@pytest.fixture
def life(clock: FakeClock) -> Life:
    return Life(clock)


def test_it_is_pending_until_the_condition_has_held_long_enough(life: Life):
    life.look(gpus(90))
    assert (life.state, life.kinds) == (AlertState.PENDING, [])
    life.run(90, 50)
    assert life.state is AlertState.PENDING
    life.run(90, 10)
    assert (life.state, life.kinds) == (AlertState.FIRING, [NotificationKind.FIRING])


def test_one_that_ends_while_pending_leaves_nothing_behind(life: Life):
    life.run(90, 50)
    (change,) = life.look(gpus(70))
    assert (life.state, life.kinds, change.is_forgotten, change.message) == (None, [], True, None)


def test_it_ends_at_its_clear_level_and_not_just_below_its_threshold(life: Life):
    life.run(90, 80)
    life.run(78, 600)
    assert life.state is AlertState.FIRING
    life.run(75, 20)
    assert life.state is AlertState.FIRING
    life.run(75, 20)
    assert (life.state, life.kinds[-1]) == (AlertState.RESOLVED, NotificationKind.RESOLVED)


def test_the_clear_level_must_hold_without_a_break(life: Life):
    life.run(90, 80)
    for _ in range(10):
        life.run(75, 20)
        life.run(78, 10)
    assert life.state is AlertState.FIRING


def test_unknown_data_freezes_it_and_never_ends_it(life: Life):
    life.run(90, 80)
    life.run(None, 3600)
    alert = life.machine.tracks["hot", "n/0"].alert
    assert (alert.state, alert.is_unknown) == (AlertState.FIRING, True)
    life.run(90, 10)
    assert not life.machine.tracks["hot", "n/0"].alert.is_unknown
    assert life.kinds == [NotificationKind.FIRING]


def test_time_in_which_nobody_knows_counts_for_nothing(life: Life):
    life.run(90, 30)
    life.run(None, 600)
    life.run(90, 30)
    assert life.state is AlertState.PENDING
    life.run(90, 20)
    assert life.state is AlertState.FIRING


def test_a_scope_without_facts_is_left_as_it_was(life: Life):
    life.run(90, 30)
    life.look(None, 600)
    assert life.state is AlertState.PENDING
    life.run(90, 20)
    assert life.state is AlertState.PENDING


def test_what_is_not_there_any_more_ends_where_the_facts_are_whole(life: Life):
    life.run(90, 80)
    life.look(FactTable(RuleScope.GPU, (), {}, is_complete=False))
    assert life.machine.tracks["hot", "n/0"].alert.is_unknown
    life.look(FactTable(RuleScope.GPU, (), {}))
    assert life.state is AlertState.RESOLVED
    assert "no longer exists" in (life.changes[-1].message or "")


def test_a_rule_that_is_switched_off_ends_its_alerts(life: Life):
    life.run(90, 80)
    life.rules = {"hot": rule(enabled=False)}
    life.look(gpus(90))
    assert life.state is AlertState.RESOLVED


def test_again_within_five_minutes_is_the_same_incident_and_later_another(life: Life):
    life.run(90, 80)
    life.run(70, 60)
    life.run(90, 80)
    first, *_, third = [change.after for change in life.changes if "fires" in (change.message or "")]
    assert first.alert_id == third.alert_id
    life.run(70, 600)
    life.run(90, 80)
    assert life.machine.tracks["hot", "n/0"].alert.alert_id != first.alert_id


def test_flapping_is_told_once_and_then_not_until_it_is_calm(life: Life):
    for _ in range(20):
        life.run(90, 80)
        life.run(70, 60)
    assert life.kinds.count(NotificationKind.FLAPPING) == 1
    assert len(life.kinds) <= MOST_FLIPS + 1
    life.run(70, CALM_SECONDS + 60, step=60)
    assert life.kinds[-1] is NotificationKind.CALM
    assert life.machine.tracks.get(("hot", "n/0")) is None or not life.machine.tracks["hot", "n/0"].alert.flips


def test_it_becomes_critical_and_is_told_anew(clock: FakeClock):
    life = Life(clock, rule(critical_when=["temperature_gpu >= 95"]))
    life.run(90, 80)
    life.look(gpus(96))
    alert = life.machine.tracks["hot", "n/0"].alert
    assert (alert.severity, alert.told, life.kinds) == (Severity.CRITICAL, (), [NotificationKind.FIRING] * 2)
    life.look(gpus(90))
    assert life.machine.tracks["hot", "n/0"].alert.severity is Severity.CRITICAL


def test_nothing_fires_in_the_first_moments(clock: FakeClock):
    life = Life(clock, rule(for_seconds=0), settle=20)
    life.look(gpus(90), after=0)
    assert life.state is AlertState.PENDING
    life.look(gpus(90), after=15)
    assert life.state is AlertState.PENDING
    life.look(gpus(90), after=10)
    assert life.state is AlertState.FIRING


def test_a_clock_that_is_set_fires_and_ends_nothing(life: Life):
    life.run(90, 30)
    life.clock.jump(7200)
    life.look(gpus(90))
    assert life.state is AlertState.PENDING


def test_what_fired_before_a_restart_is_neither_forgotten_nor_told_again(clock: FakeClock):
    life = Life(clock)
    life.machine.load([firing(told=("c1",))], is_start=True)
    life.run(90, 600)
    assert (life.kinds, life.state) == ([], AlertState.FIRING)
    life.run(70, 60)
    assert life.kinds == [NotificationKind.RESOLVED]


def test_what_was_pending_before_a_restart_goes_on(clock: FakeClock):
    life = Life(clock)
    since = clock.now() - timedelta(seconds=50)
    life.machine.load([firing(state=AlertState.PENDING, fired_at=None, since=since)], is_start=True)
    life.run(90, 10)
    assert life.state is AlertState.FIRING


def on_gpu(subject: Subject | None, temperature: float = 90) -> FactTable:
    table = gpus(temperature)
    return replace(table, targets=tuple(replace(target, subject=subject) for target in table.targets))


def test_the_task_is_bound_when_the_condition_begins(life: Life, clock: FakeClock):
    first, second = Subject("first", "ann"), Subject("second", "bob")
    life.look(on_gpu(first))
    life.run(90, 20)
    (track,) = life.machine.tracks.values()
    again = Life(clock)
    again.machine.load([track.alert], is_start=True)
    for each in (life, again):
        each.look(on_gpu(second), after=60)
        (track,) = each.machine.tracks.values()
        assert (track.alert.state, track.alert.bound) == (AlertState.FIRING, first)


def test_a_condition_that_begins_again_binds_anew(life: Life):
    first, second = Subject("first", "ann"), Subject("second", "bob")
    for subject, temperature in ((first, 90), (first, 90), (first, 60), (first, 60), (second, 90), (first, 90)):
        life.look(on_gpu(subject, temperature), after=60)
    (track,) = life.machine.tracks.values()
    assert (track.alert.state, track.alert.bound) == (AlertState.FIRING, second)


def test_what_was_not_kept_is_made_again(life: Life, clock: FakeClock):
    life.run(90, 60)
    clock.advance(10)
    lost = life.machine.step(life.rules, {RuleScope.GPU: gpus(90)}).all
    assert [draft.after.state for draft in lost] == [AlertState.FIRING]
    assert life.state is AlertState.PENDING
    life.look(gpus(90))
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
            life.look(gpus(value), after=30)
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


def test_many_changes_are_made_in_steps_of_bounded_size_and_none_is_left_out(clock: FakeClock):
    count = 4 * MOST_CHANGES + 7
    machine, rules = AlertMachine(clock, new_id, 0.0), {"hot": rule(for_seconds=0, clear=[], clear_seconds=0)}

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


def test_a_step_that_is_left_half_way_is_begun_anew_after_alerts_are_read_again(clock: FakeClock):
    machine, rules = AlertMachine(clock, new_id, 0.0), {"hot": rule(for_seconds=0)}
    tables = {RuleScope.GPU: gpus(*[90] * (MOST_CHANGES + 1))}
    assert machine.step(rules, tables).is_partial
    machine.load([], is_start=False)
    drafts = machine.step(rules, tables)
    assert (len(drafts), drafts.is_partial) == (MOST_CHANGES, True)


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_set_makes_nothing_flap_for_long(life: Life, hours: int):
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
