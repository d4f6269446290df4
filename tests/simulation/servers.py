"""The servers of the simulated machine: they begin, are asked, crash, and come back."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from api.errors import DatabaseUnavailable
from api.models.lease import LeaseKind
from api.models.training import TaskSummary
from api.storage.tables import tasks
from tests.simulation.executor import Fate
from tests.simulation.faults import Crash, Faults
from tests.simulation.server import SimulatedServer
from tests.simulation.world import World

T = TypeVar("T")

#: Seconds until a crashed server is back.
BACK_SECONDS = (1.0, 60.0)


class Servers:
    """All servers on one storage. `tell` takes what happens to them."""

    def __init__(
        self, count: int, root: Path, world: World, chance: random.Random, fate: Fate, tell: Callable[[str], None]
    ) -> None:
        self._root = root
        self._world = world
        self._chance = chance
        self._fate = fate
        self._tell = tell
        self._servers: list[SimulatedServer | None] = [None] * count
        self._back_at = [0.0] * count
        self._known: dict[str, TaskSummary] = {}
        self.last_fault = 0.0  #: monotonic

    @property
    def alive(self) -> list[SimulatedServer]:
        return [server for server in self._servers if server is not None]

    def any(self) -> SimulatedServer | None:
        """One that lives, by chance."""
        return self._chance.choice(self.alive) if self.alive else None

    def set_rate(self, rate: float) -> None:
        """From now on faults strike at this share of all places."""
        for server in self.alive:
            server.faults.rate = rate

    def go_on(self) -> None:
        """A round of each server, in any order; those whose time has come begin anew."""
        for index in self._chance.sample(range(len(self._servers)), len(self._servers)):
            server = self._servers[index]
            if server is not None:
                self.ask(server, server.round, "round")
            elif self._world.clock.monotonic() >= self._back_at[index]:
                self._begin(index)

    def begin_all(self) -> None:
        """Starts those that have not come back."""
        for index, server in enumerate(self._servers):
            if server is None:
                self._begin(index)

    def _begin(self, index: int) -> None:
        name = f"server{index}"
        self._servers[index] = SimulatedServer(name, self._root, self._world, Faults(self._chance), self._fate)
        self._tell(f"{name} begins")

    def ask(self, server: SimulatedServer, what: Callable[[], T], name: str) -> T | None:
        """The answer, or None where there was none. A crash ends the server."""
        try:
            return what()
        except Crash as crash:
            self._tell(f"{server.name} crashes in {name} at {crash}")
            self.kill(server)
        except (DatabaseUnavailable, OSError) as error:
            self._tell(f"{server.name} fails in {name}: {type(error).__name__}")
        finally:
            if server.faults.told:
                self.last_fault = self._world.clock.monotonic()
                self._tell(f"{server.name}: {server.faults.told}")
                server.faults.told.clear()
        return None

    def kill(self, server: SimulatedServer) -> None:
        """As the kernel does it, at any time."""
        index, now = self._servers.index(server), self._world.clock.monotonic()
        server.die()
        self._servers[index] = None
        self.last_fault, self._back_at[index] = now, now + self._chance.uniform(*BACK_SECONDS)

    # Looking, without faults

    def tasks(self) -> dict[str, TaskSummary]:
        """Every task, by its id; as they were last while no server lives."""
        with self._looking() as server:
            if server is not None:
                with server.database.read() as connection:
                    ids = list(connection.scalars(select(tasks.c.task_id)))
                self._known = server.tasks.get_summaries(ids)
        return self._known

    def held_gpus(self) -> dict[str, str] | None:
        """The task that holds each GPU; None while no server lives."""
        with self._looking() as server:
            if server is None:
                return None
            return {lease.resource: lease.task_id for lease in server.attempts.leases(LeaseKind.GPU)}

    @contextmanager
    def _looking(self) -> Iterator[SimulatedServer | None]:
        server = next(iter(self.alive), None)
        if server is None:
            yield None
            return
        rate, server.faults.rate = server.faults.rate, 0.0
        try:
            yield server
        finally:
            server.faults.rate = rate
