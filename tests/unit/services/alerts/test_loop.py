"""The loop over a real database: what is kept, what is told, and what a restart or a second server changes."""

from dataclasses import replace
from typing import Any

import pytest

from api.errors import DatabaseUnavailable
from api.models.alert import Alert, AlertFilter, AlertState, Matcher, NotificationKind, ShownState, Silence
from api.models.alert_rule import AlertRule, RuleScope
from api.models.event import Severity
from api.services.alerts.evaluation import FactTable
from api.services.alerts.loop import AlertLoop, Section
from api.services.alerts.machine import AlertMachine
from api.storage.leadership import LEADERSHIP_SECONDS, Leadership
from tests.unit.services.alerts.conftest import Desk
from tests.unit.services.alerts.facts import channel, gpus, new_id, rule

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
    waiting = desk.outbox_store.waiting()
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
    assert server.alert.resolution == "its rule is gone or switched off"


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
    monkeypatch.setattr("api.storage.alerts.BATCH", 3)
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
