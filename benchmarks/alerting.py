"""Alerts on a server: cost of rules at rest, and latency of other requests while ten thousand alerts start."""

import time
from collections.abc import Iterator, Sequence

import orjson

from benchmarks.effort import Effort
from benchmarks.rows import COUNT, MILLISECONDS, PERCENT, Row, at_least, below
from benchmarks.servers import EIGHT_GPUS, Client, Running, ask, service, simulated

ALERTS = "/api/v1/alerts"
PATHS = ("/api/v1/gpu/status", "/api/v1/training/list", "/health")
JSON = {"Content-Type": "application/json"}

#: Number of simulated boards, and of rules that are true for each: their product is the size of the burst.
BOARDS, RULES = 64, 160

#: Seconds between two requests, and the maximum duration of the burst.
ASK_SECONDS = 0.02
BURST_SECONDS = 60.0

#: Times the measure of `idle_seconds`, as the share is small.
LONGER = 2


def measure(effort: Effort) -> Iterator[Row]:
    """Measure both."""
    with service(**simulated(EIGHT_GPUS)) as server:
        ask(server, PATHS[0])
        seconds = LONGER * effort.idle_seconds
        with_rules = _rest(server, seconds)
        _enable_all(server, is_enabled=False)
        without = _rest(server, seconds)
    beside = f"{PERCENT.show(with_rules)} with, {PERCENT.show(without)} without"
    yield below("the built-in rules on 8 GPUs, at rest: share of a core", with_rules - without, 0.3, PERCENT, beside)
    with service(**simulated(f"{BOARDS}x NVIDIA H100 80GB HBM3")) as server:
        ask(server, PATHS[0])
        quiet = _ask_in_turn(server, effort.live_seconds / 2)
        _add_rules(server)
        asked = _ask_in_turn(server, BURST_SECONDS, until=BOARDS * RULES)
        found = _count(Client(server))
    beside = f"{MILLISECONDS.show(quiet)} before"
    yield at_least("alerts that began at once", found, BOARDS * RULES, COUNT)
    yield below("meanwhile, every 20 ms a request: p99", asked, 50.0, MILLISECONDS, beside)


def _rest(server: Running, seconds: int) -> float:
    """Return the idle server's share of a core in %."""
    time.sleep(1.0)
    began, cpu = time.perf_counter(), server.cpu_seconds()
    time.sleep(seconds)
    return 100 * (server.cpu_seconds() - cpu) / (time.perf_counter() - began)


def _enable_all(server: Running, is_enabled: bool) -> None:
    client = Client(server)
    for rule in orjson.loads(client.ask(f"{ALERTS}/rules?limit=500").body)["data"]["rules"]:
        body = orjson.dumps({"enabled": is_enabled})
        client.ask(f"{ALERTS}/rules/{rule['rule_id']}", method="PATCH", body=body, headers=JSON)
    client.close()


def _add_rules(server: Running) -> None:
    """Create rules that become true together, seconds after the last one is created."""
    client = Client(server)
    for number in range(RULES):
        rule = {
            "rule_id": f"burst_{number}",
            "title": "burst",
            "scope": "gpu",
            "when": ["temperature_gpu >= 1"],
            "for_seconds": 5,
            "summary": "{gpu} is there",
        }
        client.ask(f"{ALERTS}/rules", method="POST", body=orjson.dumps(rule), headers=JSON)
    client.close()


def _count(client: Client) -> int:
    found = orjson.loads(client.ask(f"{ALERTS}?state=firing&limit=1").body)
    return int(found["data"]["pagination"]["total"])


def _ask_in_turn(server: Running, seconds: float, until: int | None = None, paths: Sequence[str] = PATHS) -> float:
    """Return the 99th percentile of requests in milliseconds, for a duration or until a number of alerts fire."""
    client, taken = Client(server), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and (until is None or _count(client) < until):
        for path in paths:
            began = time.perf_counter()
            client.ask(path)
            taken.append(1000 * (time.perf_counter() - began))
            time.sleep(ASK_SECONDS)
    client.close()
    return sorted(taken)[int(0.99 * len(taken))]
