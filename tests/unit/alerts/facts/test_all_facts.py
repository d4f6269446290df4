from dataclasses import replace
from typing import Any

import pytest

from api.alerts.evaluation import FactTable
from api.alerts.facts.all_facts import REPORTED_SCOPES, FactSources, FactTables, People, ReportingMachines
from api.alerts.facts.gpu_facts import GPUFacts
from api.alerts.facts.site_facts import NodeFacts
from api.alerts.loop import AlertLoop, Section
from api.alerts.records.fact_store import AlertFactStore
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.state_machine import AlertStateMachine
from api.db.leadership import Leadership
from api.db.tables import nodes
from api.domain.alerts.alert import Alert, AlertFilter, AlertState
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.node import NodeRole
from api.domain.reason import Reason
from api.errors import DatabaseUnavailable
from api.gpus.health.events import GPUEvents
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading
from api.gpus.state import GPUStateKeeper
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import firing, new_id
from tests.unit.alerts.test_loop import NoEmergency
from tests.unit.builders import identity, lost, reading, snapshot, vitals


class Made:
    """Returns empty tables and counts them."""

    def __init__(self, *scopes: RuleScope) -> None:
        self.scopes = scopes
        self.count = 0
        self.is_away = False

    def __call__(self, *_: Any) -> Any:
        self.count += 1
        if self.is_away:
            raise DatabaseUnavailable
        found = tuple(FactTable(scope, (), {}) for scope in self.scopes)
        return found if len(found) > 1 else found[0]

    table = tables = oldest_unsent = __call__


class Board:
    def __init__(self, clock: FakeClock, people: People | None = None) -> None:
        self.state: Any = object()
        self.gpus, self.tasks = Made(RuleScope.GPU), Made(RuleScope.TASK, RuleScope.QUEUE)
        self.disks, self.service, self.nodes = Made(RuleScope.DISK), Made(RuleScope.SERVICE), Made(RuleScope.NODE)
        parts: Any = (self.gpus, self.tasks, self.disks, self.service, self.nodes, self, self)
        self.board = FactTables(lambda: self.state, FactSources(*parts, people), clock)

    def oldest_unsent(self) -> dict[str, Any]:
        return {}

    def failed_since(self, since: Any) -> list[Any]:
        return []

    def tables(self, *scopes: RuleScope) -> set[RuleScope]:
        return set(self.board.tables(scopes or tuple(RuleScope), []))


def test_all_scopes_have_a_table(clock: FakeClock):
    assert Board(clock).tables() == set(RuleScope)


def test_table_is_cached_until_it_may_have_changed(clock: FakeClock):
    board = Board(clock)
    for _ in range(4):
        board.tables(RuleScope.GPU, RuleScope.TASK)
        clock.advance(1)
    assert (board.gpus.count, board.tasks.count) == (1, 1)
    board.state = object()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (2, 1)
    board.board.note_news()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (2, 2)
    board.board.note_news()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert board.tasks.count == 2
    clock.advance(1)
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert board.tasks.count == 3
    clock.advance(5)
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (3, 4)


def test_table_is_missing_if_the_database_is_unavailable(clock: FakeClock):
    board = Board(clock)
    board.tasks.is_away = True
    assert board.tables(RuleScope.TASK, RuleScope.GPU) == {RuleScope.GPU}
    assert board.board.recent(RuleScope.TASK) is None
    board.tasks.is_away = False
    assert RuleScope.TASK in board.tables(RuleScope.TASK)
    assert board.board.recent(RuleScope.TASK) is not None


def test_keys_and_users_have_tables_if_authentication_is_on(clock: FakeClock):
    people = People(list, list, lambda _: None, lambda _: {})  # type: ignore[arg-type,return-value]
    assert Board(clock, people).tables(RuleScope.KEY, RuleScope.USER) == {RuleScope.KEY, RuleScope.USER}


def test_outdated_table_is_not_recent(clock: FakeClock):
    board = Board(clock)
    assert board.board.recent(RuleScope.TASK) is None
    board.tables(RuleScope.TASK)
    assert board.board.recent(RuleScope.TASK) is not None
    clock.advance(19)
    assert board.board.recent(RuleScope.TASK) is not None
    clock.advance(2)
    assert board.board.recent(RuleScope.TASK) is None


HOT = reading(1, identity=identity(1, temperature_slowdown=90), vitals=vitals(temperature_gpu=88))
COOL = reading(1, identity=identity(1, temperature_slowdown=90))


def note_role(desk: Desk, name: str, role: NodeRole) -> None:
    """Store a machine in the database."""
    with desk.database.write() as connection:
        connection.execute(nodes.delete().where(nodes.c.name == name))
        connection.execute(nodes.insert().values(name=name, machine=name, role=role))


