"""Deliveries by a real Celery worker over a real Redis that is killed, hangs, and returns empty."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from api.alerts.delivery.courier import Courier
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.webhook import WebhookNotifier
from api.alerts.delivery.outbox import Outbox
from api.alerts.delivery.thread_senders import ThreadSenders
from api.alerts.delivery.worker_senders import WorkerSenders
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import OutboxStore
from api.composition.observability.celery_transport import CeleryTransport
from api.db.database import Database, sqlite_url
from api.db.sealing import Sealer
from api.domain.alerts.alert import AlertChange, AlertNotification, NotificationKind
from api.domain.alerts.channel import ChannelKind, ChannelSecret, DeliveryFilter, DeliveryState
from api.util.clock import FakeClock, SystemClock
from api.util.http.pagination import PageRequest
from api.util.text.ids import new_task_id
from tests.patience import BUSY_SECONDS
from tests.redis_servers import OwnRedis
from tests.unit.alerts.fact_builders import channel, firing
from tests.unit.alerts.notifiers.receivers import Receiver, receiving, status

ROOT = Path(__file__).parents[2]


class Server:
    """The outbox of a server that passes its deliveries to workers."""

    def __init__(self, root: Path, redis: OwnRedis, receiver: Receiver) -> None:
        self.root, self.redis = root, redis
        self.database, self.clock = Database(sqlite_url(root / "database.sqlite")), SystemClock()
        sealer = Sealer(root / "channels.key")
        secret = sealer.seal(ChannelSecret(f"http://127.0.0.1:{receiver.port}/x"))
        ChannelStore(self.database).add(channel(per_minute=1000, per_hour=1000), secret)
        self.outbox_store = OutboxStore(self.database)
        notifiers = {ChannelKind.WEBHOOK: WebhookNotifier(AddressGuard.of(["127.0.0.1"]))}
        self.local = ThreadSenders(Courier(self.outbox_store, sealer, notifiers, self.clock))
        self.sent_here: list[str] = []
        carry = self.local.carry
        self.local.carry = lambda delivery, channel: (self.sent_here.append(delivery), carry(delivery, channel))[1]  # type: ignore[func-returns-value,method-assign]
        self.carriers = WorkerSenders(CeleryTransport(redis.url), self.local, self.clock, lambda: None)
        self.outbox = Outbox(
            self.outbox_store,
            ChannelStore(self.database),
            self.carriers,
            self.clock,
            lambda now: new_task_id("delivery", now),
        )
        self.carriers.on_down = self.outbox.wake
        self.local.on_done = self.outbox.wake
        for part in (self.local, self.carriers, self.outbox):
            part.start()

    @property
    def here(self) -> int:
        """Return how many deliveries this process has sent."""
        return len(self.sent_here)

    def begin(self, number: int) -> None:
        alert = firing(alert_id=f"a{number}", fingerprint=f"f{number}")
        note = AlertNotification(
            alert.alert_id, 1, NotificationKind.FIRING, "c1", alert.severity, f"g{number}", alert.since
        )
        AlertStore(self.database).apply([AlertChange(None, alert, "x", notifications=(note,))], self.clock.now())
        self.outbox.wake()

    def delivered(self) -> int:
        wanted = DeliveryFilter((DeliveryState.DELIVERED,))
        return self.outbox_store.page(wanted, PageRequest(1)).pagination.total

    def worker(self) -> subprocess.Popen[bytes]:
        settings = {
            "CELERY_BROKER_URL": self.redis.url,
            "STORAGE_ROOT": str(self.root),
            "PRIVATE_HOSTS_ALLOWED": "127.0.0.1",
        }
        command = [sys.executable, "-m", "api", "worker"]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        for part in (self.outbox, self.carriers, self.local):
            part.stop()
        self.database.close()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Receiver]]:
    # How long nothing is retried after a failure, and the timeout for a broker that hangs.
    monkeypatch.setattr("api.alerts.delivery.worker_senders.DOWN_SECONDS", 1.0)
    monkeypatch.setattr("api.composition.observability.celery_transport.ANSWER_SECONDS", 1)
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    database.close()
    with OwnRedis(tmp_path) as redis, receiving(status("200 OK")) as receiver:
        redis.start()
        server = Server(tmp_path, redis, receiver)
        yield server, receiver
        server.stop()


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_deliver_and_the_server_does_while_redis_hangs_or_is_down(served: tuple[Server, Receiver]):
    server, receiver = served
    worker = server.worker()
    try:
        server.begin(1)
        until(lambda: server.delivered() == 1)
        assert server.here == 0
        # Killed during its work, and its messages deleted: the row is authoritative.
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        server.redis.kill()
        server.begin(2)
        until(lambda: server.delivered() == 2, 20)
        server.redis.start()
        server.redis.freeze()
        time.sleep(1)
        began = time.monotonic()
        server.begin(3)
        assert time.monotonic() - began < 1 + BUSY_SECONDS
        until(lambda: server.delivered() == 3, 20)
        server.redis.thaw()
        assert server.here == 2
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
    ids = [
        line
        for request in receiver.requests
        for line in request.decode().split("\r\n")
        if line.startswith("webhook-id")
    ]
    assert len(ids) == len(set(ids)) == 3


def waiting_in(redis: OwnRedis) -> int:
    """Return the number of messages that no worker has taken or finished."""
    client = Redis.from_url(redis.url)
    return int(client.llen("dp:deliveries")) + int(client.hlen("dp:unacked"))  # type: ignore[arg-type]


def test_repeated_message_is_sent_once_and_an_invalid_one_is_harmless(served: tuple[Server, Receiver]):
    server, receiver = served
    worker = server.worker()
    try:
        server.begin(1)
        until(lambda: server.delivered() == 1)
        (row,) = server.outbox_store.page(DeliveryFilter(), PageRequest(10)).rows
        transport = CeleryTransport(server.redis.url)
        for message in (*[row.delivery_id] * 20, "delivery_unknown", "../../etc", "x" * 10_000):
            transport.publish(message)
        server.begin(2)
        until(lambda: server.delivered() == 2 and waiting_in(server.redis) == 0)
    finally:
        worker.kill()
        worker.wait()
    assert len(receiver.requests) == 2


class SendingHere:
    """Senders of this process, which send immediately."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def busy(self) -> frozenset[str]:
        return frozenset()

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        self._courier.deliver(delivery_id)
        return True

    def check(self) -> None:
        """Do nothing: no delivery is in progress here."""


