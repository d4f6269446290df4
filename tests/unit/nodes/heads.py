"""Heads on one database with clocks that tests set."""

from api.db.database import Database
from api.domain.machines.gpu_event import EventType
from api.domain.machines.node import NodeLocation, NodeStatus
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource
from api.nodes.fleet_store import FleetStore
from api.nodes.service import NodeService
from api.util.clock import FakeClock
from tests.unit.builders import reading
from tests.unit.nodes.builders import PLACE, report

HEAD = NodeLocation("m0", "headbox", 8080, "h1")


class FleetHead:
    """A head on a database with a clock that a test sets."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.clock = clock
        self.gpus = GPUService(FakeSource(count=0), MemoryRegistrations("head"), clock)
        self.store = FleetStore(database)
        self.nodes = NodeService(self.store, self.gpus, clock, HEAD, "head")
        self.nodes.refresh()
        self.gpus._monitor.sweep()

    def receive(self, name: str = "gpu2", *indices: int, place: NodeLocation = PLACE, **changes: object) -> NodeStatus:
        gpus = [reading(index, processes=()) for index in indices or (1,)]
        status = self.nodes.receive(name, report(*gpus, place=place, **changes)).state
        self.gpus.check_freshness()
        return status

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.gpus._monitor.sweep()
        self.nodes.refresh()
        self.gpus.check_freshness()

    def state(self, name: str = "gpu2") -> NodeStatus:
        return self.nodes.get(name).state

    def statuses(self) -> list[tuple[str | None, str | None]]:
        events = self.gpus._events.list()
        return [(event.node, event.current) for event in events if event.type is EventType.NODE]  # type: ignore[attr-defined]
