"""The alert loops of one head: a rule on nodes, the outbox, and a channel to the mailbox."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.alerts.delivery.courier import Courier
from api.alerts.delivery.notifiers.notifier import Delivered, FakeNotifier, OutboundMessage, RetryLater, SendOutcome
from api.alerts.delivery.outbox import Outbox
from api.alerts.evaluation import FactTable
from api.alerts.loop import AlertLoop, Section
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.builtin import parse_clause
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.state_machine import AlertStateMachine
from api.composition.alerts import SHARED_SCOPE, new_alert_id, new_delivery_id
from api.db.alert_tables import alerts
from api.db.database import Database
from api.db.leadership import Leadership
from api.db.sealing import Sealer
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import ChannelKind, ChannelSecret, ChannelSettings
from api.errors import DatabaseUnavailable
from tests.simulation.faults import Faults, FaultyDatabase
from tests.simulation.mailbox import CLEAR_SECONDS, DOWN_SECONDS, Mailbox
from tests.simulation.world import World
from tests.unit.alerts.fact_builders import channel

#: How much more often a message is lost than other faults occur.
NETWORK = 40.0

RULE = AlertRule(
    "node_away",
    "node away",
    RuleScope.NODE,
    (parse_clause("away > 0"),),
    "{name} is away",
    is_builtin=True,
    for_seconds=DOWN_SECONDS,
    clear_seconds=CLEAR_SECONDS,
)


class SimulatedAlerts:
    """Alert loops with the lifetime of their head."""

    def __init__(
        self, name: str, database: FaultyDatabase, root: Path, world: World, faults: Faults, mailbox: Mailbox
    ) -> None:
        self._world = world
        self._targets = tuple(AlertTarget(node.name, {"node": node.name}, {"name": node.name}) for node in world.nodes)
        self._database = database
        clock, channels, store = world.clock, ChannelStore(database), OutboxStore(database)
        notifier = _Post(faults, mailbox)
        courier = Courier(store, Sealer(root / "key"), dict.fromkeys(ChannelKind, notifier), clock, clock.advance)
        self._outbox = Outbox(store, channels, _Hands(courier), clock, new_delivery_id)
        # Each life of a head is a separate candidate.
        candidate = f"{name} at {clock.monotonic()}"
        self._leadership = Leadership(database, SHARED_SCOPE, lambda: candidate, clock, lambda _: False)
        machine = AlertStateMachine(clock, new_alert_id, 0.0)
        section = Section(frozenset({RuleScope.NODE}), lambda _: True, self._leadership, machine)
        board: Any = self
        alerts = AlertStore(database)
        self._loop = AlertLoop(
            (section,),
            board,
            alerts,
            CurrentRules(alerts, RuleStore(database), {RULE.rule_id: RULE}, channels, clock),
            board,
            clock,
            self._wake_outbox,
        )

    @property
    def leads(self) -> bool:
        """Whether it evaluates alerts."""
        return self._leadership._fence is not None

    def tables(self, scopes: Iterable[RuleScope], _: object) -> dict[RuleScope, FactTable]:
        """Return the facts for the loop."""
        if RuleScope.NODE not in scopes:
            return {}
        columns = {"away": [0.0 if node.is_seen else 1.0 for node in self._world.nodes]}
        return {RuleScope.NODE: FactTable(RuleScope.NODE, self._targets, columns)}

    def check(self, *_: object) -> None:
        """Do nothing: only the outbox sends."""

    def _wake_outbox(self, is_changed: bool) -> None:
        if is_changed:
            self._outbox.wake()

    def round(self) -> None:
        """Run one round of each loop."""
        with self._database.writing_for(self._leadership):
            self._loop.run_once()
        self._outbox.run_once()

    def known(self) -> tuple[dict[str, str], set[str], set[str]]:
        """Return the fired alerts with their nodes, those still firing, and last the nodes of flapping alerts.

        Flapping alerts are not among the first two.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                select(alerts.c.alert_id, alerts.c.target, alerts.c.open_key, alerts.c.flapping_since).where(
                    alerts.c.fired_at.is_not(None)
                )
            ).all()
        # A flapping alert is not notified until it is calm.
        flapping = {row.target for row in rows if row.flapping_since is not None}
        rows = [row for row in rows if row.flapping_since is None]
        fired = {row.alert_id: row.target for row in rows}
        return fired, {row.alert_id for row in rows if row.open_key is not None}, flapping


def open_channel(database: Database, root: Path) -> None:
    """Create the one channel, which has no limits."""
    settings = ChannelSettings(per_minute=1000, per_hour=10_000)
    made = channel(**{name: getattr(settings, name) for name in ("per_minute", "per_hour")})
    ChannelStore(database).add(made, Sealer(root / "key").seal(ChannelSecret("mailbox://")))


class _Post(FakeNotifier):
    """Delivers to the mailbox over a faulty network: the message or the answer to it may be lost."""

    def __init__(self, faults: Faults, mailbox: Mailbox) -> None:
        super().__init__()
        self._faults = faults
        self._mailbox = mailbox

    def send(self, message: OutboundMessage, *_: Any) -> SendOutcome:
        try:
            self._faults.strike("send", NETWORK)
            self._mailbox.take(message)
            self._faults.strike("sent", NETWORK)
        except OSError as error:
            return RetryLater(str(error))
        return Delivered(200)


class _Hands:
    """Carries out each delivery immediately, in its caller."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def busy(self) -> frozenset[str]:
        return frozenset()

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        # Its lease expires, and another sender retries.
        with suppress(DatabaseUnavailable):
            self._courier.deliver(delivery_id)
        return True

    def check(self) -> None:
        """Do nothing, as deliveries take no time."""
