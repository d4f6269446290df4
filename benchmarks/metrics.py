"""What a scrape of /metrics costs with 256 GPUs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, Row, below
from benchmarks.servers import MANY_GPUS, ROOT, CannotRunError, Client, ask, service, simulated

PATH = "/metrics"
LIMIT_MS = 10.0

#: No sweep in between: what a sweep costs is measured elsewhere.
STILL = {"GPU_MONITOR_INTERVAL": "3600", "GPU_STATUS_CHECK_TIMEOUT": "86400"}


def measure(effort: Effort) -> Iterator[Row]:
    """A scrape by HTTP, and the making of the text, beside prometheus-client."""
    inside = _measure_inside(effort.renders)
    beside = f"{MILLISECONDS.show(inside['peer_ms'])} prometheus-client, {inside['series']:,} series"
    with service(**simulated(MANY_GPUS, **STILL)) as server:
        size = len(ask(server, PATH).body)
        client = Client(server)
        before = server.cpu_seconds()
        for _ in range(effort.scrapes):
            client.ask(PATH)
        scrape_ms = 1000 * (server.cpu_seconds() - before) / effort.scrapes
        client.close()
    yield below(f"GET /metrics, 256 GPUs, {size / 1000:,.0f} kB: CPU", scrape_ms, LIMIT_MS, MILLISECONDS, beside)
    yield below("the same made anew: CPU", inside["render_ms"], LIMIT_MS, MILLISECONDS, beside)


def _measure_inside(count: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.inside", "metrics", str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise CannotRunError(f"benchmarks.inside: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
