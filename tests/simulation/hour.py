"""An hour of a machine with bad luck, from a seed: the same seed is the same hour, event by event."""

import hashlib
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from api.models.training import TaskStatus, TaskSummary
from api.utils.clock import FakeClock
from tests.simulation.promises import (
    check_everything_ended,
    check_nothing_is_free_that_lives,
    check_nothing_is_lost,
    check_stops_are_kept,
)
from tests.simulation.servers import Servers
from tests.simulation.users import Users
from tests.simulation.world import Broken, World

#: Seconds between two events at most.
STRIDE_SECONDS = 8.0

#: The share of the places at which a fault strikes while the weather is bad, and the share of events with such weather.
FAULT_RATE = 0.01
BAD_WEATHER = 0.4

#: Seconds without a fault after which nobody may wait while every GPU is free, and in which everything must have ended.
CALM_SECONDS = 60.0
END_SECONDS = 7200.0

#: Events after the last end, in which the GPUs become free.
LAST_EVENTS = 12


class Hour:
    """What happens, in order. `told` has a line for each event, for whoever looks for the cause of a broken promise."""

    def __init__(self, seed: int, root: Path, seconds: float = 3600.0, gpus: int = 4, servers: int = 2) -> None:
        self.told: list[str] = []
        self._chance = random.Random(seed)
        self._clock = FakeClock()
        self._began = self._clock.monotonic()
        self._seconds = seconds
        self._world = World(self._clock, gpus)
        self._servers = Servers(servers, root, self._world, self._chance, _fate, self._tell)
        self._users = Users(self._servers, self._world, self._chance, self._tell)

    def digest(self) -> str:
        """Of all that happened: two hours with the same one were the same."""
        return hashlib.sha256("\n".join(self.told).encode()).hexdigest()

    @property
    def started(self) -> int:
        """How many trainings were started."""
        return len(self._users.orders.started)

    def run(self) -> None:
        """The hour itself, and then as long as everything needs to end. Raises Broken."""
        with _seeded(self._chance.random()):
            while self._now() < self._seconds:
                self._go_on(is_bad=True)
            self._calm_down()
            end = self._now() + END_SECONDS
            while self._now() < end and any(task.status not in _FINISHED for task in self._servers.tasks().values()):
                self._go_on()
            for _ in range(LAST_EVENTS):
                self._go_on()
            held = self._servers.held_gpus()
            check_everything_ended(self._world, self._users.orders, self._servers.tasks(), held or {})

    def _now(self) -> float:
        return self._clock.monotonic() - self._began

    def _tell(self, what: str) -> None:
        self.told.append(f"{self._now():9.1f} {what}")

    def _go_on(self, is_bad: bool = False) -> None:
        self._clock.advance(self._chance.uniform(0.2, STRIDE_SECONDS))
        self._world.go_on()
        if is_bad:
            self._happen()
        self._servers.go_on()
        self._check()

    def _happen(self) -> None:
        """One event of the machine or of its users."""
        self._servers.set_rate(FAULT_RATE if self._chance.random() < BAD_WEATHER else 0.0)
        users = self._users
        events = (users.start, users.stop, users.resume, users.delete, self._strike_machine, lambda: None)
        self._chance.choices(events, (9, 4, 4, 2, 8, 50))[0]()

    def _calm_down(self) -> None:
        self._servers.set_rate(0.0)
        self._servers.begin_all()
        self._tell("calm")

    def _strike_machine(self) -> None:
        kind = self._chance.choice(("trainer", "supervisor", "both", "hidden", "hidden", "restart", "server", "clock"))
        self._servers.last_fault = self._clock.monotonic()
        self._tell(f"machine: {kind}")
        if kind == "restart":
            self._world.restart_machine()
            for server in self._servers.alive:
                self._servers.kill(server)
        elif kind == "clock":
            self._clock.jump(self._chance.uniform(-300.0, 300.0))
        elif kind == "server":
            server = self._servers.any()
            if server is not None:
                self._servers.kill(server)
        else:
            self._strike_run(kind)

    def _strike_run(self, kind: str) -> None:
        runs = sorted(self._world.alive(), key=lambda run: run.uid)
        if not runs:
            return
        run = self._chance.choice(runs)
        self._tell(f"machine: {run.uid}")
        if kind in ("supervisor", "both"):
            run.is_supervised = False
        if kind in ("trainer", "both"):
            self._world.end(run, None, 9)
        if kind == "hidden":
            run.hidden_since = self._clock.monotonic()
            run.hidden_until = run.hidden_since + self._chance.uniform(1.0, 40.0)

    def _check(self) -> None:
        held = self._servers.held_gpus()
        if held is None:
            return
        known = self._servers.tasks()
        check_nothing_is_lost(self._users.orders, known)
        check_nothing_is_free_that_lives(self._world, held)
        check_stops_are_kept(self._world, self._users.orders)
        if self._clock.monotonic() - self._servers.last_fault > CALM_SECONDS and not held:
            self._check_nobody_waits(known)

    def _check_nobody_waits(self, known: dict[str, TaskSummary]) -> None:
        """Raises Broken when a task has waited for long although every GPU is free."""
        now = self._clock.now()
        waiting = [
            task.task_id
            for task in known.values()
            if task.status is TaskStatus.QUEUED
            and all((now - since).total_seconds() > CALM_SECONDS for since in (task.not_before, task.updated_at))
        ]
        if waiting:
            raise Broken(f"{waiting} wait although every GPU is free")


_FINISHED = frozenset(status for status in TaskStatus if status.is_finished)


def _fate(task_id: str) -> tuple[int, int | None]:
    """How many steps a task makes, and whether its trainer fails: by a chance of its own, so that it stays so."""
    own = random.Random(task_id)
    total = 40 * own.randint(1, 5)
    return total, own.randint(1, total - 1) if own.random() < 0.15 else None


@contextmanager
def _seeded(seed: float) -> Iterator[None]:
    """Makes the service's own random ids those of the seed."""
    drawn = random.Random(seed)
    with (
        mock.patch.object(secrets, "token_hex", lambda size=32: drawn.randbytes(size).hex()),
        mock.patch.object(secrets, "choice", drawn.choice),
    ):
        yield
