"""Cost of a scrape of /metrics with 256 GPUs."""

from collections.abc import Iterator

from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, Row, below
from benchmarks.servers import MANY_GPUS, CannotRunError, Client, ask, measure_inside, service, simulated

PATH = "/metrics"
LIMIT_MS = 10.0
GPUS = 256

#: Settings without a sweep in between, as its cost is measured elsewhere.
STILL = {"GPU_MONITOR_INTERVAL": "3600", "GPU_STATUS_CHECK_TIMEOUT": "86400"}


def measure(effort: Effort) -> Iterator[Row]:
    """Measure a scrape over HTTP, and the rendering compared with prometheus-client."""
    inside = measure_inside("metrics", effort.renders)
    if inside["series"] < GPUS:
        raise CannotRunError(f"{inside['series']:,} series of {GPUS} GPUs are no metrics of them")
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
    yield below("the same rendered again: CPU", inside["render_ms"], LIMIT_MS, MILLISECONDS, beside)