class Head:
    """A head that gets reports of one machine, `gpu2`."""

    def __init__(self, desk: Desk, name: str = "head") -> None:
        self.desk, self.clock, self.name = desk, desk.clock, name
        self.keeper = GPUStateKeeper(name, self.clock, 10.0, GPUEvents())
        self.parts: dict[str, NodePart] = {}
        facts, store, nothing = GPUFacts(self.clock), AlertFactStore(desk.database), self._nothing
        self.reporting = ReportingMachines(store, facts, name, self.clock)
        silences = NodeFacts(store, name, self.clock, lambda: tuple(self.parts.values()))
        sources = FactSources(facts, nothing, nothing, nothing, silences, nothing, nothing)
        board = FactTables(self._judge, sources, self.clock, self.reporting)
        section = Section(
            frozenset({RuleScope.NODE}),
            self.reporting.owns,
            Leadership(desk.database, "alerts", lambda: name, self.clock, lambda _: False),
            AlertStateMachine(self.clock, new_id, 0.0),
            REPORTED_SCOPES,
        )
        board.tables = self._only_nodes(board.tables)  # type: ignore[method-assign]
        book = CurrentRules(desk.alerts, desk.rules, BUILTIN_RULES, desk.channels, self.clock)
        self.loop = AlertLoop(
            (section,), board, desk.alerts, book, NoEmergency(), self.clock,
            lambda is_notified: None,
        )  # fmt: skip
        note_role(desk, name, NodeRole.ALL)

    _nothing: Any = None

    @staticmethod
    def _only_nodes(tables: Any) -> Any:
        return lambda scopes, channels: tables([RuleScope.NODE] if RuleScope.NODE in scopes else [], channels)

    def _judge(self) -> Any:
        self.keeper.update_nodes(self.parts, {})
        return self.keeper.judge(snapshot(taken_monotonic=self.clock.monotonic()), {})

    def report(self, *gpus: GPUReading, **more: Any) -> None:
        """Report these GPUs from the machine."""
        now = self.clock.monotonic()
        reported = [replace(gpu, read_monotonic=now if gpu.fault is None else None) for gpu in gpus]
        sequence = int(now)
        self.parts["gpu2"] = NodePart("gpu2", snapshot(*reported, sequence=sequence, taken_monotonic=now, **more), now)

    def live(self, seconds: float, *gpus: GPUReading, **more: Any) -> None:
        """Let time pass in which the machine reports these GPUs; without any, it does not report."""
        for _ in range(int(seconds // 5)):
            self.clock.advance(5)
            if gpus:
                self.report(*gpus, **more)
            self.loop.run_once()

    @property
    def alerts(self) -> list[Alert]:
        return list(self.desk.alerts.page(AlertFilter(), PageRequest(500)).rows)

    @property
    def fires(self) -> dict[str, str | None]:
        """The firing rules, and what mutes each."""
        return {alert.rule_id: alert.muted_by for alert in self.alerts if alert.state is AlertState.FIRING}


@pytest.fixture
def head(desk: Desk) -> Head:
    made = Head(desk)
    note_role(desk, "gpu2", NodeRole.NODE)
    made.live(5, COOL)
    return made


def test_rule_about_gpus_applies_to_other_machines_and_names_them(head: Head):
    head.live(320, HOT)
    (alert,) = head.alerts
    assert (alert.rule_id, alert.state, alert.labels["node"]) == ("near_slowdown", AlertState.FIRING, "gpu2")
    assert alert.summary == "GPU 1 on gpu2 is too hot: 88 °C. It slows down at 90 °C."
    head.live(320, COOL)
    assert head.fires == {}


def test_lost_gpu_of_another_machine_is_notified(head: Head):
    head.live(30, lost(1))
    assert head.fires == {"gpu_lost": None}


def test_silent_machine_is_one_alert_instead_of_one_per_gpu(head: Head):
    head.live(300)
    assert head.fires == {"node_offline": None}


def test_alert_of_a_silent_machine_stays_and_is_inhibited(head: Head):
    head.live(320, HOT)
    head.live(120)
    (offline,) = [alert.alert_id for alert in head.alerts if alert.rule_id == "node_offline"]
    assert head.fires == {"near_slowdown": offline, "node_offline": None}


def test_failing_driver_of_another_machine_is_one_alert(head: Head):
    head.live(200, COOL, problem=Reason.of("the driver does not answer", "test"))
    assert head.fires == {"driver_unreadable": None}
    (alert,) = [alert for alert in head.alerts if alert.state is AlertState.FIRING]
    assert alert.summary == "No GPU of gpu2 can be read: the driver does not answer"


def test_one_of_two_heads_notifies(head: Head, desk: Desk):
    other = Head(desk, "other")
    for _ in range(12):
        head.clock.advance(5)
        for each in (head, other):
            each.report(lost(1))
            each.loop.run_once()
    assert [alert.rule_id for alert in head.alerts] == ["gpu_lost"]


def test_head_without_reports_after_its_start_ends_nothing(head: Head, desk: Desk):
    head.live(30, lost(1))
    head.loop.stop()
    again = Head(desk)
    again.live(60)
    assert again.fires == {"gpu_lost": None}


def test_alerts_of_a_deleted_machine_end(head: Head, desk: Desk):
    head.live(30, lost(1))
    with desk.database.write() as connection:
        connection.execute(nodes.delete().where(nodes.c.name == "gpu2"))
    head.parts.clear()
    head.live(30)
    assert head.fires == {}


def test_machine_with_its_own_server_keeps_its_alerts(head: Head, desk: Desk):
    note_role(desk, "gpu3", NodeRole.ALL)
    head.clock.advance(10)
    of = {name: head.reporting.owns(firing(labels={"node": name})) for name in ("gpu2", "gpu3", "head", "forgotten")}
    assert of == {"gpu2": True, "gpu3": False, "head": False, "forgotten": True}
    assert not head.reporting.owns(firing(scope=RuleScope.DISK, labels={"node": "gpu2"}))
