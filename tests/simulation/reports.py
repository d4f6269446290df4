"""Five minutes in which nodes report their GPUs to heads over a bad network that loses, doubles and delays reports.

The nodes' reporters and the heads' receivers are the real ones; time, the network and the GPUs are fake.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from api.db.database import sqlite_url
from api.domain.machines.node import SILENT_SECONDS, NodeLocation, NodeStatus
from api.errors import ServiceError
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource
from api.nodes.fleet_store import FleetStore
from api.nodes.head import HeadRejected, HeadUnreachable
from api.nodes.reported_holders import ReportedHolders
from api.nodes.reporter import LONGEST_REST, Reporter
from api.nodes.service import LOOK_SECONDS, NodeService
from api.util.clock import FakeClock
from tests.simulation.faults import Crash, Faults, FaultyDatabase
from tests.simulation.world import Broken
from tests.unit.builders import identity, reading, snapshot, vitals

#: Seconds of failures, and of calm afterwards, in which every head must learn the true state.
SECONDS, CALM_SECONDS = 300.0, 30.0

#: Maximum seconds between two moments, and of the delay of a late report.
LONGEST_STEP, LATE_SECONDS = 3.0, 20.0

#: The possible fates of a report.
_FATES = ("well",) * 8 + ("lost", "no answer", "doubled", "late", "late")

#: Tolerance of an exact moment in seconds.
_SLACK = 0.1

#: The share of the statements of a head that fail.
FAULT_RATE = 0.005


class Machine:
    """One node. The state of its GPU is a number that only grows, shown as used memory."""

    def __init__(self, number: int, clock: FakeClock, link: "Network") -> None:
        self.name = f"node{number}"
        self.clock = clock
        self.truth = 1
        self.is_cut = False
        self._number = number
        self._link = link
        self._starts = 0
        self.begin()

    def begin(self) -> None:
        """Start its program."""
        self._starts += 1
        self._sweeps = 0
        place = NodeLocation(f"m{self._number}", f"box{self._number}", 8081, f"start{self._starts}")
        holders = ReportedHolders(self.name)
        self._gpus = GPUService(FakeSource(0), holders, self.clock)
        self.reporter = Reporter(place, [self._link], self._gpus, holders, self.clock)
        self.reported_at = float("-inf")
        self.sweep()

    def sweep(self) -> None:
        """Read the GPU."""
        self._sweeps += 1
        now, at = self.clock.now(), self.clock.monotonic()
        used = vitals(memory_used_mb=self.truth)
        who = replace(identity(0), uuid=f"GPU-{self._number:08x}-0000-0000-0000-000000000000")
        gpu = reading(0, identity=who, vitals=used, processes=(), read_at=now, read_monotonic=at)
        self._gpus.publish(snapshot(gpu, sequence=self._sweeps, taken_at=now, taken_monotonic=at))

    def report_if_due(self) -> None:
        """Read and report as often as its loop does."""
        if self.clock.monotonic() - self.reported_at >= LONGEST_REST:
            self.reported_at = self.clock.monotonic()
            self.sweep()
            self.reporter.send_report()


class Head:
    """One head, until it crashes."""

    def __init__(self, number: int, root: Path, clock: FakeClock, faults: Faults, is_new: bool) -> None:
        name = f"head{number}"
        self.began_at = clock.monotonic()
        self.database = FaultyDatabase(sqlite_url(root / "reports.db"), root, faults)
        if is_new:
            self.database.migrate()
        self.gpus = GPUService(FakeSource(0), MemoryRegistrations(name), clock)
        place = NodeLocation(f"h{number}", name, 8080, f"at {clock.monotonic()}")
        self.nodes = NodeService(FleetStore(self.database), self.gpus, clock, place, name)
        self.gpus.publish(snapshot(sequence=1, taken_at=clock.now(), taken_monotonic=clock.monotonic()))
        self.shown: dict[str, int] = {}  #: the newest number that it has shown of each node

    def round(self) -> None:
        """Run one round of its loops."""
        self.nodes._poll()
        self.gpus.check_freshness()

    def status(self, name: str) -> NodeStatus | None:
        """Return its status of a node, or None."""
        return next((node.status for node in self.gpus.state.nodes if node.name == name), None)

    def number(self, name: str) -> int | None:
        """Return the number that it shows as a fresh reading of a node's GPU, or None."""
        gpu = next((gpu for gpu in self.gpus.state.gpus if gpu.node == name), None)
        if gpu is None or gpu.judgement.stale or gpu.reading.vitals is None:
            return None
        return gpu.reading.vitals.memory_used_mb


