"""Processes for tests that kill them: the alert loops of a server, and a worker, both with short waits.

`python -m tests.e2e.alert_station server
worker DIRECTORY REDIS_URL`. The server reads the hot GPUs from a file.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.alerts.delivery import courier as courier_module
from api.alerts.delivery import worker_senders
from api.alerts.delivery.courier import Courier
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.webhook import WebhookNotifier
from api.alerts.delivery.outbox import Outbox
from api.alerts.delivery.thread_senders import ThreadSenders
from api.alerts.delivery.worker_senders import WorkerSenders
from api.alerts.evaluation import FactTable
from api.alerts.loop import AlertLoop, Section
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.builtin import parse_clause
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.state_machine import AlertStateMachine
from api.composition.observability.celery_transport import CeleryTransport, run_worker
from api.db.database import Database, sqlite_url
from api.db.leadership import Leadership
from api.db.sealing import Sealer
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import ChannelKind
from api.util.clock import SystemClock
from api.util.text.ids import new_task_id

#: Seconds until the lease of a killed sender expires, and the longest wait for one.
LEASE_SECONDS, ALONE_SECONDS, REPUBLISH_SECONDS, DOWN_SECONDS = 4.0, 3.0, 1.0, 0.5

RULE = AlertRule("hot", "hot", RuleScope.GPU, (parse_clause("t > 50"),), "{gpu} is hot", is_builtin=True)


class Board:
    """Facts from a file: the first and the last hot GPU."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "hot"

    def tables(self, scopes: Sequence[RuleScope], channels: object) -> dict[RuleScope, FactTable]:
        if RuleScope.GPU not in scopes:
            return {}
        first, last, count = map(int, self._file.read_text().split())
        targets = tuple(
            AlertTarget(f"n/{n}", {"gpu_uuid": str(n), "node": f"n{n // 5}"}, {"name": f"GPU {n}", "gpu": f"GPU {n}"})
            for n in range(count)
        )
        values = [90.0 if first <= n < last else 20.0 for n in range(count)]
        return {RuleScope.GPU: FactTable(RuleScope.GPU, targets, {"t": values})}

    def check(self, *_: object) -> None:
        """Do nothing: only the outbox sends here."""


def build_courier(directory: Path, database: Database) -> Courier:
    """Return a courier that sends to loopback."""
    notifiers = {ChannelKind.WEBHOOK: WebhookNotifier(AddressGuard.of(["127.0.0.1"]))}
    return Courier(OutboxStore(database), Sealer(directory / "channels.key"), notifiers, SystemClock())


def serve(directory: Path, redis: str) -> None:
    """Run the loops until the process is killed."""
    clock, database = SystemClock(), Database(sqlite_url(directory / "database.sqlite"))
    channels, outbox_store = ChannelStore(database), OutboxStore(database)
    local = ThreadSenders(build_courier(directory, database))
    carriers = WorkerSenders(CeleryTransport(redis), local, clock, lambda: None)
    outbox = Outbox(outbox_store, channels, carriers, clock, lambda now: new_task_id("delivery", now))
    carriers.on_down = local.on_done = outbox.wake
    leadership = Leadership(database, "alerts", lambda: new_task_id("me", clock.now()), clock, lambda _: True)
    machine = AlertStateMachine(clock, lambda now: new_task_id("alert", now), 0.0)
    section = Section(frozenset({RuleScope.GPU}), lambda _: True, leadership, machine)
    board: Any = Board(directory)
    store = AlertStore(database)
    loop = AlertLoop(
        (section,),
        board,
        store,
        CurrentRules(store, RuleStore(database), {"hot": RULE}, channels, clock),
        board,
        clock,
        lambda is_changed: outbox.wake() if is_changed else None,
    )
    for part in (local, carriers, outbox):
        part.start()
    while True:
        loop.wake()
        loop.run_once()
        time.sleep(0.02)


def main() -> None:
    """Run the server or the worker."""
    what, directory, redis = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    courier_module.LEASE = type(courier_module.LEASE)(seconds=LEASE_SECONDS)
    courier_module.WAITS = (0.2, 0.5)  # type: ignore[assignment]
    worker_senders.ALONE_SECONDS, worker_senders.REPUBLISH_SECONDS = ALONE_SECONDS, REPUBLISH_SECONDS
    worker_senders.DOWN_SECONDS = DOWN_SECONDS
    if what == "server":
        serve(directory, redis)
    else:
        database = Database(sqlite_url(directory / "database.sqlite"))
        run_worker(redis, build_courier(directory, database).deliver, "ERROR")


if __name__ == "__main__":
    main()
