"""Cost of a node's report for its head over HTTP, compared with the same bytes through Redis.

    python -m benchmarks.fleet_reports [nodes] [reports of each]

Prints the bytes of a report, milliseconds of a head's CPU for reading one, and seconds from sending to having it.
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable
from statistics import median, quantiles

import httpx
import orjson
import redis

from api.domain.machines.node import NodeLocation
from api.gpus.monitor import GPUMonitor
from api.gpus.snapshot import GPUSnapshot
from api.gpus.sources.boards import parse_boards
from api.gpus.sources.simulated import SimulatedSource
from api.nodes.report_check import read_report
from api.nodes.wire import encode_report, make_report, take_report
from api.util.clock import SystemClock
from benchmarks.servers import service, simulated

CLOCK = SystemClock()


#: Numbers the reports.
_COUNT = itertools.count()


def sweep(seed: int) -> GPUSnapshot:
    """Return the readings of a node with eight GPUs."""
    found: list[GPUSnapshot] = []
    source = SimulatedSource(parse_boards("8x NVIDIA H100 80GB HBM3"), seed, CLOCK)
    monitor = GPUMonitor(source, 5.0, CLOCK, found.append)
    monitor.sweep()
    monitor.stop()
    return found[0]


def body_of(number: int) -> bytes:
    """Return the report of a node."""
    place = NodeLocation("m", f"box{number}", 8081, "s")
    return encode_report(
        make_report(sweep(number), place, "1.0.0", 5.0, CLOCK.monotonic(), CLOCK.now(), mark=CLOCK.mark())
    )


def measure(bodies: list[bytes], rounds: int, send: Callable[[int, bytes], None]) -> list[float]:
    """Return the seconds per report, sent by all nodes in sequence."""
    taken = []
    for _ in range(rounds):
        for number, body in enumerate(bodies):
            began = time.perf_counter()
            send(number, body)
            taken.append(time.perf_counter() - began)
    return taken


def show(name: str, taken: list[float]) -> None:
    p99 = quantiles(taken, n=100)[98] if len(taken) > 1 else taken[0]
    print(f"{name:36} median {median(taken) * 1000:7.2f} ms   p99 {p99 * 1000:7.2f} ms")


def read_only(_: int, body: bytes) -> None:
    take_report("gpu", read_report(orjson.loads(body), "gpu"), CLOCK.monotonic(), CLOCK.now())


def through_redis(bodies: list[bytes], rounds: int) -> list[float]:
    """Return the seconds until a subscriber, in the role of a head, has read the report."""
    client = redis.Redis()
    channel, received, came = f"bench-{time.time_ns()}", threading.Event(), client.pubsub()
    came.subscribe(channel)
    came.get_message(timeout=1)

    def listen() -> None:
        for message in came.listen():
            if message["type"] == "message":
                if message["data"] == b"end":
                    return
                read_only(0, message["data"])
                received.set()

    thread = threading.Thread(target=listen)
    thread.start()

    def send(_: int, body: bytes) -> None:
        received.clear()
        client.publish(channel, body)
        received.wait(5)

    taken = measure(bodies, rounds, send)
    client.publish(channel, b"end")
    thread.join()
    return taken


def main() -> None:
    nodes, rounds = (int(text) for text in [*sys.argv[1:3], "50", "20"][:2])
    bodies = [body_of(number) for number in range(nodes)]
    print(f"{nodes} nodes with 8 GPUs, {rounds} reports of each; {median(map(len, bodies)):,.0f} bytes a report")
    show("reading one, nothing else", measure(bodies, rounds, read_only))
    with service(**simulated("8x NVIDIA H100 80GB HBM3")) as server, httpx.Client() as client:

        def post(number: int, body: bytes) -> None:
            address = server.url(f"/api/v1/nodes/box{number}/report")
            # A repeated report would be rejected: each must be later than the last.
            fresh = b'%b,"uptime":%d.%06d}' % (body[:-1], 10**7, next(_COUNT))
            answer = client.post(
                address, content=b'{"report":%b}' % fresh, headers={"Content-Type": "application/json"}
            )
            answer.raise_for_status()

        before = server.cpu_seconds()
        show("by HTTP, receipt and row included", measure(bodies, rounds, post))
        spent = (server.cpu_seconds() - before) / (nodes * rounds)
        print(f"the head's CPU for each: {spent * 1000:.2f} ms; every 5 s: {spent * nodes / 5:.1%} of a core")
    show("through Redis, until it is read", through_redis(bodies, rounds))


if __name__ == "__main__":
    main()
