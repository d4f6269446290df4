"""States of several machines for tests."""

from collections.abc import Mapping

from api.domain.reason import Reason
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.events import GPUEvents
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading
from api.gpus.state import GPUState, GPUStateKeeper
from api.util.clock import FakeClock
from tests.unit.builders import reading, snapshot


def fleet(
    *gpus: GPUReading,
    held: Mapping[str, RegisteredTask] | None = None,
    drains: Mapping[str, Reason] | None = None,
    silent: float = 0.0,
    clock: FakeClock | None = None,
    sequence: int = 1,
) -> GPUState:
    """Return a state of `here` with GPU 0, and `gpu2` with these GPUs, which reported `silent` seconds ago."""
    clock = clock or FakeClock()
    keeper = GPUStateKeeper("here", clock, 10.0, GPUEvents())
    now = clock.monotonic()
    readings = [GPUReading(**{f: getattr(g, f) for f in g.__slots__} | {"read_monotonic": now - silent}) for g in gpus]
    keeper.update_nodes({"gpu2": NodePart("gpu2", snapshot(*readings, sequence=sequence), now - silent)}, drains or {})
    own = reading(0, read_monotonic=now, processes=())
    return keeper.judge(snapshot(own, taken_monotonic=now), held or {})
