"""Three days by a fake clock, with faults of every kind: no alert is lost, none is stuck, and flapping is bounded.

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

from api.alerts.machine import CALM_SECONDS, MOST_FLIPS
from api.alerts.notifiers.notifier import Delivered, OutboundMessage, Rejected, RetryLater
from api.alerts.outbox_store import SUPERSEDED
from api.db.alert_tables import alert_history, alert_notifications, alerts
from api.domain.alert import AlertState
from api.domain.channel import DeliveryState
from api.domain.event import Severity
from api.errors import DatabaseUnavailable
from tests.lengths import length
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import channel, rule
from tests.unit.alerts.test_loop import Server

HOURS, STEP_SECONDS, GPUS = length(72, 12), 30.0, 6
HOT = rule(for_seconds=60, clear_seconds=60, severity=Severity.CRITICAL)


class World:
    """What is true of each GPU, and what breaks around those who tell."""

    def __init__(self, desk: Desk, luck: random.Random) -> None:
        self.desk, self.luck = desk, luck
        self.hot, self.unknown = [False] * GPUS, [False] * GPUS
        self.nervous = luck.randrange(GPUS)  #: comes and goes all the time
        self.heard: dict[str, set[str]] = defaultdict(set)  #: alerts by message
        self.latest: dict[str, tuple[int, AlertState]] = {}  #: what the receiver believes of each alert
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
        body = repr([(told.alert_id, told.number, told.kind) for told in message.alerts])
        assert self.messages.setdefault(message.id, body) == body
        for told in message.alerts:
            self.heard[message.id].add(told.alert_id)
            self.latest[told.alert_id] = max(self.latest.get(told.alert_id, (0, told.state)), (told.number, told.state))
        if self.receiver == "forgetful":
            # It has got the message, and its answer is lost.
            return RetryLater("it did not answer in time")
        return Delivered(200) if self.receiver != "refusing" else Rejected("HTTP 400", 400)

    @contextmanager
    def weather(self) -> Iterator[None]:
        """The database may be away, and comes back."""
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
        """Something happens to a GPU, a receiver, a server or the database; mostly nothing."""
        luck, clock = self.luck, self.desk.clock
        for place in range(GPUS):
            if luck.random() < (0.3 if place == self.nervous else 0.004):
                self.hot[place] = not self.hot[place]
            if luck.random() < 0.003:
                self.unknown[place] = not self.unknown[place]
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
        """Everything is well again, for long enough that nothing is left to be done."""
        self.hot, self.unknown = [False] * GPUS, [False] * GPUS
        self.receiver, self.away_until = "well", 0.0
        for _ in range(int((2 * CALM_SECONDS + 3600) / STEP_SECONDS)):
            self.desk.clock.advance(STEP_SECONDS)
            for server in self.servers:
                server.see(*[20] * GPUS, after=0.0)
            self.desk.drain()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_days_of_faults_lose_no_alert_leave_none_open_and_bound_what_flaps(desk: Desk):
    seed = int(os.environ.get("ALERT_SEED", random.randrange(2**32)))
    sys.stdout.write(f"ALERT_SEED={seed}\n")
    world = World(desk, random.Random(seed))
    for _ in range(int(HOURS * 3600 / STEP_SECONDS)):
        world.step()
    world.calm()
    with desk.database.read() as connection:
        kept = connection.execute(select(alerts)).all()
        notes = connection.execute(select(alert_notifications)).all()
        changes = connection.execute(select(alert_history.c.alert_id, alert_history.c.number)).all()
    assert len(kept) > HOURS / 4, "nothing happened"
    assert {row.state for row in kept} == {AlertState.RESOLVED}
    assert max(Counter(changes).values()) == 1, "a change was kept twice"
    open_ = [row for row in desk.deliveries() if row.state not in (DeliveryState.DELIVERED, DeliveryState.REJECTED)]
    assert open_ == []
    # What began and ended while it waited is one line of its message.
    told = [note for note in notes if note.delivery_id != SUPERSEDED]
    lost = [note.id for note in told if note.alert_id not in world.heard.get(note.delivery_id, set())]
    assert lost == []
    assert {state for _, state in world.latest.values()} == {AlertState.RESOLVED}, "believed to fire still"
    hours = timedelta(seconds=HOURS * 3600) / timedelta(hours=1)
    flaps = Counter(note.alert_id for note in notes)
    # Within an hour an alert is told of so many times at most, and then that it flaps and that it is calm.
    assert max(flaps.values()) <= (MOST_FLIPS + 2) * (hours + 3)
    nervous = {row.alert_id for row in kept if row.target == f"n/{world.nervous}"}
    assert sum(flaps[alert_id] for alert_id in nervous) <= (MOST_FLIPS + 4) * (hours + 3) / 2
