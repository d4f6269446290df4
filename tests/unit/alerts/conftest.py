"""A database with channels, and the objects that use it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from api.alerts.delivery.courier import Courier
from api.alerts.delivery.notifiers.notifier import FakeNotifier
from api.alerts.delivery.outbox import FakeSenders, Outbox
from api.alerts.records.action_store import ActionStore
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rule_store import RuleStore
from api.db.database import Database, sqlite_url
from api.db.sealing import Sealer
from api.domain.alerts.alert import Alert, AlertChange, AlertNotification, NotificationKind
from api.domain.alerts.channel import Channel, ChannelKind, ChannelSecret, DeliveryFilter, DeliveryView
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.databases import hurry
from tests.unit.alerts.fact_builders import channel, firing, new_id


@dataclass
class Desk:
    """All objects on one database. Tests let time pass and run the rounds."""

    database: Database
    clock: FakeClock
    sealer: Sealer
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    carriers: FakeSenders = field(default_factory=FakeSenders)

    def __post_init__(self) -> None:
        self.alerts, self.rules = AlertStore(self.database), RuleStore(self.database)
        self.actions = ActionStore(self.database)
        self.channels, self.outbox_store = ChannelStore(self.database), OutboxStore(self.database)
        notifiers = dict.fromkeys(ChannelKind, self.notifier)
        self.courier = Courier(self.outbox_store, self.sealer, notifiers, self.clock, self.clock.advance)
        self.outbox = Outbox(self.outbox_store, self.channels, self.carriers, self.clock, new_id)

    def add_channel(self, made: Channel | None = None) -> Channel:
        made = made or channel()
        self.channels.add(made, self.sealer.seal(ChannelSecret("https://hooks.example/x")))
        return made

    def add_alert(
        self, number: int = 1, channel_id: str = "c1", wait: float = 0.0, group: str = "g", **alert: object
    ) -> Alert:
        """Store a new alert with a notification for a channel."""
        made = firing(alert_id=f"a{number}", fingerprint=f"f{number}", **alert)
        self.alerts.apply(
            [AlertChange(None, made, "fires", notifications=(self.note(made, channel_id, wait, group),))],
            self.clock.now(),
        )
        return made

    def note(
        self,
        alert: Alert,
        channel_id: str = "c1",
        wait: float = 0.0,
        group: str = "g",
        kind: NotificationKind = NotificationKind.FIRING,
    ) -> AlertNotification:
        at = self.clock.now() + timedelta(seconds=wait)
        return AlertNotification(alert.alert_id, alert.number, kind, channel_id, alert.severity, group, at)

    def drain(self) -> None:
        """Run rounds of the outbox, and every delivery that it submits, until nothing is due."""
        for _ in range(20):
            self.outbox.wake()
            self.outbox.run_once()
            carried, self.carriers.carried = self.carriers.carried, []
            for delivery_id in carried:
                self.courier.deliver(delivery_id)
            if not carried:
                return

    def deliveries(self) -> list[DeliveryView]:
        """Return all deliveries, oldest first."""
        return list(self.outbox_store.page(DeliveryFilter(), PageRequest(500)).rows[::-1])


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path, clock: FakeClock) -> Iterator[Desk]:
    path = tmp_path / "database.sqlite"
    shutil.copy(migrated_file, path)
    database = Database(sqlite_url(path))
    hurry(database)
    yield Desk(database, clock, Sealer(tmp_path / "key"))
    database.close()
