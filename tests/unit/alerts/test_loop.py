"""The loop with a real database: stored alerts, notifications, restarts and several servers."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.alerts.delivery.notifiers.notifier import RetryLater
from api.alerts.evaluation import FactTable
from api.alerts.loop import RULE_ID, AlertLoop, EmergencyNotifier, Section
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.state_machine import AlertStateMachine
from api.alerts.views import show_alert
from api.db.leadership import LEADERSHIP_SECONDS, Leadership
from api.domain.alerts.alert import (
    Alert,
    AlertFilter,
    AlertState,
    AlertTarget,
    Matcher,
    NotificationKind,
    ShownState,
    Silence,
)
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import ChannelSecret
from api.domain.machines.gpu_event import Severity
from api.errors import DatabaseUnavailable
from api.util.http.pagination import PageRequest
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import channel, gpus, new_id, rule

HOT = rule(for_seconds=0, clear_seconds=0, clear=[])


class FakeBoard:
    """Facts that a test sets."""

    def __init__(self) -> None:
        self.table: FactTable | None = gpus(20)

    def tables(self, scopes: Any, channels: Any) -> dict[RuleScope, FactTable]:
        return {RuleScope.GPU: self.table} if RuleScope.GPU in scopes and self.table is not None else {}


class NoEmergency:
    def check(self, *_: object) -> None:
        """Send nothing directly."""


class Server:
    """The loop of one server."""

    def __init__(self, desk: Desk, name: str = "one", *rules: AlertRule) -> None:
        self.desk = desk
        self.board = FakeBoard()
        self.leadership = Leadership(desk.database, "alerts", lambda: name, desk.clock, lambda _: False)
        self.section = Section(
            frozenset({RuleScope.GPU}), lambda alert: True, self.leadership, AlertStateMachine(desk.clock, new_id, 0.0)
        )
        known = {each.rule_id: each for each in rules or (HOT,)}
        self.loop = AlertLoop(
            (self.section,),
            self.board,  # type: ignore[arg-type]
            desk.alerts,
            CurrentRules(desk.alerts, desk.rules, known, desk.channels, desk.clock),
            NoEmergency(),  # type: ignore[arg-type]
            desk.clock,
            lambda is_notified: None,
        )

    def see(self, *temperatures: float | None, after: float = 10.0) -> None:
        self.desk.clock.advance(after)
        self.board.table = gpus(*temperatures)
        self.loop.run_once()

    @property
    def alerts(self) -> list[Alert]:
        return list(self.desk.alerts.page(AlertFilter(), PageRequest(500)).rows)

    @property
    def alert(self) -> Alert:
        (alert,) = self.alerts
        return alert


def take_notifications(desk: Desk) -> list[tuple[str, NotificationKind]]:
    """Return the waiting notifications, and remove them."""
    waiting = desk.outbox_store.waiting(desk.clock.now())
    desk.outbox_store.supersede([each.id for each in waiting])
    return [(each.channel_id, each.kind) for each in waiting]


@pytest.fixture
def server(desk: Desk) -> Server:
    desk.add_channel()
    made = Server(desk)
    made.see(20)
    return made


def test_start_and_end_of_an_alert_are_stored_and_notified(server: Server, desk: Desk):
    server.see(90)
    assert server.alert.state is AlertState.FIRING
    assert take_notifications(desk) == [("c1", NotificationKind.FIRING)]
    server.see(90)
    server.see(70)
    assert server.alert.state is AlertState.RESOLVED
    assert take_notifications(desk) == [("c1", NotificationKind.RESOLVED)]
    assert [row.message for row in desk.alerts.history(server.alert.alert_id)] == [
        "fires: GPU 0 is at 90",
        "resolved: it is over",
    ]


def test_restart_neither_forgets_nor_repeats(server: Server, desk: Desk):
    server.see(90)
    take_notifications(desk)
    server.leadership.release()
    again = Server(desk, "two")
    again.see(90)
    again.see(90)
    assert take_notifications(desk) == []
    again.see(70)
    assert take_notifications(desk) == [("c1", NotificationKind.RESOLVED)]
    assert len(again.alerts) == 1


def test_one_of_two_servers_evaluates_and_the_other_takes_over(server: Server, desk: Desk):
    other = Server(desk, "two")
    for _ in range(3):
        server.see(90, after=1)
        other.see(90, after=1)
    assert take_notifications(desk) == [("c1", NotificationKind.FIRING)]
    for _ in range(int(LEADERSHIP_SECONDS) + 3):
        other.see(70, after=1)
    assert take_notifications(desk) == [("c1", NotificationKind.RESOLVED)]
    server.see(90)
    assert take_notifications(desk) == []


def test_acknowledgement_stops_repetitions_but_not_the_end(server: Server, desk: Desk):
    server.see(90)
    take_notifications(desk)
    desk.alerts.acknowledge(server.alert.alert_id, "ann", None, "", desk.clock.now())
    server.see(90, after=25 * 3600)
    assert (take_notifications(desk), server.alert.shown_state) == ([], ShownState.ACKNOWLEDGED)
    server.see(70)
    assert take_notifications(desk) == [("c1", NotificationKind.RESOLVED)]


def test_alert_without_acknowledgement_is_repeated(server: Server, desk: Desk):
    server.see(90)
    take_notifications(desk)
    server.see(90, after=25 * 3600)
    assert take_notifications(desk) == [("c1", NotificationKind.REPEAT)]


def test_acknowledgement_ends_by_its_time_and_by_a_higher_severity(desk: Desk):
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


def test_silence_is_recorded_and_an_alert_that_outlasts_it_is_notified(server: Server, desk: Desk):
    now = desk.clock.now()
    until = now.replace(minute=30)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(90)
    assert (server.alert.shown_state, take_notifications(desk)) == (ShownState.SILENCED, [])
    server.see(90, after=1900)
    assert (server.alert.shown_state, take_notifications(desk)) == (
        ShownState.FIRING,
        [("c1", NotificationKind.FIRING)],
    )


def test_new_channel_gets_firing_alerts(server: Server, desk: Desk):
    server.see(90)
    take_notifications(desk)
    desk.add_channel(channel("c2"))
    server.see(90)
    server.see(90)
    assert take_notifications(desk) == [("c2", NotificationKind.FIRING)]


def test_changed_rule_takes_effect_immediately(server: Server, desk: Desk):
    server.see(90)
    desk.rules.change_builtin("hot", {"enabled": False}, "ann", desk.clock.now())
    server.see(90)
    assert server.alert.resolution == "its rule was deleted or switched off"


def test_nothing_is_lost_while_the_database_is_unavailable(server: Server, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(desk.alerts, "apply", away)
        server.see(90)
        server.see(90)
    assert server.alerts == []
    server.see(90)
    assert server.alert.state is AlertState.FIRING
    assert take_notifications(desk) == [("c1", NotificationKind.FIRING)]


def test_stored_part_of_a_burst_is_not_repeated(server: Server, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.records.alert_store.BATCH", 3)
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
    assert len(take_notifications(desk)) == 10


def test_server_without_leadership_writes_nothing(server: Server, desk: Desk):
    server.see(90)
    stolen = Leadership(desk.database, "alerts", lambda: "thief", desk.clock, lambda _: True)
    assert stolen.hold()
    server.see(70, after=0)
    assert server.alert.state is AlertState.FIRING
    assert not server.section.is_loaded


def test_channel_that_is_enabled_again_gets_firing_alerts(server: Server, desk: Desk):
    server.see(90)
    take_notifications(desk)
    before = desk.channels.get("c1")
    for enabled in (False, True):
        desk.channels.replace(replace(before, enabled=enabled), before, None)
        server.see(90)
    assert take_notifications(desk) == [("c1", NotificationKind.FIRING)]
    assert server.alert.notified == ("c1",)


def test_new_channel_gets_firing_alerts_but_no_old_event(desk: Desk):
    server = Server(desk, "one", HOT, rule(HOT, rule_id="event", is_event=True))
    server.see(90)
    server.see(90, after=86_400)
    desk.add_channel()
    server.see(90)
    waiting = desk.outbox_store.waiting(desk.clock.now())
    assert [desk.alerts.get(note.alert_id).rule_id for note in waiting] == ["hot"]


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_neither_repeats_nor_forgets(server: Server, desk: Desk, hours: int):
    server.see(90)
    take_notifications(desk)
    desk.clock.jump(hours * 3600)
    server.see(90)
    assert take_notifications(desk) == []
    server.see(70)
    assert take_notifications(desk) == [("c1", NotificationKind.RESOLVED)]


@pytest.mark.parametrize("hours", [-25, 25])
def test_repetitions_continue_after_a_set_clock_and_a_restart(desk: Desk, hours: int):
    desk.add_channel()
    grave = rule(HOT, severity=Severity.CRITICAL)
    Server(desk, "one", grave).see(90)
    take_notifications(desk)
    desk.clock.jump(hours * 3600)
    desk.clock.restart()
    again = Server(desk, "two", grave)
    again.leadership._is_gone = lambda _: True
    kinds = set()
    for _ in range(5):
        again.see(90, after=3_600)
        kinds |= {kind for _, kind in take_notifications(desk)}
    assert kinds == {NotificationKind.REPEAT}


def test_silence_applies_again_when_the_clock_is_corrected(server: Server, desk: Desk):
    now, until = desk.clock.now(), desk.clock.now() + timedelta(hours=2)
    desk.clock.jump(25 * 3600)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(20)
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert (server.alert.shown_state, take_notifications(desk)) == (ShownState.SILENCED, [])


def test_silence_does_not_apply_before_its_start(server: Server, desk: Desk):
    now = desk.clock.now()
    until = now + timedelta(hours=1)
    desk.rules.add_silence(Silence("silence_1", (Matcher("rule", "hot"),), now, until, "ann", "why", now))
    server.see(20)
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert take_notifications(desk) == [("c1", NotificationKind.FIRING)]


def test_acknowledgement_for_an_hour_ends_when_the_clock_is_set_back(server: Server, desk: Desk):
    server.see(90)
    now = desk.clock.now()
    desk.alerts.acknowledge(server.alert.alert_id, "ann", now + timedelta(hours=1), "", now)
    server.see(90)
    assert server.alert.acknowledged_by == "ann"
    desk.clock.jump(-25 * 3600)
    server.see(90)
    assert server.alert.acknowledged_by is None


def test_told_at_is_the_time_of_the_last_delivery(server: Server, desk: Desk):
    desk.notifier.outcomes = [RetryLater("HTTP 503", None, 503)]
    server.see(90)
    desk.clock.advance(60)
    desk.drain()
    alert_id = server.alert.alert_id
    assert show_alert(desk.alerts.get(alert_id)).told_at is None
    desk.clock.advance(60)
    desk.drain()
    assert show_alert(desk.alerts.get(alert_id)).told_at == show_alert(server.alert).told_at == desk.clock.now()


def away(seconds: float) -> FactTable:
    target = AlertTarget("n", {"node": "n"}, {"name": "n", "node": "n", "database_problem": "it is gone"})
    return FactTable(RuleScope.SERVICE, (target,), {"database_away_seconds": [seconds]})


def test_database_outage_and_its_end_are_sent_once(desk: Desk):
    sealed = desk.sealer.seal(ChannelSecret("https://hooks.example/x"))
    known = [(channel(), sealed), (channel("c2", only_opted_in=True), sealed), (channel("c3", enabled=False), sealed)]
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    for seconds in (10, 31, 40, 0, 0):
        notifier.check(BUILTIN_RULES[RULE_ID], away(seconds), known)
    notifier.send_pending()
    first, second = desk.notifier.sent
    assert (first.title, first.severity, first.is_resolved) == (
        "❌ n has not reached the database for 31 seconds: it is gone.",
        Severity.CRITICAL,
        False,
    )
    assert first.body.startswith("Check the database.")
    assert (second.title, second.is_resolved) == ("✅ n reaches the database again, after 0 seconds.", True)
    assert first.alerts[0].alert_id == second.alerts[0].alert_id


def test_disabled_rule_sends_nothing(desk: Desk):
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    notifier.check(rule(BUILTIN_RULES[RULE_ID], enabled=False), away(99), [(channel(), b"")])
    notifier.check(None, away(99), [])
    notifier.send_pending()
    assert desk.notifier.sent == []


def test_thread_sends_pending_messages(desk: Desk):
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    sent = threading.Event()
    desk.notifier.send = lambda *_: sent.set()  # type: ignore[assignment,method-assign,return-value]
    notifier.start()
    notifier.check(BUILTIN_RULES[RULE_ID], away(99), [(channel(), desk.sealer.seal(ChannelSecret("https://x")))])
    assert sent.wait(30)
    notifier.stop()
