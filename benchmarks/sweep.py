"""Cost of a sweep: reading NVML through a fake library, evaluating, encoding and publishing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, PERCENT, Row, below
from benchmarks.servers import CannotRunError, measure_inside
from tests.standin import StandIn

INTERVAL_SECONDS = 5.0


def measure(effort: Effort) -> Iterator[Row]:
    """Measure sweeps of 8 and 256 GPUs, compared with their bare NVML calls."""
    with tempfile.TemporaryDirectory() as folder:
        few = _measure_sweeps(Path(folder), 8, effort.sweeps)
        share = 100 * few["sweep_ms"] / 1000 / INTERVAL_SECONDS
        bare_share = 100 * few["bare_ms"] / 1000 / INTERVAL_SECONDS
        yield below("sweep of 8 GPUs: CPU", few["sweep_ms"], 3.0, MILLISECONDS, _bare(few))
        yield below("the same every 5 s: share of a core", share, 0.2, PERCENT, f"{PERCENT.show(bare_share)} bare NVML")
        many = _measure_sweeps(Path(folder), 256, effort.sweeps_of_many)
        yield below("sweep of 256 GPUs: CPU", many["sweep_ms"], 100.0, MILLISECONDS, _bare(many))


def _bare(found: dict[str, Any]) -> str:
    return f"{MILLISECONDS.show(found['bare_ms'])} its {found['calls']:,.0f} NVML calls bare"


def _measure_sweeps(folder: Path, gpus: int, sweeps: int) -> dict[str, Any]:
    machine = StandIn(folder)
    machine.add_gpus(gpus)
    found = measure_inside("sweep", sweeps, machine.environment())
    if found["gpus"] != gpus:
        raise CannotRunError(f"the stand-in shows {found['gpus']} GPUs instead of {gpus}")
    return found
