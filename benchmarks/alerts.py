"""Cost of alerts: rules evaluated on facts, a burst of ten thousand, and delivery to a mail server."""

import gc
import random
import socket
import statistics
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from api.alerts.delivery.courier import Courier
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.apprise_channel import AppriseNotifier
from api.alerts.delivery.outbox import Outbox
from api.alerts.delivery.thread_senders import ThreadSenders
from api.alerts.evaluation import FactTable
from api.alerts.loop import AlertLoop, Section
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.builtin import parse_clause
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.rules.measurable import metrics_of
from api.alerts.state_machine import AlertStateMachine
from api.db.database import Database, sqlite_url
from api.db.leadership import Leadership
from api.db.sealing import Sealer
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import ChannelKind, ChannelSecret, DeliveryFilter
from api.util.clock import FakeClock, SystemClock
from api.util.http.pagination import PageRequest
from api.util.text.ids import new_task_id
from benchmarks.effort import Effort
from benchmarks.rows import COUNT, MILLISECONDS, SECONDS, Row, at_least, below
from tests.unit.alerts.fact_builders import channel, new_id

GPUS, RULES, BURST = 512, 1_000, 10_000
FOR_SECONDS = 1.0

#: Maximum number of mails per minute to the channel of the burst.
PER_MINUTE = 6


def measure(effort: Effort) -> Iterator[Row]:
    """Measure all three."""
    found = _evaluate(10 * effort.rounds, 0.001)
    yield below(f"{RULES:,} rules on {GPUS} GPUs: a round", statistics.median(found.rounds), 50, MILLISECONDS)
    found = _evaluate(4 * effort.rounds, 0.2)
    note = f"{found.changes:,} changes a round; whole round {MILLISECONDS.show(statistics.median(found.rounds))}"
    yield below("the same where thousands change: the longest step", max(found.steps), 50, MILLISECONDS, note)
    with (
        tempfile.TemporaryDirectory() as folder,
        _mailbox() as (port, mails),
        _station(Path(folder), port, BURST) as at,
    ):
        at.channel(per_minute=PER_MINUTE)
        at.begin(range(BURST))
        time.sleep(FOR_SECONDS + 0.1)
        began = time.monotonic()
        at.loop.run_once()
        yield below(f"{BURST:,} alerts at once: stored with their notifications", time.monotonic() - began, 10, SECONDS)
        at.start(loop=False)
        at.wait(lambda: bool(mails) and not at.outbox_store.waiting(SystemClock().now()))
        yield below("the same: mails within a minute", _most_within(mails, 60.0), PER_MINUTE + 1, COUNT)
        yield at_least("the same: notified in them", at.count_notifications(), BURST, COUNT)
    with tempfile.TemporaryDirectory() as folder, _mailbox() as (port, mails), _station(Path(folder), port, 1000) as at:
        at.channel(group_wait_seconds=0, per_minute=10_000, per_hour=10_000)
        at.start()
        late = sorted(_delay(at, number, mails) for number in range(8 * effort.rounds))
        note = f"median {SECONDS.show(statistics.median(late))}"
        yield below("condition true to mail, beyond for-duration: p99", late[-1], 2, SECONDS, note)


@dataclass
class _Evaluation:
    """Milliseconds of rounds and of their steps; changes are stored after each step."""

    rounds: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    changes: int = 0  #: in the fullest round


def _evaluate(rounds: int, share: float) -> _Evaluation:
    """Run rounds in which this share of all values is out of bounds."""
    # As the service does before it serves: a look through all that is loaded would count as a step.
    gc.freeze()
    luck, clock, names = random.Random(1), FakeClock(), list(metrics_of(RuleScope.GPU))
    machine = AlertStateMachine(clock, new_id, 0.0)
    rules = {
        f"r{number}": AlertRule(
            f"r{number}",
            "r",
            RuleScope.GPU,
            tuple(parse_clause(f"{luck.choice(names)} >= {luck.choice([50, 90, 95])}") for _ in range(2)),
            "x",
            for_seconds=60,
        )
        for number in range(RULES)
    }
    targets, found = _targets(GPUS), _Evaluation()
    for _ in range(rounds):
        columns = {name: [luck.uniform(0, 49) + 50 * (luck.random() < share) for _ in range(GPUS)] for name in names}
        tables, steps, changes = {RuleScope.GPU: FactTable(RuleScope.GPU, targets, columns)}, list[float](), 0
        clock.advance(61)
        is_partial = True
        while is_partial:
            began = time.perf_counter()
            drafts = machine.step(rules, tables)
            steps.append(1000 * (time.perf_counter() - began))
            machine.commit(drafts.all, clock.now())
            changes, is_partial = changes + len(drafts), drafts.is_partial
        found.rounds.append(sum(steps))
        found.steps += steps
        found.changes = max(found.changes, changes)
    return found


