"""Reports and nodes for tests."""

import itertools
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from api import __version__
from api.domain.machines.node import NodeLocation
from api.gpus.snapshot import GPUReading
from api.nodes.wire import encode_report, make_report
from api.util.clock import Mark
from tests.unit.builders import MONOTONIC, reading, snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = NodeLocation("m1", "box1", 8081, "s1")

#: Each report is later than the one before.
_UPTIMES = itertools.count(100.0)


def report(
    *gpus: GPUReading, place: NodeLocation = PLACE, version: str = __version__, **changes: Any
) -> dict[str, Any]:
    """A node's report as parsed JSON."""
    seen = snapshot(*(gpus or (reading(0),)))
    mark = Mark("boot1", next(_UPTIMES))
    result = make_report(seen, place, version, 5.0, MONOTONIC, NOW, mark=mark)
    parsed: dict[str, Any] = orjson.loads(encode_report(result))
    return {**parsed, **changes}


def at(place: NodeLocation, **changes: Any) -> NodeLocation:
    """A location with other fields."""
    return NodeLocation(**{**asdict(place), **changes})
