"""Servers, workers and Redis are killed at random moments: each change of an alert is notified, and nothing else."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import SUPERSEDED
from api.db.alert_tables import alert_deliveries, alert_history, alert_notifications, alerts
from api.db.database import Database, sqlite_url
from api.db.sealing import Sealer
from api.domain.alerts.alert import AlertState
from api.domain.alerts.channel import ChannelSecret, DeliveryState, WebhookFormat
from tests.e2e.server import until
from tests.lengths import length
from tests.redis_servers import OwnRedis
from tests.unit.alerts.fact_builders import channel
from tests.unit.alerts.notifiers.receivers import Receiver, receiving, status

ROOT = Path(__file__).parents[2]
KILLS, TARGETS, WINDOW = length(200, 5), length(1000, 30), 10

#: Allowance in seconds for other work on the cores.
LONG = 300.0


class Station:
    """The three processes that are killed, and the database to compare with."""

    def __init__(self, root: Path, redis: OwnRedis, receiver: Receiver) -> None:
        self.root, self.redis = root, redis
        self.database = Database(sqlite_url(root / "database.sqlite"))
        self.database.migrate()
        sealer = Sealer(root / "channels.key")
        for name in ("a", "b"):
            made = channel(
                name,
                per_minute=10**6,
                per_hour=10**6,
                group_wait_seconds=0.0,
                critical_wait_seconds=0.0,
                webhook_format=WebhookFormat.PLAIN,
            )
            secret = ChannelSecret(f"http://127.0.0.1:{receiver.port}/{name}")
            ChannelStore(self.database).add(made, sealer.seal(secret))
        self.heat(0, 0)
        self.processes = {name: self.start(name) for name in ("server", "worker")}

    def heat(self, first: int, last: int) -> None:
        """Make these GPUs hot, and no others."""
        fresh = self.root / "hot.new"
        fresh.write_text(f"{first} {last} {TARGETS}")
        fresh.rename(self.root / "hot")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.e2e.alert_station", name, str(self.root), self.redis.url]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, name: str) -> None:
        """Kill one of the three, and restart it."""
        if name == "redis":
            self.redis.kill()
            time.sleep(random.uniform(0, 0.3))
            self.redis.start()
            return
        self.end(name)
        self.processes[name] = self.start(name)

    def end(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def count(self, state: AlertState) -> int:
        with self.database.read() as connection:
            query = select(func.count()).select_from(alerts).where(alerts.c.state == state)
            return connection.scalar(query) or 0

    def have_fired(self, count: int) -> Callable[[], bool]:
        """Return whether this many alerts have fired."""
        return lambda: self.count(AlertState.FIRING) + self.count(AlertState.RESOLVED) >= count

    def waiting(self) -> int:
        """Return the number of notifications and messages that are not delivered yet."""
        waits = select(func.count()).select_from(alert_notifications).where(alert_notifications.c.delivery_id.is_(None))
        open_ = alert_deliveries.c.state.in_((DeliveryState.WAITING, DeliveryState.SENDING))
        underway = select(func.count()).select_from(alert_deliveries).where(open_)
        with self.database.read() as connection:
            return (connection.scalar(waits) or 0) + (connection.scalar(underway) or 0)


def heat_and_cool(station: Station, luck: random.Random) -> None:
    """Heat all GPUs and let them cool, some at a time, with kills at random moments."""
    kills, done = [luck.choice(("server", "worker", "redis")) for _ in range(KILLS)], 0
    for first in range(0, TARGETS + 1, WINDOW):
        station.heat(first, min(first + WINDOW, TARGETS))
        while done < KILLS * first // TARGETS:
            time.sleep(luck.uniform(0.02, 0.6))
            station.kill(kills[done])
            done += 1
        until(station.have_fired(min(first + WINDOW, TARGETS)), LONG, f"those after {first} to begin")
    while done < KILLS:
        station.kill(kills[done])
        done += 1
    station.heat(0, 0)
    until(lambda: station.count(AlertState.RESOLVED) == TARGETS, LONG, "all to end")


def received_by(receiver: Receiver) -> list[tuple[str, str, dict[str, object]]]:
    """Return the channel, the id and the message of everything that was received."""
    found = []
    for request in receiver.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        given = re.search(rb"webhook-id: (\S+)", head)
        assert given is not None
        found.append((head.split()[1].decode(), given[1].decode(), json.loads(body)))
    return found


def compare(station: Station, receiver: Receiver) -> Counter[str]:
    """Compare the received messages with the database; return counts."""
    with station.database.read() as connection:
        notes = connection.execute(select(alert_notifications)).all()
        states = dict(connection.execute(select(alert_deliveries.c.delivery_id, alert_deliveries.c.state)).all())  # type: ignore[arg-type]
        truth = {(row.alert_id, row.number): row.state for row in connection.execute(select(alert_history))}
    arrived = received_by(receiver)
    ids = {delivery_id for _, delivery_id, _ in arrived}
    lost = [note.id for note in notes if note.delivery_id != SUPERSEDED and note.delivery_id not in ids]
    assert lost == [], f"{len(lost)} notifications were never delivered"
    assert set(states.values()) == {DeliveryState.DELIVERED}
    assert ids == states.keys()
    messages: dict[str, set[str]] = {}
    seen: dict[tuple[str, str, object, object], set[str]] = {}
    for path, delivery_id, message in arrived:
        # The text may contain an elapsed time; the facts of a message do not change.
        about = message["alerts"]
        assert isinstance(about, list)
        messages.setdefault(delivery_id, set()).add(json.dumps(about, sort_keys=True))
        for alert in about:
            seen.setdefault((path, alert["alert_id"], alert["kind"], alert["title"]), set()).add(delivery_id)
    assert all(len(forms) == 1 for forms in messages.values()), "a duplicate must have the same content"
    assert all(len(several) == 1 for several in seen.values()), "a duplicate must have the same id"
    dropped = Counter((note.alert_id, note.channel_id) for note in notes if note.delivery_id == SUPERSEDED)
    assert set(dropped.values()) <= {2}, "an alert that ended before its delivery sends neither message"
    for note in notes:
        assert truth[note.alert_id, note.number] == ("resolved" if note.kind == "resolved" else "firing"), note
    assert Counter(state for state in truth.values()) == {"firing": TARGETS, "resolved": TARGETS}
    return Counter(
        notifications=len(notes), deliveries=len(states), arrived=len(arrived), doubles=len(arrived) - len(ids)
    )


@pytest.mark.timeout(3600)
def test_every_notification_is_delivered_whatever_is_killed(tmp_path: Path):
    seed, output = random.randrange(2**32), sys.stdout
    output.write(f"seed {seed}\n")
    luck = random.Random(seed)
    with OwnRedis(tmp_path) as redis, receiving(status("200 OK")) as receiver:
        redis.start()
        station = Station(tmp_path, redis, receiver)
        try:
            heat_and_cool(station, luck)
            output.write(f"{station.waiting()} wait\n")
            until(lambda: station.waiting() == 0, 4 * LONG, "all to be delivered")
            found = compare(station, receiver)
        finally:
            for name in ("server", "worker"):
                station.end(name)
            station.database.close()
    output.write(f"{dict(found)}\n")
    assert found["notifications"] > TARGETS
