"""The heads: they start, answer, crash, pause, and return."""

import random
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import TypeVar

from api.domain.reason import Reason
from api.errors import DatabaseUnavailable, InsufficientGPUs
from tests.simulation.alerts import open_channel
from tests.simulation.executor import Fate
from tests.simulation.faults import Crash, Faults
from tests.simulation.known import Known
from tests.simulation.mailbox import Mailbox
from tests.simulation.server import SimulatedServer
from tests.simulation.world import World

T = TypeVar("T")

#: Seconds until a crashed server returns, and of a pause.
BACK_SECONDS = (1.0, 60.0)
STILL_SECONDS = (1.0, 60.0)

#: Seconds between the rounds of the others meanwhile.
BEAT_SECONDS = 2.0


class Servers:
    """All heads on one storage. `log_event` receives the events."""

    def __init__(
        self,
        count: int,
        root: Path,
        url: str,
        world: World,
        chance: random.Random,
        fate: Fate,
        mailbox: Mailbox,
        log_event: Callable[[str], None],
    ) -> None:
        self._root = root
        self._url = url
        self._world = world
        self._chance = chance
        self._fate = fate
        self._mailbox = mailbox
        self._log_event = log_event
        self._servers: list[SimulatedServer | None] = [None] * count
        self._back_at = [0.0] * count
        self._paused: int | None = None  #: the paused server, while the others continue
        self.meanwhile: Callable[[], None] = lambda: None  #: what users do during a pause
        self.known: Known | None = None
        self.last_fault = 0.0  #: monotonic

    @property
    def alive(self) -> list[SimulatedServer]:
        return [server for server in self._servers if server is not None]

    @property
    def has_leader(self) -> bool:
        """Return whether one head assigns GPUs, and one evaluates alerts.

        Others take over after a number of checks, so they have to check often.
        """
        return any(server.leads for server in self.alive) and any(server.alerts.leads for server in self.alive)

    def why_waiting(self, task_id: str) -> list[str]:
        """Return what each head that assigns GPUs decided last about a waiting task, and when."""
        now = self._world.clock.monotonic()
        latest = [server.parts.dispatcher.reasons._published for server in self.alive if server.leads]
        return [f"{each.decided.waiting.get(task_id)} ({now - each.at:.0f} s ago)" for each in latest]

    def reason(self, task_id: str) -> Reason | None:
        """Return why a task waits, as the head decided last that assigns GPUs; None if none does."""
        latest = [server.parts.dispatcher.reasons._published for server in self.alive if server.leads]
        return latest[0].decided.waiting.get(task_id) if latest else None

    def any(self) -> SimulatedServer | None:
        """Return a random server that is alive and answers."""
        answering = [
            server for index, server in enumerate(self._servers) if server is not None and index != self._paused
        ]
        return self._chance.choice(answering) if answering else None

    def set_rate(self, rate: float) -> None:
        """Set the share of locations at which faults strike from now on."""
        for server in self.alive:
            server.faults.rate = rate

    def proceed(self, with_alerts: bool = True) -> None:
        """Run a round of each server, in any order, and restart those whose time has come."""
        for index in self._chance.sample(range(len(self._servers)), len(self._servers)):
            server = self._servers[index]
            if server is not None:
                self.call(server, server.round, "round")
                if with_alerts and self._servers[index] is server:
                    self.call(server, server.run_alerts, "alerts")
            elif self._world.clock.monotonic() >= self._back_at[index]:
                self._begin(index)

    def next_moment(self) -> float:
        """Return when the next server will be back (monotonic), or infinity if all are alive."""
        away = (at for server, at in zip(self._servers, self._back_at, strict=True) if server is None)
        return min(away, default=float("inf"))

    def begin_all(self) -> None:
        """Start those that have not returned."""
        for index, server in enumerate(self._servers):
            if server is None:
                self._begin(index)

    def _begin(self, index: int) -> None:
        name, is_new = f"server{index}", self.known is None
        faults = Faults(self._chance, lambda: self._pause(index))
        server = SimulatedServer(name, self._root, self._url, self._world, faults, self._fate, self._mailbox, is_new)
        if self.known is None:
            open_channel(server.database, self._root)
            self.known = Known(self._url)
        self._servers[index] = server
        # It leads once it has seen for a while that no other server does.
        self.last_fault = self._world.clock.monotonic()
        self._log_event(f"{name} begins")

    def _pause(self, index: int) -> None:
        """Let time pass for one server in the middle of its work, while the others continue."""
        if self._paused is not None:
            return
        self._paused = index
        try:
            # Another process does not share the context variables of the paused one.
            Context().run(self.meanwhile)
            until = self._world.clock.monotonic() + self._chance.uniform(*STILL_SECONDS)
            while self._world.clock.monotonic() < until:
                self._world.clock.advance(self._chance.uniform(0.2, BEAT_SECONDS))
                self._world.proceed()
                for other in self._servers[:index] + self._servers[index + 1 :]:
                    if other is not None:
                        Context().run(self.call, other, other.round, "round")
        finally:
            self._paused = None

    def call(self, server: SimulatedServer, what: Callable[[], T], name: str) -> T | None:
        """Return the answer, or None if there was none. A crash ends the server."""
        try:
            return what()
        except Crash as crash:
            self._log_event(f"{server.name} crashes in {name} at {crash}")
            self.kill(server)
        except (DatabaseUnavailable, InsufficientGPUs, OSError) as error:
            # A newly started head may not have read its GPUs yet, and then refuses requests for them.
            self._log_event(f"{server.name} fails in {name}: {type(error).__name__}")
        finally:
            if server.faults.struck:
                self.last_fault = self._world.clock.monotonic()
                self._log_event(f"{server.name}: {server.faults.struck}")
                server.faults.struck.clear()
        return None

    def kill(self, server: SimulatedServer) -> None:
        """Kill it as the kernel does, at any time."""
        index, now = self._servers.index(server), self._world.clock.monotonic()
        server.die()
        self._servers[index] = None
        self.last_fault, self._back_at[index] = now, now + self._chance.uniform(*BACK_SECONDS)

    def close(self) -> None:
        """End the servers that have not crashed."""
        for server in self.alive:
            server.die()
        if self.known is not None:
            self.known.close()
