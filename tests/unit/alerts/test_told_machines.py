"""The built-in rules on GPUs of machines that only tell of them: one head speaks, and of a silent machine once."""

from dataclasses import replace
from typing import Any

import pytest

from api.alerts.builtin_rules import BUILTIN_RULES
from api.alerts.fact_store import AlertFactStore
from api.alerts.facts import FactBoard
from api.alerts.gpu_facts import GPUFacts
from api.alerts.loop import AlertLoop, Section
from api.alerts.machine import AlertMachine
from api.alerts.site_facts import NodeFacts
from api.alerts.told_machines import TOLD_SCOPES, ToldMachines
from api.db.leadership import Leadership
from api.db.tables import nodes
from api.domain.alert import Alert, AlertFilter, AlertState
from api.domain.alert_rule import RuleScope
from api.domain.node import NodeRole
from api.domain.reason import Reason
from api.gpus.events import GPUEvents
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading
from api.gpus.state import GPUStateKeeper
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import firing, new_id
from tests.unit.alerts.test_loop import NoEmergency
from tests.unit.builders import identity, lost, reading, snapshot, vitals

HOT = reading(1, identity=identity(1, temperature_slowdown=90), vitals=vitals(temperature_gpu=88))
COOL = reading(1, identity=identity(1, temperature_slowdown=90))


def note_role(desk: Desk, name: str, role: NodeRole) -> None:
    """Puts a machine into the database."""
    with desk.database.write() as connection:
        connection.execute(nodes.delete().where(nodes.c.name == name))
        connection.execute(nodes.insert().values(name=name, machine=name, role=role))


class Head:
    """A head that hears of one machine, `gpu2`."""

    def __init__(self, desk: Desk, name: str = "head") -> None:
        self.desk, self.clock, self.name = desk, desk.clock, name
        self.keeper = GPUStateKeeper(name, self.clock, 10.0, GPUEvents())
        self.parts: dict[str, NodePart] = {}
        facts, store, nothing = GPUFacts(self.clock), AlertFactStore(desk.database), self._nothing
        self.told = ToldMachines(store, facts, name, self.clock)
        silences = NodeFacts(store, name, self.clock, lambda: tuple(self.parts.values()))
        board = FactBoard(
            self._judge, facts, nothing, nothing, nothing, silences, nothing, nothing, None, self.clock, self.told
        )
        section = Section(
            frozenset({RuleScope.NODE}),
            self.told.owns,
            Leadership(desk.database, "alerts", lambda: name, self.clock, lambda _: False),
            AlertMachine(self.clock, new_id, 0.0),
            TOLD_SCOPES,
        )
        board.tables = self._only_nodes(board.tables)  # type: ignore[method-assign]
        self.loop = AlertLoop(
            (section,), board, desk.alerts, desk.rules, BUILTIN_RULES, desk.channels, NoEmergency(), self.clock,
            lambda is_told: None,
        )  # fmt: skip
        note_role(desk, name, NodeRole.ALL)

    _nothing: Any = None

    @staticmethod
    def _only_nodes(tables: Any) -> Any:
        return lambda scopes, channels: tables([RuleScope.NODE] if RuleScope.NODE in scopes else [], channels)

    def _judge(self) -> Any:
        self.keeper.note_nodes(self.parts, {})
        return self.keeper.judge(snapshot(taken_monotonic=self.clock.monotonic()), {})

    def hear(self, *gpus: GPUReading, **more: Any) -> None:
        """Has the machine tell of these."""
        now = self.clock.monotonic()
        told = [replace(gpu, read_monotonic=now if gpu.fault is None else None) for gpu in gpus]
        sequence = int(now)
        self.parts["gpu2"] = NodePart("gpu2", snapshot(*told, sequence=sequence, taken_monotonic=now, **more), now)

    def live(self, seconds: float, *gpus: GPUReading, **more: Any) -> None:
        """So many seconds go by, in which the machine tells of these GPUs; nothing without any."""
        for _ in range(int(seconds // 5)):
            self.clock.advance(5)
            if gpus:
                self.hear(*gpus, **more)
            self.loop.run_once()

    @property
    def alerts(self) -> list[Alert]:
        return [alert for _, alert in self.desk.alerts.page(AlertFilter(), 500, 0, None)[0]]

    @property
    def fires(self) -> dict[str, str | None]:
        """Which rules fire, and what mutes them."""
        return {alert.rule_id: alert.muted_by for alert in self.alerts if alert.state is AlertState.FIRING}


@pytest.fixture
def head(desk: Desk) -> Head:
    made = Head(desk)
    note_role(desk, "gpu2", NodeRole.NODE)
    made.live(5, COOL)
    return made


def test_a_rule_about_gpus_holds_for_those_of_another_machine_and_names_it(head: Head):
    head.live(320, HOT)
    (alert,) = head.alerts
    assert (alert.rule_id, alert.state, alert.labels["node"]) == ("near_slowdown", AlertState.FIRING, "gpu2")
    assert alert.summary == "GPU 1 on gpu2 is too hot: 88 °C. It slows down at 90 °C."
    head.live(320, COOL)
    assert head.fires == {}


def test_a_lost_gpu_of_another_machine_is_told_of(head: Head):
    head.live(30, lost(1))
    assert head.fires == {"gpu_lost": None}


def test_a_machine_that_falls_silent_is_one_alert_and_not_one_for_each_gpu(head: Head):
    head.live(300)
    assert head.fires == {"node_offline": None}


def test_what_fired_of_a_silent_machine_stays_and_is_told_of_by_that_alone(head: Head):
    head.live(320, HOT)
    head.live(120)
    (offline,) = [alert.alert_id for alert in head.alerts if alert.rule_id == "node_offline"]
    assert head.fires == {"near_slowdown": offline, "node_offline": None}


def test_a_driver_that_fails_elsewhere_is_one_alert_of_that_machine(head: Head):
    head.live(200, COOL, problem=Reason.of("the driver does not answer", "test"))
    assert head.fires == {"driver_unreadable": None}
    (alert,) = [alert for alert in head.alerts if alert.state is AlertState.FIRING]
    assert alert.summary == "No GPU of gpu2 can be read: the driver does not answer"


def test_of_two_heads_one_speaks(head: Head, desk: Desk):
    other = Head(desk, "other")
    for _ in range(12):
        head.clock.advance(5)
        for each in (head, other):
            each.hear(lost(1))
            each.loop.run_once()
    assert [alert.rule_id for alert in head.alerts] == ["gpu_lost"]


def test_a_head_that_begins_and_has_not_heard_all_of_them_ends_nothing(head: Head, desk: Desk):
    head.live(30, lost(1))
    head.loop.stop()
    again = Head(desk)
    again.live(60)
    assert again.fires == {"gpu_lost": None}


def test_what_a_forgotten_machine_had_ends(head: Head, desk: Desk):
    head.live(30, lost(1))
    with desk.database.write() as connection:
        connection.execute(nodes.delete().where(nodes.c.name == "gpu2"))
    head.parts.clear()
    head.live(30)
    assert head.fires == {}


def test_alerts_of_a_machine_with_a_server_of_its_own_are_left_to_that(head: Head, desk: Desk):
    note_role(desk, "gpu3", NodeRole.ALL)
    head.clock.advance(10)
    of = {name: head.told.owns(firing(labels={"node": name})) for name in ("gpu2", "gpu3", "head", "forgotten")}
    assert of == {"gpu2": True, "gpu3": False, "head": False, "forgotten": True}
    assert not head.told.owns(firing(scope=RuleScope.DISK, labels={"node": "gpu2"}))
