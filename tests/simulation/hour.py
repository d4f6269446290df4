"""An hour of machines with failures, from a seed: the same seed gives the same hour, event by event."""

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from api.db.database import sqlite_url
from api.domain.tasks.training import TaskStatus
from api.training.queue.closures import NeighbourRule
from api.util.clock import FakeClock
from tests.simulation.mailbox import Mailbox
from tests.simulation.promises import (
    Preemptions,
    check_everything_ended,
    check_hours_are_kept,
    check_leases_end_in_order,
    check_no_task_waits,
    check_nothing_is_free_that_lives,
    check_nothing_is_lost,
    check_nothing_lives_after_its_end,
    check_room_is_made,
    check_stops_are_kept,
)
from tests.simulation.server import PREEMPT_AFTER
from tests.simulation.servers import Servers
from tests.simulation.users import Users
from tests.simulation.weather import Weather
from tests.simulation.world import SAVING_SECONDS, World

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

#: Maximum seconds before the next round, and seconds between the rounds after an event.
LONGEST_STRIDE = 60.0
NEXT_SECONDS = 3.0

#: The share of locations at which a fault strikes in bad weather, and the share of events with such weather.
FAULT_RATE = 0.01
BAD_WEATHER = 0.4

#: The share of rounds with trainings that make room, after which a head or a process is killed meanwhile.
KILLED_STOPS = 0.3

#: Seconds without a fault after which no task may wait for free GPUs, and within which one of the tasks must end.
CALM_SECONDS = 120.0
END_SECONDS = 6 * 3600.0

#: Seconds of silence after which a node counts as lost and its trainings continue elsewhere: an engine, or never.
LOST_SECONDS = (60.0, float("inf"))

#: Rounds after the last end, in which the GPUs become free.
LAST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Scale:
    """The amount of simulation. By default the events of a day are spread so that it takes at most three hours."""

    seconds: float = 3600.0
    nodes: int = 10
    gpus: int = 2  #: of each node
    servers: int = 2
    events_apart: float = 120.0  #: mean seconds between two events, unless the play is longer
    is_crowded: bool = False  #: many urgent trainings for few GPUs, and fewer failures
    claims: float = 0.0  #: weight of other programs that claim GPUs, which trainings leave then
    windows: float = 0.0  #: weight of changes of the weekly hours; 0: a few

    @property
    def slowness(self) -> float:
        """The factor by which everything takes longer than in an hour."""
        return max(1.0, self.seconds / (3 * 3600.0))

    @property
    def gap(self) -> float:
        """Mean seconds between two events."""
        return self.events_apart * self.slowness

    @property
    def step_seconds(self) -> float:
        return 6.0 * self.slowness


