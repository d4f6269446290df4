"""The loop over a real database: what is kept, what is told, and what a restart or a second server changes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.alerts.evaluation import FactTable
from api.alerts.loop import AlertLoop, Section
from api.alerts.machine import AlertMachine
from api.alerts.notifiers.notifier import RetryLater
from api.alerts.views import show_alert
from api.db.leadership import LEADERSHIP_SECONDS, Leadership
from api.domain.alert import Alert, AlertFilter, AlertState, Matcher, NotificationKind, ShownState, Silence
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.event import Severity
from api.errors import DatabaseUnavailable
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import channel, gpus, new_id, rule

HOT = rule(for_seconds=0, clear_seconds=0, clear=[])


class FakeBoard:
    """Facts that a test sets."""

    def __init__(self) -> None:
        self.table: FactTable | None = gpus(20)

    def tables(self, scopes: Any, channels: Any) -> dict[RuleScope, FactTable]:
        return {RuleScope.GPU: self.table} if RuleScope.GPU in scopes and self.table is not None else {}


class NoEmergency:
    def look(self, *_: object) -> None:
        """Nothing is told past the outbox here."""


class Server:
    """One server's loop."""

    def __init__(self, desk: Desk, name: str = "one", *rules: AlertRule) -> None:
        self.desk = desk
        self.board = FakeBoard()
        self.leadership = Leadership(desk.database, "alerts", lambda: name, desk.clock, lambda _: False)
        self.section = Section(
            frozenset({RuleScope.GPU}), lambda alert: True, self.leadership, AlertMachine(desk.clock, new_id, 0.0)
        )
        self.loop = AlertLoop(
            (self.section,),
            self.board,  # type: ignore[arg-type]
            desk.alerts,
            desk.rules,
            {each.rule_id: each for each in rules or (HOT,)},
            desk.channels,
            NoEmergency(),  # type: ignore[arg-type]
            desk.clock,
            lambda is_told: None,
        )

    def see(self, *temperatures: float | None, after: float = 10.0) -> None:
        self.desk.clock.advance(after)
        self.board.table = gpus(*temperatures)
        self.loop.run_once()

    @property
    def alerts(self) -> list[Alert]:
        return [alert for _, alert in self.desk.alerts.page(AlertFilter(), 500, 0, None)[0]]

    @property
    def alert(self) -> Alert:
        (alert,) = self.alerts
        return alert


def told(desk: Desk) -> list[tuple[str, NotificationKind]]:
    """What waits to be told, and takes it away."""
    waiting = desk.outbox_store.waiting(desk.clock.now())
    desk.outbox_store.supersede([each.id for each in waiting])
    return [(each.channel_id, each.kind) for each in waiting]


@pytest.fixture
def server(desk: Desk) -> Server:
    desk.add_channel()
    made = Server(desk)
    made.see(20)
    return made


def test_what_becomes_true_is_kept_and_told_and_so_is_its_end(server: Server, desk: Desk):
    server.see(90)
    assert server.alert.state is AlertState.FIRING
    assert told(desk) == [("c1", NotificationKind.FIRING)]
    server.see(90)
    server.see(70)
    assert server.alert.state is AlertState.RESOLVED
    assert told(desk) == [("c1", NotificationKind.RESOLVED)]
    assert [row.message for row in desk.alerts.history(server.alert.alert_id)] == [
        "fires: GPU 0 is at 90",
        "resolved: it is over",
    ]


def test_a_restart_neither_forgets_nor_repeats(server: Server, desk: Desk):
    server.see(90)
    told(desk)
    server.leadership.release()
    again = Server(desk, "two")
    again.see(90)
    again.see(90)
    assert told(desk) == []
    again.see(70)
    assert told(desk) == [("c1", NotificationKind.RESOLVED)]
    assert len(again.alerts) == 1


def test_of_two_servers_one_evaluates_and_the_other_follows(server: Server, desk: Desk):
    other = Server(desk, "two")
    for _ in range(3):
        server.see(90, after=1)
        other.see(90, after=1)
    assert told(desk) == [("c1", NotificationKind.FIRING)]
    for _ in range(int(LEADERSHIP_SECONDS) + 3):
        other.see(70, after=1)
    assert told(desk) == [("c1", NotificationKind.RESOLVED)]
    server.see(90)
    assert told(desk) == []


def test_an_acknowledgement_stops_repeats_and_not_the_end(server: Server, desk: Desk):
    server.see(90)
    told(desk)
    desk.alerts.acknowledge(server.alert.alert_id, "ann", None, "", desk.clock.now())
    server.see(90, after=25 * 3600)
    assert (told(desk), server.alert.shown_state) == ([], ShownState.ACKNOWLEDGED)
    server.see(70)
    assert told(desk) == [("c1", NotificationKind.RESOLVED)]


def test_without_one_it_is_told_again(server: Server, desk: Desk):
    server.see(90)
    told(desk)
    server.see(90, after=25 * 3600)
    assert told(desk) == [("c1", NotificationKind.REPEAT)]


def test_an_acknowledgement_ends_by_its_time_and_when_it_becomes_graver(desk: Desk):
    desk.add_channel()
    server = Server(desk, "one", replace(HOT, critical_when=rule(critical_when=["temperature_gpu > 95"]).critical_when))
    server.see(90)
    until = desk.clock.now().replace(hour=1)
    desk.alerts.acknowledge(server.alert.alert_id, "ann", until, "", desk.clock.now())
    server.see(90, after=600)
    assert server.alert.acknowledged_by == "ann"
    server.see(90, after=3600)
    assert server.alert.acknowledged_by is None
    desk.alerts.acknowledge(server.alert.alert_id, "ann", None, "", desk.clock.now())
    server.see(99)
    assert (server.alert.acknowledged_by, server.alert.severity) == (None, Severity.CRITICAL)