def _most_within(times: list[float], seconds: float) -> int:
    """Return the maximum number of these ascending times within a window of seconds."""
    return max((bisect_left(times, begin + seconds) - place for place, begin in enumerate(times)), default=0)


def _targets(count: int) -> tuple[AlertTarget, ...]:
    return tuple(
        AlertTarget(f"n/{n}", {"gpu_uuid": str(n), "node": f"n{n}"}, {"name": f"GPU {n}"}) for n in range(count)
    )


def _delay(at: "_Station", number: int, mails: list[float]) -> float:
    before = len(mails)
    began = time.monotonic()
    at.begin([number])
    at.wait(lambda: len(mails) > before)
    at.begin([])
    at.wait(lambda: len(mails) > before + 1)
    return mails[before] - began - FOR_SECONDS


class _Box:
    """Accepts mails and records their times."""

    def __init__(self) -> None:
        self.mails: list[float] = []

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's
        self.mails.append(time.monotonic())
        return "250 OK"


@contextmanager
def _mailbox() -> Iterator[tuple[int, list[float]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = _Box()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    yield port, box.mails
    server.stop()


class _Station:
    """Alert loop, outbox and senders with a database and given facts."""

    def __init__(self, root: Path, port: int, targets: int) -> None:
        self.database, clock = Database(sqlite_url(root / "database.sqlite")), SystemClock()
        self.database.migrate()
        self._port, self._sealer = port, Sealer(root / "key")
        self._targets, self._hot = _targets(targets), frozenset[int]()
        self.outbox_store, self._channels = OutboxStore(self.database), ChannelStore(self.database)
        notifier = AppriseNotifier(AddressGuard.of(["127.0.0.1"]))
        courier = Courier(self.outbox_store, self._sealer, dict.fromkeys(ChannelKind, notifier), clock)
        self._carriers = ThreadSenders(courier)
        make: Any = lambda now: new_task_id("delivery", now)  # noqa: E731
        self._outbox = Outbox(self.outbox_store, self._channels, self._carriers, clock, make)
        self._carriers.on_done = self._outbox.wake
        rule = AlertRule(
            "hot", "hot", RuleScope.GPU, (parse_clause("t > 50"),), "x", is_builtin=True, for_seconds=FOR_SECONDS
        )
        leadership = Leadership(self.database, "alerts", lambda: "me", clock, lambda _: True)
        machine = AlertStateMachine(clock, lambda now: new_task_id("alert", now), 0.0)
        section = Section(frozenset({RuleScope.GPU}), lambda _: True, leadership, machine)
        store, rules, board, silent = AlertStore(self.database), RuleStore(self.database), self, self
        book = CurrentRules(store, rules, {"hot": rule}, self._channels, clock)
        parts: Any = ((section,), board, store, book, silent, clock, self._on_change)
        self.loop = AlertLoop(*parts)

    def _on_change(self, has_notifications: bool) -> None:
        if has_notifications:
            self._outbox.wake()

    def tables(self, scopes: Sequence[RuleScope], channels: object) -> dict[RuleScope, FactTable]:
        """Return the facts for the loop."""
        values = [90.0 if place in self._hot else 20.0 for place in range(len(self._targets))]
        return (
            {RuleScope.GPU: FactTable(RuleScope.GPU, self._targets, {"t": values})} if RuleScope.GPU in scopes else {}
        )

    def look(self, *_: object) -> None:
        """Do nothing, in place of the emergency notifier."""

    def channel(self, **settings: Any) -> None:
        made = replace(channel(**settings), kind=ChannelKind.APPRISE)
        url = f"mailto://127.0.0.1:{self._port}/?from=a@example.org&to=b@example.org"
        self._channels.add(made, self._sealer.seal(ChannelSecret(url)))
        self.loop.run_once()

    def begin(self, places: Sequence[int]) -> None:
        self._hot = frozenset(places)
        if len(places) > 1:
            self.loop.run_once()
        self.loop.evaluate_gpus()

    def start(self, loop: bool = True) -> None:
        self._carriers.start()
        self._outbox.start()
        if loop:
            self.loop.start()

    def count_notifications(self) -> int:
        return sum(row.count for row in self.outbox_store.page(DeliveryFilter(), PageRequest(500)).rows)

    def wait(self, holds: Any, seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while not holds() and time.monotonic() < end:
            time.sleep(0.005)

    def stop(self) -> None:
        self.loop.stop()
        self._outbox.stop()
        self._carriers.stop()
        self.database.close()


@contextmanager
def _station(root: Path, port: int, targets: int) -> Iterator[_Station]:
    made = _Station(root, port, targets)
    yield made
    made.stop()