class Hour:
    """The events in order. `events` has a line for each, for the analysis of a broken promise."""

    longest_stride = LONGEST_STRIDE

    def __init__(
        self,
        seed: int,
        root: Path,
        scale: Scale | None = None,
        url: str | None = None,
        begins: datetime = NEW_YEAR,
    ) -> None:
        """Create the hour of a seed on the database with this URL, or on a new file."""
        self._scale = scale or Scale()
        self.events: list[str] = []
        self._chance = random.Random(seed)
        self._clock = FakeClock(begins)
        self._began = self._clock.monotonic()
        self._next_event = self._began
        self._world = World(self._clock, self._scale.nodes, self._scale.gpus, self._scale.step_seconds)
        self._world.lost_seconds = self._chance.choice(LOST_SECONDS)
        if self._scale.claims:
            self._world.neighbour_rule = NeighbourRule.NEIGHBOUR_FIRST
        self._mailbox = Mailbox(self._world)
        self._servers = Servers(
            self._scale.servers,
            root,
            url or sqlite_url(root / "simulated.db"),
            self._world,
            self._chance,
            _fate,
            self._mailbox,
            self._log_event,
        )
        self._users = Users(self._servers, self._world, self._chance, self._log_event)
        self._servers.meanwhile = self._users.stop_what_starts
        self.preemptions = Preemptions(PREEMPT_AFTER)
        self._weather = Weather(self._world, self._servers, self._chance, self._log_event)

    @property
    def started(self) -> int:
        """Return the number of started trainings."""
        return len(self._users.orders.started)

    def run(self) -> None:
        """Play the hour, and then until everything has ended. Raise Broken if a promise is broken."""
        with _seeded(self._chance.random()):
            try:
                while self._now() < self._scale.seconds:
                    self._go_on(is_bad=True)
                self._calm_down()
                self._end()
            finally:
                self._servers.close()

    def _end(self) -> None:
        servers, known = self._servers, self._servers.known
        assert known is not None
        # The queue may be long: as long as its tasks end one after the other, none is forgotten.
        open_tasks, end = len(known.tasks) + 1, 0.0
        while known.unsent or open_tasks:
            before, open_tasks = open_tasks, sum(task.status not in _FINISHED for task in known.tasks.values())
            if open_tasks < before:
                end = self._now() + END_SECONDS * self._scale.slowness
            if self._now() >= end:
                break
            self._go_on()
        for _ in range(LAST_ROUNDS):
            self._stride(self._chance.uniform(2.0, 10.0))
        check_everything_ended(self._world, self._users.orders, known.tasks, known.held)
        self._mailbox.check_all_delivered(*servers.alive[0].alerts.known())

    def _now(self) -> float:
        return self._clock.monotonic() - self._began

    def _log_event(self, what: str) -> None:
        self.events.append(f"{self._now():9.1f} {what}")

    def _go_on(self, is_bad: bool = False) -> None:
        """Advance to the next moment at which something may happen, and run the rounds that follow it."""
        now, moments = self._clock.monotonic(), [self._world.next_moment(), self._servers.next_moment()]
        moments += [self._weather.next_moment(), *([self._next_event] if is_bad else []), *self._next_tries()]
        later = [moment for moment in moments if moment > now]
        longest = self.longest_stride if self._servers.has_leader else NEXT_SECONDS
        wait = min(min(later, default=now + longest) - now, longest)
        self._clock.advance(wait + self._chance.uniform(0.0, NEXT_SECONDS))
        self._world.proceed()
        self._weather.clear_up()
        if is_bad and self._clock.monotonic() >= self._next_event:
            self._next_event = self._clock.monotonic() + self._chance.expovariate(1 / self._scale.gap)
            self._happen()
        self._servers.proceed()
        self._check()
        if self._scale.windows and self.preemptions.stopping and self._chance.random() < KILLED_STOPS:
            self._clock.advance(self._chance.uniform(0.0, SAVING_SECONDS))
            self._world.proceed()
            self._weather.kill(sorted(self.preemptions.stopping.values(), key=lambda run: run.uid))
        for _ in range(self._chance.choice((0, 0, 1))):
            self._stride(self._chance.uniform(0.2, NEXT_SECONDS), with_alerts=False)

    def _stride(self, seconds: float, with_alerts: bool = True) -> None:
        self._clock.advance(seconds)
        self._world.proceed()
        self._servers.proceed(with_alerts)
        self._check()

    def _next_tries(self) -> list[float]:
        """Return when tasks that wait for a retry may start (monotonic)."""
        known, shift = self._servers.known, self._clock.monotonic() - self._clock.now().timestamp()
        tasks = () if known is None else known.tasks.values()
        return [task.not_before + shift for task in tasks if task.status is TaskStatus.QUEUED]

    def _happen(self) -> None:
        """Perform one event of the machines or of their users."""
        self._servers.set_rate(FAULT_RATE if self._chance.random() < BAD_WEATHER else 0.0)
        users = self._users
        events = (users.start, users.stop, users.resume, users.delete, users.pause, users.set_hours)
        events += (self._weather.strike, lambda: None, users.start_urgent, users.change_class, users.claim)
        weights = (30, 1, 2, 1, 1, 0.3, 8, 0, 30, 1) if self._scale.is_crowded else (40, 8, 8, 4, 8, 3, 30, 10, 4, 4)
        hours = self._scale.windows or weights[5]
        self._chance.choices(events, (*weights[:5], hours, *weights[6:], self._scale.claims))[0]()

    def _calm_down(self) -> None:
        self._servers.set_rate(0.0)
        self._weather.clear_up(is_over=True)
        self._servers.begin_all()
        self._servers.set_rate(0.0)
        self._servers.last_fault = self._clock.monotonic()
        self._users.set_hours(always=True)
        self._log_event("calm")

    def _check(self) -> None:
        known, orders, now = self._servers.known, self._users.orders, self._clock.monotonic()
        if known is None:
            return
        if known.read_changes():
            check_nothing_is_lost(orders, known.tasks)
            check_leases_end_in_order(known.broken)
            self.preemptions.check(self._world, orders, known.tasks, now)
        check_nothing_is_free_that_lives(self._world, known.held)
        check_nothing_lives_after_its_end(self._world, known.open)
        check_stops_are_kept(self._world, orders)
        if self._servers.alive and now - self._servers.last_fault > CALM_SECONDS:
            seconds = self._clock.now().timestamp()
            why = self._servers.why_waiting
            check_no_task_waits(self._world, orders, known.tasks, known.held, seconds, CALM_SECONDS, why)
            check_room_is_made(self._world, orders, seconds, CALM_SECONDS)
            check_hours_are_kept(self._world, orders, seconds, CALM_SECONDS)


_FINISHED = frozenset(status for status in TaskStatus if status.is_finished)


def _fate(task_id: str, total: int) -> int | None:
    """Return the step at which a task's trainer fails, or None. Its own random source keeps it constant."""
    own = random.Random(task_id)
    return own.randint(1, total - 1) if own.random() < 0.15 else None


@contextmanager
def _seeded(seed: float) -> Iterator[None]:
    """Draw the service's own random ids and delays from the seed."""
    drawn, before = random.Random(seed), random.getstate()
    random.seed(seed)
    try:
        with (
            mock.patch.object(secrets, "token_hex", lambda size=32: drawn.randbytes(size).hex()),
            mock.patch.object(secrets, "choice", drawn.choice),
        ):
            yield
    finally:
        random.setstate(before)
