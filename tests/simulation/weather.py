"""Failures of the machines: of processes and their supervisors, nodes, heads and clocks."""

import random
from collections.abc import Callable, Sequence

from tests.simulation.servers import Servers
from tests.simulation.world import Run, World

#: Seconds for which a node is dead or cut off.
AWAY_SECONDS = (5.0, 900.0)

#: Seconds by which a clock is wrong.
JUMP_SECONDS = 300.0

#: The share of cut-off nodes that cannot reach the storage either.
ISOLATED = 0.5

#: The share of node failures that hit busy nodes.
BUSY = 0.5

_OF_RUNS = ("trainer", "supervisor", "both", "hidden")
_KINDS = (
    *_OF_RUNS,
    "dies",
    "dies",
    "cut",
    "cut",
    "rack",
    "heads",
    "server",
    "clock",
    "still",
    "still",
    "starting",
    "starting",
)

#: What is killed while a training makes room: mostly heads, which have to complete the stop when they are back.
_OF_STOPS = ("server", "heads", "heads", "supervisor", "trainer", "both")

#: Locations in the start of an attempt at which a head may pause: before and after the submission is recorded.
_OF_STARTS = ("observe", "committed", "submit")


class Weather:
    """Causes one failure at a time, and reports each."""

    def __init__(self, world: World, servers: Servers, chance: random.Random, log_event: Callable[[str], None]) -> None:
        self._world = world
        self._servers = servers
        self._chance = chance
        self._log_event = log_event

    def strike(self) -> None:
        """Cause one failure."""
        kind = self._chance.choice(_KINDS)
        self._servers.last_fault = self._world.clock.monotonic()
        self._log_event(f"weather: {kind}")
        if kind in ("dies", "cut"):
            self._leave(1, is_dead=kind == "dies")
        elif kind == "rack":
            self._leave(max(1, len(self._world.nodes) // 3), is_dead=self._chance.random() < 0.5)
        elif kind == "clock":
            self._world.clock.jump(self._chance.uniform(-JUMP_SECONDS, JUMP_SECONDS))
        elif kind in ("still", "starting"):
            self._pause(is_starting=kind == "starting")
        elif kind in ("server", "heads"):
            self._kill_heads(kind)
        else:
            self._strike_run(kind)

    def _pause(self, is_starting: bool) -> None:
        """Pause the leading head: anywhere, or in the middle of a start.

        The others find that there is no leader, and continue. The paused head wakes up in the middle of its work.
        """
        for server in (server for server in self._servers.alive if server.leads):
            if is_starting and self._servers.known is not None:
                server.faults.pause_at = self._chance.choice(_OF_STARTS), self._servers.known.starting
            else:
                server.faults.should_pause = True

    def _leave(self, count: int, is_dead: bool) -> None:
        now = self._world.clock.monotonic()
        busy = sorted({run.node.name for run in self._world.alive() if run.node.is_seen})
        # Failures of busy nodes are more informative.
        wanted = [node for node in self._world.nodes if node.name in busy] if self._chance.random() < BUSY else ()
        for node in self._chance.sample(wanted if len(wanted) >= count else self._world.nodes, count):
            is_isolated = not is_dead and self._chance.random() < ISOLATED
            node.leave(now, now + self._chance.uniform(*AWAY_SECONDS), is_dead or node.is_dead, is_isolated)
            self._world.changes += 1
            if is_dead:
                self._world.restart(node)
            self._world.end_unsupervised(node)
            self._log_event(f"weather: {node.name} is {'dead' if node.is_dead else 'cut off'}")

    def next_moment(self) -> float:
        """Return when the next node is back, or infinity if all are present."""
        return min((node.back_at for node in self._world.nodes if not node.is_seen), default=float("inf"))

    def clear_up(self, is_over: bool = False) -> None:
        """Let nodes return whose time has come, or all."""
        now = self._world.clock.monotonic()
        for node in self._world.nodes:
            if not node.is_seen and (is_over or now >= node.back_at):
                node.come_back(now)
                self._world.changes += 1
                self._servers.last_fault = now
                self._log_event(f"weather: {node.name} is back")

    def kill(self, stopping: Sequence[Run]) -> None:
        """Kill heads, or a part of one of these runs."""
        kind = self._chance.choice(_OF_STOPS)
        self._servers.last_fault = self._world.clock.monotonic()
        self._log_event(f"weather: kill {kind} during a stop")
        if kind in ("server", "heads"):
            self._kill_heads(kind)
        else:
            self._strike_run(kind, [run for run in stopping if run.is_alive and run.node.is_seen])

    def _kill_heads(self, kind: str) -> None:
        for server in self._servers.alive[: 1 if kind == "server" else None]:
            self._servers.kill(server)

    def _strike_run(self, kind: str, runs: Sequence[Run] | None = None) -> None:
        if runs is None:
            runs = sorted((run for run in self._world.alive() if run.node.is_seen), key=lambda run: run.uid)
        if not runs:
            return
        run = self._chance.choice(runs)
        self._log_event(f"weather: {run.uid}")
        if kind in ("supervisor", "both"):
            self._world.lose_supervisor(run)
        if kind in ("trainer", "both") and run.is_alive:
            self._world.end(run, None, 9)
        if kind == "hidden":
            run.hidden_since = self._world.clock.monotonic()
            run.hidden_until = run.hidden_since + self._chance.uniform(1.0, 40.0)