@dataclass(frozen=True, slots=True)
class Late:
    """A report that is still in transit."""

    at: float
    name: str
    report: Mapping[str, Any]


class Network:
    """The network between the nodes and the heads, which share one address."""

    def __init__(self, chance: random.Random, now: Callable[[], float]) -> None:
        self.address = "http://heads"
        self._chance = chance
        self._now = now
        self.is_bad = True
        self.machines: dict[str, Machine] = {}
        self.heads: list[Head | None] = []
        self.late: list[Late] = []
        self.arrived_at: dict[str, float] = {}

    def send_report(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        """Send a report, as the reporter does."""
        content = orjson.loads(report)["report"]
        fate = self._chance.choice(_FATES) if self.is_bad else "well"
        if self.machines[name].is_cut or fate == "lost":
            raise HeadUnreachable("it is lost")
        if fate in ("doubled", "late"):
            self.late.append(Late(self._now() + self._chance.uniform(0.0, LATE_SECONDS), name, content))
        if fate == "late":
            raise HeadUnreachable("it takes too long")
        receipt = self.deliver(name, content)
        if fate == "no answer":
            raise HeadUnreachable("the answer is lost")
        return receipt

    def close(self) -> None:
        """Do nothing."""

    def deliver(self, name: str, report: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver a report to any head."""
        head = self._chance.choice([head for head in self.heads if head is not None] or [None])
        if head is None:
            raise HeadUnreachable("no head is alive")
        # Even if the answer is lost, the heads may know the number from now on.
        self.arrived_at[name] = self._now()
        try:
            receipt = head.nodes.receive(name, report)
        except Crash:
            self.heads[self.heads.index(head)] = None
            head.database.close()
            raise HeadUnreachable("it has crashed") from None
        except ServiceError as error:
            raise HeadRejected(error.status, error.code, str(error)) from None
        answer: Mapping[str, Any] = orjson.loads(orjson.dumps(receipt, option=orjson.OPT_UTC_Z))
        return answer

    def deliver_late(self) -> None:
        """Deliver the reports that were in transit for long enough, in any order, without an answer."""
        due = [late for late in self.late if late.at <= self._now()]
        self.late = [late for late in self.late if late.at > self._now()]
        for late in due:
            try:
                self.deliver(late.name, late.report)
            except (HeadUnreachable, HeadRejected):
                continue


class Reports:
    """The play of a seed. `events` has a line for each event."""

    def __init__(self, seed: int, root: Path, machines: int = 3, heads: int = 2) -> None:
        self.events: list[str] = []
        self._root = root
        self._chance = random.Random(f"reports {seed}")
        self._clock = FakeClock()
        self._network = Network(self._chance, self._clock.monotonic)
        for number in range(machines):
            machine = Machine(number, FakeClock(), self._network)
            self._network.machines[machine.name] = machine
        self._rate = FAULT_RATE
        self._network.heads = [None] * heads
        self._has_tables = False
        self._drained: dict[str, tuple[bool, float]] = {}  #: the last acknowledged change, and its time

    def run(self) -> None:
        """Play the seed. Raise Broken if a promise is broken."""
        end = self._clock.monotonic() + SECONDS
        try:
            while self._clock.monotonic() < end:
                if self._chance.random() < 0.4:
                    self._happen()
                self._go_on()
            self._calm_down()
            end = self._clock.monotonic() + CALM_SECONDS
            while self._clock.monotonic() < end:
                self._go_on()
            self._check_the_end()
        finally:
            for head in self._heads():
                head.database.close()

    def _heads(self) -> list[Head]:
        return [head for head in self._network.heads if head is not None]

    def _log_event(self, what: str) -> None:
        self.events.append(f"{self._clock.monotonic():9.1f} {what}")

    def _go_on(self) -> None:
        seconds = self._chance.uniform(0.1, LONGEST_STEP)
        self._clock.advance(seconds)
        for number, head in enumerate(self._network.heads):
            if head is None:
                self._begin(number)
        for machine in self._network.machines.values():
            machine.clock.advance(seconds)
            machine.report_if_due()
        self._network.deliver_late()
        for head in self._heads():
            self._guard(head, head.round)
        for head in self._heads():
            self._check(head)

    def _begin(self, number: int) -> None:
        faults = Faults(self._chance)
        head = Head(number, self._root, self._clock, faults, not self._has_tables)
        faults.rate = self._rate
        self._has_tables = True
        self._network.heads[number] = head
        self._log_event(f"head{number} begins")

    def _guard(self, head: Head, do: Callable[[], object]) -> bool:
        """Return whether the call succeeded. A crash ends the head."""
        try:
            do()
        except Crash:
            self._network.heads[self._network.heads.index(head)] = None
            head.database.close()
            self._log_event("a head crashes")
        except ServiceError as error:
            self._log_event(f"refused: {error.code}")
        else:
            return True
        return False

    def _happen(self) -> None:
        machine = self._chance.choice(list(self._network.machines.values()))
        kind = self._chance.choice(("new", "new", "new", "cut", "heal", "restart", "leave", "clock", "drain", "drain"))
        self._log_event(f"{machine.name}: {kind}")
        if kind == "new":
            machine.truth += 1
        elif kind in ("cut", "heal"):
            machine.is_cut = kind == "cut"
        elif kind in ("restart", "leave"):
            if kind == "leave":
                machine.reporter.send_report(leaves=True)
            # Its connections end with the program.
            self._network.late = [late for late in self._network.late if late.name != machine.name]
            machine.begin()
        elif kind == "clock":
            machine.clock.jump(self._chance.uniform(-300.0, 300.0))
        else:
            self._drain(machine.name)

    def _drain(self, name: str) -> None:
        if not self._heads():
            return
        head, is_drained = self._chance.choice(self._heads()), not self._drained.get(name, (False, 0.0))[0]
        self._drained.pop(name, None)
        nodes = head.nodes
        if self._guard(head, lambda: nodes.drain(name, "repair", "ann") if is_drained else nodes.undrain(name)):
            self._drained[name] = is_drained, self._clock.monotonic()
            self._log_event(f"{name} is {'drained' if is_drained else 'not drained any more'}")

    def _check(self, head: Head) -> None:
        now = self._clock.monotonic()
        for name in self._network.machines:
            number, status = head.number(name), head.status(name)
            if number is not None and status is not NodeStatus.UNKNOWN:
                if number < head.shown.get(name, 0):
                    raise Broken(f"{name} was shown with {head.shown[name]}, and is now shown with the older {number}")
                head.shown[name] = number
            last_report_at = self._network.arrived_at.get(name, float("-inf"))
            if status is NodeStatus.UP and now - last_report_at > SILENT_SECONDS + _SLACK:
                raise Broken(f"{name} is up, but its last report is {now - last_report_at:.1f} s old")
            self._check_drain(name, status, now - max(head.began_at, self._drained.get(name, (False, now))[1]))

    def _check_drain(self, name: str, status: NodeStatus | None, since: float) -> None:
        # A failed read is made up for by the next.
        if since <= 4 * (LOOK_SECONDS + LONGEST_STEP) or name not in self._drained:
            return
        is_drained = self._drained[name][0]
        if status is (NodeStatus.UP if is_drained else NodeStatus.DRAINING):
            raise Broken(f"{name} is {status}, {since:.0f} s after it was {'' if is_drained else 'un'}drained")

    def _calm_down(self) -> None:
        self._log_event("calm")
        self._rate = 0.0
        for head in self._heads():
            head.database._faults.rate = 0.0
        self._network.is_bad, self._network.late = False, []
        for machine in self._network.machines.values():
            machine.is_cut = False

    def _check_the_end(self) -> None:
        for machine in self._network.machines.values():
            for head in self._heads():
                status, number = head.status(machine.name), head.number(machine.name)
                if status not in (NodeStatus.UP, NodeStatus.DRAINING) or number != machine.truth:
                    raise Broken(f"after recovery {machine.name} is {status} with {number} instead of {machine.truth}")
