"""Three days by a fake clock with faults of every kind: no alert is lost, none is stuck, and flapping is limited.

It prints its seed; `ALERT_SEED=… pytest` replays it.
"""

import os
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from api.alerts.delivery.notifiers.notifier import Delivered, OutboundMessage, Rejected, RetryLater
from api.alerts.records.outbox_store import SUPERSEDED
from api.alerts.state_machine import CALM_SECONDS, MOST_FLIPS
from api.db.alert_tables import alert_history, alert_notifications, alerts
from api.domain.alerts.alert import AlertState
from api.domain.alerts.channel import DeliveryState
from api.domain.machines.gpu_event import Severity
from api.errors import DatabaseUnavailable
from tests.lengths import length
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import channel, rule
from tests.unit.alerts.test_loop import Server

HOURS, STEP_SECONDS, GPUS = length(72, 12), 30.0, 6
HOT = rule(for_seconds=60, clear_seconds=60, severity=Severity.CRITICAL)


class World:
    """The true state of each GPU, and the faults of everything else."""

    def __init__(self, desk: Desk, luck: random.Random) -> None:
        self.desk, self.luck = desk, luck
        self.hot, self.unknown = [False] * GPUS, [False] * GPUS
        self.nervous = luck.randrange(GPUS)  #: flaps all the time
        self.received: dict[str, set[str]] = defaultdict(set)  #: alerts by message
        self.latest: dict[str, tuple[int, AlertState]] = {}  #: latest known state of each alert at the receiver
        self.messages: dict[str, str] = {}
        self.receiver = "well"
        desk.notifier.send = self.receive  # type: ignore[method-assign]
        desk.add_channel(channel(per_minute=6, per_hour=60, critical_wait_seconds=5.0))
        self.number = 0
        self.servers = [self.serve(), self.serve()]
        self.away_until = 0.0

    def serve(self) -> Server:
        self.number += 1
        return Server(self.desk, f"server-{self.number}", HOT)

    def receive(self, message: OutboundMessage, *_: Any) -> Any:
        if self.receiver == "failing":
            return RetryLater("HTTP 500", None, 500)
        if self.receiver == "slow":
            self.desk.clock.advance(20)
        body = repr([(alert.alert_id, alert.number, alert.kind) for alert in message.alerts])
        assert self.messages.setdefault(message.id, body) == body
        for alert in message.alerts:
            self.received[message.id].add(alert.alert_id)
            self.latest[alert.alert_id] = max(
                self.latest.get(alert.alert_id, (0, alert.state)), (alert.number, alert.state)
            )
        if self.receiver == "forgetful":
            # The receiver gets the message, but its response is lost.
            return RetryLater("it did not answer in time")
        return Delivered(200) if self.receiver != "refusing" else Rejected("HTTP 400", 400)

    @contextmanager
    def weather(self) -> Iterator[None]:
        """Make the database unavailable for a moment, or not."""
        if self.desk.clock.monotonic() >= self.away_until:
            yield
            return
        database = self.desk.database
        with pytest.MonkeyPatch.context() as patched:

            def refuse(*_: Any, **__: Any) -> Any:
                raise DatabaseUnavailable("away")

            patched.setattr(database, "read", refuse)
            patched.setattr(database, "write", refuse)
            yield

    def turn(self) -> None:
        """Let something happen to a GPU, a receiver, a server or the database; usually nothing."""
        luck, clock = self.luck, self.desk.clock
        for index in range(GPUS):
            if luck.random() < (0.3 if index == self.nervous else 0.004):
                self.hot[index] = not self.hot[index]
            if luck.random() < 0.003:
                self.unknown[index] = not self.unknown[index]
        if luck.random() < 0.01:
            self.receiver = luck.choice(("well", "well", "failing", "slow", "forgetful"))
        if luck.random() < 0.01:
            self.servers[luck.randrange(2)] = self.serve()
        if luck.random() < 0.003:
            self.away_until = clock.monotonic() + luck.uniform(30, 600)
        if luck.random() < 0.002:
            clock.jump(luck.uniform(-30, 30))

    def step(self) -> None:
        self.turn()
        facts = [None if unknown else 90 if hot else 20 for hot, unknown in zip(self.hot, self.unknown, strict=True)]
        self.desk.clock.advance(STEP_SECONDS)
        with self.weather():
            for server in self.servers:
                server.see(*facts, after=0.0)
            try:
                self.desk.drain()
            except DatabaseUnavailable:
                return

    def calm(self) -> None:
        """Repair everything and wait until nothing is left to do."""
        self.hot, self.unknown = [False] * GPUS, [False] * GPUS
        self.receiver, self.away_until = "well", 0.0
        for _ in range(int((2 * CALM_SECONDS + 3600) / STEP_SECONDS)):
            self.desk.clock.advance(STEP_SECONDS)
            for server in self.servers:
                server.see(*[20] * GPUS, after=0.0)
            self.desk.drain()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_days_of_faults_lose_no_alert_leave_none_open_and_limit_flapping(desk: Desk):
    seed = int(os.environ.get("ALERT_SEED", random.randrange(2**32)))
    sys.stdout.write(f"ALERT_SEED={seed}\n")
    world = World(desk, random.Random(seed))
    for _ in range(int(HOURS * 3600 / STEP_SECONDS)):
        world.step()
    world.calm()
    with desk.database.read() as connection:
        stored = connection.execute(select(alerts)).all()
        notes = connection.execute(select(alert_notifications)).all()
        changes = connection.execute(select(alert_history.c.alert_id, alert_history.c.number)).all()
    assert len(stored) > HOURS / 4, "nothing happened"
    assert {row.state for row in stored} == {AlertState.RESOLVED}
    assert max(Counter(changes).values()) == 1, "a change was stored twice"
    open_ = [row for row in desk.deliveries() if row.state not in (DeliveryState.DELIVERED, DeliveryState.REJECTED)]
    assert open_ == []
    # An alert that starts and ends while it waits is one line of its message.
    alert = [note for note in notes if note.delivery_id != SUPERSEDED]
    lost = [note.id for note in alert if note.alert_id not in world.received.get(note.delivery_id, set())]
    assert lost == []
    assert {state for _, state in world.latest.values()} == {AlertState.RESOLVED}, "believed to fire still"
    hours = timedelta(seconds=HOURS * 3600) / timedelta(hours=1)
    flaps = Counter(note.alert_id for note in notes)
    # Within an hour an alert sends a limited number of messages, then that it flaps and that it is stable.
    assert max(flaps.values()) <= (MOST_FLIPS + 2) * (hours + 3)
    nervous = {row.alert_id for row in stored if row.target == f"n/{world.nervous}"}
    assert sum(flaps[alert_id] for alert_id in nervous) <= (MOST_FLIPS + 4) * (hours + 3) / 2