def test_a_silence_is_recorded_and_what_still_fires_at_its_end_is_told(server: Server, desk: Desk):
    now = desk.clock.now()
    until = now.replace(minute=30)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(90)
    assert (server.alert.shown_state, told(desk)) == (ShownState.SILENCED, [])
    server.see(90, after=1900)
    assert (server.alert.shown_state, told(desk)) == (ShownState.FIRING, [("c1", NotificationKind.FIRING)])


def test_a_new_channel_is_told_what_fires(server: Server, desk: Desk):
    server.see(90)
    told(desk)
    desk.add_channel(channel("c2"))
    server.see(90)
    server.see(90)
    assert told(desk) == [("c2", NotificationKind.FIRING)]


def test_a_rule_that_is_changed_holds_at_once(server: Server, desk: Desk):
    server.see(90)
    desk.rules.change_builtin("hot", {"enabled": False}, "ann", desk.clock.now())
    server.see(90)
    assert server.alert.resolution == "its rule was deleted or switched off"


def test_while_the_database_is_away_nothing_is_lost(server: Server, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(desk.alerts, "apply", away)
        server.see(90)
        server.see(90)
    assert server.alerts == []
    server.see(90)
    assert server.alert.state is AlertState.FIRING
    assert told(desk) == [("c1", NotificationKind.FIRING)]


def test_part_of_a_burst_that_was_kept_is_not_made_twice(server: Server, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.store.BATCH", 3)
    write, calls = desk.database.write, []

    def twice_only(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise DatabaseUnavailable("away")
        return write(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(desk.database, "write", twice_only)
        server.see(*[90] * 10, after=1)
    assert 0 < len(server.alerts) < 10
    server.see(*[90] * 10, after=1)
    server.see(*[90] * 10, after=1)
    assert len(server.alerts) == 10
    assert len(told(desk)) == 10


def test_what_its_owner_would_not_lead_it_does_not_write(server: Server, desk: Desk):
    server.see(90)
    stolen = Leadership(desk.database, "alerts", lambda: "thief", desk.clock, lambda _: True)
    assert stolen.hold()
    server.see(70, after=0)
    assert server.alert.state is AlertState.FIRING
    assert not server.section.is_loaded


def test_a_channel_that_is_switched_on_again_is_told_what_fires(server: Server, desk: Desk):
    server.see(90)
    told(desk)
    before = desk.channels.get("c1")
    for enabled in (False, True):
        desk.channels.replace(replace(before, enabled=enabled), before, None)
        server.see(90)
    assert told(desk) == [("c1", NotificationKind.FIRING)]
    assert server.alert.told == ("c1",)


def test_a_new_channel_is_told_what_fires_and_no_event_of_yesterday(desk: Desk):
    server = Server(desk, "one", HOT, rule(HOT, rule_id="event", is_event=True))
    server.see(90)
    server.see(90, after=86_400)
    desk.add_channel()
    server.see(90)
    waiting = desk.outbox_store.waiting(desk.clock.now())
    assert [desk.alerts.get(note.alert_id).rule_id for note in waiting] == ["hot"]


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_set_neither_repeats_nor_forgets(server: Server, desk: Desk, hours: int):
    server.see(90)
    told(desk)
    desk.clock.jump(hours * 3600)
    server.see(90)
    assert told(desk) == []
    server.see(70)
    assert told(desk) == [("c1", NotificationKind.RESOLVED)]


@pytest.mark.parametrize("hours", [-25, 25])
def test_after_a_clock_was_set_and_a_restart_repeats_go_on(desk: Desk, hours: int):
    desk.add_channel()
    grave = rule(HOT, severity=Severity.CRITICAL)
    Server(desk, "one", grave).see(90)
    told(desk)
    desk.clock.jump(hours * 3600)
    desk.clock.restart()
    again = Server(desk, "two", grave)
    again.leadership._is_gone = lambda _: True
    kinds = set()
    for _ in range(5):
        again.see(90, after=3_600)
        kinds |= {kind for _, kind in told(desk)}
    assert kinds == {NotificationKind.REPEAT}


def test_a_silence_holds_again_when_the_clock_is_right_again(server: Server, desk: Desk):
    now, until = desk.clock.now(), desk.clock.now() + timedelta(hours=2)
    desk.clock.jump(25 * 3600)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(20)
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert (server.alert.shown_state, told(desk)) == (ShownState.SILENCED, [])


def test_a_silence_does_not_hold_before_its_beginning(server: Server, desk: Desk):
    now = desk.clock.now()
    until = now + timedelta(hours=1)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(20)
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert told(desk) == [("c1", NotificationKind.FIRING)]


def test_an_acknowledgement_for_an_hour_ends_when_the_clock_is_set_back(server: Server, desk: Desk):
    server.see(90)
    now = desk.clock.now()
    desk.alerts.acknowledge(server.alert.alert_id, "ann", now + timedelta(hours=1), "", now)
    server.see(90)
    assert server.alert.acknowledged_by == "ann"
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert server.alert.acknowledged_by is None


def test_told_at_is_when_a_message_was_delivered(server: Server, desk: Desk):
    desk.notifier.outcomes = [RetryLater("HTTP 503", None, 503)]
    server.see(90)
    desk.clock.advance(60)
    desk.drain()
    alert_id = server.alert.alert_id
    assert show_alert(desk.alerts.get(alert_id)).told_at is None
    desk.clock.advance(60)
    desk.drain()
    assert show_alert(desk.alerts.get(alert_id)).told_at == show_alert(server.alert).told_at == desk.clock.now()