def test_hour_without_a_worker_loses_nothing_and_doubles_nothing_afterwards(tmp_path: Path):
    clock, database = FakeClock(), Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    with OwnRedis(tmp_path) as redis, receiving(status("200 OK")) as receiver:
        redis.start()
        sealer, store = Sealer(tmp_path / "channels.key"), OutboxStore(database)
        secret = sealer.seal(ChannelSecret(f"http://127.0.0.1:{receiver.port}/x"))
        ChannelStore(database).add(channel(per_minute=1000, per_hour=1000, group_wait_seconds=0.0), secret)
        notifiers = {ChannelKind.WEBHOOK: WebhookNotifier(AddressGuard.of(["127.0.0.1"]))}
        local = SendingHere(Courier(store, sealer, notifiers, clock, clock.advance))
        carriers = WorkerSenders(CeleryTransport(redis.url), local, clock, lambda: None)
        outbox = Outbox(store, ChannelStore(database), carriers, clock, lambda now: new_task_id("delivery", now))
        for number in range(60):
            alert = firing(alert_id=f"a{number}", fingerprint=f"f{number}")
            note = AlertNotification(
                alert.alert_id, 1, NotificationKind.FIRING, "c1", alert.severity, f"g{number}", clock.now()
            )
            AlertStore(database).apply([AlertChange(None, alert, "x", notifications=(note,))], clock.now())
            for _ in range(6):
                outbox.wake()
                outbox.run_once()
                carriers.publish_all()
                clock.advance(10)
        for _ in range(3):
            outbox.wake()
            outbox.run_once()
            clock.advance(30)
        rows = store.page(DeliveryFilter(), PageRequest(100)).rows
        assert Counter(row.state for row in rows) == {DeliveryState.DELIVERED: 60}
        assert all(row.attempts == 1 for row in rows)
        late = [(row.finished_at - row.created_at).total_seconds() for row in rows if row.finished_at is not None]
        assert max(late) <= 90
        assert waiting_in(redis) > 0
        settings = {"CELERY_BROKER_URL": redis.url, "STORAGE_ROOT": str(tmp_path), "PRIVATE_HOSTS_ALLOWED": "127.0.0.1"}
        command = [sys.executable, "-m", "api", "worker"]
        worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
        try:
            until(lambda: waiting_in(redis) == 0)
        finally:
            worker.kill()
            worker.wait()
        assert len(receiver.requests) == 60
    database.close()
