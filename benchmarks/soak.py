"""Memory of the service under many different requests: it must stay bounded."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.effort import Effort
from benchmarks.rows import COUNT, SMALL_MEGABYTES, Row, below, without_limit
from benchmarks.servers import Client, Running, service, simulated

CLIENTS = 6

#: Tolerance, since a request may be in progress at either measurement.
OPEN_FILES_LIMIT = 10

TASKS = "/api/v1/gpu/tasks"
VALIDATE = "/api/v1/training/validate"
JSON = {"Content-Type": "application/json"}

#: The paths that are read over and over; each `{}` is another number each time.
READS = (
    "/health",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/",
    "/api/v1/gpu/status",
    "/api/v1/gpu/0/details",
    "/api/v1/gpu/0/history?metric=temperature_gpu",
    "/api/v1/gpu/available?min_memory={}",
    "/api/v1/gpu/events",
    "/api/v1/gpu/tasks",
    "/api/v1/system/overview",
    "/api/v1/system/logs?tail=500",
    "/api/v1/system/logs/search?q=r{}",
    "/api/v1/training/list",
    "/api/v1/training/unknown-{}",
    "/api/v1/nothing/{}",
)


def measure(effort: Effort) -> Iterator[Row]:
    """Measure memory after a warm-up, and its growth by as many requests again, which must be less."""
    with service(**simulated("4x NVIDIA GeForce RTX 4090", GPU_MONITOR_INTERVAL="1")) as server:
        began = server.rss_mb()
        failed = _drive(server, effort.soak_requests, seed=1)
        warm, files = server.rss_mb(), server.process.num_fds()
        failed += _drive(server, effort.soak_requests, seed=2)
        gained, opened = server.rss_mb() - warm, server.process.num_fds() - files
    what = f"{effort.soak_requests:,} varied requests"
    yield without_limit(f"soak: memory gained by {what}", warm - began, SMALL_MEGABYTES)
    yield below("soak: and by as many again", gained, 6.0, SMALL_MEGABYTES)
    yield below("soak: open files gained by as many again", opened, OPEN_FILES_LIMIT, COUNT)
    yield below("soak: requests that the service failed at, 5xx", failed, 1, COUNT)


def _drive(server: Running, requests: int, seed: int) -> int:
    """Return the number of responses with 5xx."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        return sum(threads.map(lambda number: _ask(server, requests // CLIENTS, seed * 1000 + number), range(CLIENTS)))


def _ask(server: Running, requests: int, seed: int) -> int:
    chance = random.Random(seed)
    client = Client(server)
    statuses: list[int] = []
    try:
        for _ in range(requests // 10):
            statuses += _hold_and_release(client, chance)
            body = {"model_type": "toy", "config": {"epochs": chance.randrange(1, 9), f"x{chance.randrange(10**6)}": 1}}
            statuses.append(client.ask(VALIDATE, JSON, "POST", json.dumps(body).encode()).status)
            for _ in range(7):
                statuses.append(client.ask(chance.choice(READS).format(chance.randrange(10**6))).status)
    finally:
        client.close()
    return sum(status >= 500 for status in statuses)


def _hold_and_release(client: Client, chance: random.Random) -> Iterator[int]:
    body = {"gpu_ids": [chance.randrange(4)], "task_type": "external"}
    key = f"{chance.getrandbits(60):x}"
    made = client.ask(TASKS, {**JSON, "Idempotency-Key": key}, "POST", json.dumps(body).encode())
    yield made.status
    if made.status == 201:
        yield client.ask(f"{TASKS}/{json.loads(made.body)['data']['task_id']}", method="DELETE").status
