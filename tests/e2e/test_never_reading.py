"""Subscribers that never read are disconnected, use no memory, and disturb no other client.

Each of these takes the 20 s that a server waits for a client, so all run together, each with its own server.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.listener import Listener
from tests.e2e.server import BASE, ServerProcess, until
from tests.e2e.test_following import LogFollower
from tests.e2e.test_live import EVENTS, request, task_stream
from tests.e2e.test_streams import SSE_REQUEST, STREAM, WEB_SOCKET_REQUEST, connections, stalled
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.patience import BUSY_SECONDS

DROPPED_WITHIN = 30.0

#: A message is 200 kB with 256 GPUs and 50 kB with 64, five times a second.
MANY = {"SIMULATED_GPUS": "256x NVIDIA H100 80GB HBM3", "GPU_MONITOR_INTERVAL": "0.2"}
BUSY = {"SIMULATED_GPUS": "64x NVIDIA H100 80GB HBM3", "GPU_MONITOR_INTERVAL": "0.2"}


class Reader:
    """A subscriber that reads all and records the numbers."""

    def __init__(self, server: ServerProcess) -> None:
        self.numbers: list[int] = []
        self._sock = socket.create_connection(("127.0.0.1", server.port))
        self._sock.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            with self._sock.makefile("rb") as lines:
                for line in lines:
                    if line.startswith(b"id: "):
                        self.numbers.append(int(line[4:]))
        except OSError:
            return

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._sock.close()


def leave_readings_unread(directory: Path) -> None:
    """Six clients do not read, while another one gets every event."""
    with ServerProcess(directory, MANY) as server:
        reader = Reader(server)
        until(lambda: reader.numbers)
        dead = [stalled(server, request) for request in (SSE_REQUEST, WEB_SOCKET_REQUEST) * 3]
        began = time.monotonic()
        try:
            until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 7, timeout=5)
            until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 1, timeout=DROPPED_WITHIN)
            until(lambda: len(connections(server)) <= 2, timeout=max(1.0, began + DROPPED_WITHIN - time.monotonic()))
        finally:
            for sock in dead:
                sock.close()
            reader.close()
        assert reader.numbers == list(range(reader.numbers[0], reader.numbers[0] + len(reader.numbers)))
        assert server.tracebacks() == []


def subscribers(server: TrainingServer) -> float:
    return server.metrics()["diffusion_pipe_stream_subscribers"]


def dropped(server: TrainingServer) -> float:
    return sum(value for name, value in server.metrics().items() if name.startswith("diffusion_pipe_stream_dropped"))


def leave_trainings_unread(directory: Path) -> None:
    """200 clients do not read four streams."""
    with TrainingServer(directory, **BUSY) as server, Listener(server, EVENTS) as reader:
        task_id = server.start_task(toy(30_000, knobs={"log_lines_per_step": 200}))
        server.await_status(task_id, "running")
        before = server.memory()
        paths = (EVENTS, task_stream(task_id), f"{BASE}/gpu/stream", f"{BASE}/training/{task_id}/logs/stream")
        began = time.monotonic()
        dead = [stalled(server, request(path)) for path in paths * 50]
        highest = before
        try:
            # On a busy machine the first are disconnected before the last have connected.
            until(lambda: subscribers(server) + dropped(server) > 150)
            while server.metrics()["diffusion_pipe_stream_subscribers"] > 1:
                highest = max(highest, server.memory())
                assert time.monotonic() - began < DROPPED_WITHIN + 5 + BUSY_SECONDS, server.metrics()
                time.sleep(0.2)
            until(lambda: len(connections(server)) <= 2, timeout=10)
        finally:
            for sock in dead:
                sock.close()
        assert highest - before < 200 * 2**20
        assert not reader.is_over
        until(lambda: any("dropped" in m["data"]["message"] for m in reader.of("system")))
        assert server.tracebacks() == []


def leave_log_unread(directory: Path) -> None:
    """200 clients do not read a log from its beginning."""
    with TrainingServer(directory) as server:
        task_id = server.start_task(toy(30_000, step_seconds=0.1, every=None, knobs={"log_lines_per_step": 400}))
        server.await_step(task_id, 30)
        path = f"/training/{task_id}/logs/stream?offset=0"
        LogFollower(path).read(server, 1.0)
        before = server.memory()
        dead = [stalled(server, request(f"{BASE}{path}")) for _ in range(200)]
        try:
            until(lambda: len(connections(server)) >= 200, LONG)
            began, most = time.monotonic(), 0
            while len(connections(server)) > 5:
                most = max(most, server.memory())
                assert time.monotonic() - began < DROPPED_WITHIN + BUSY_SECONDS, (
                    f"{len(connections(server))} are still connected"
                )
                time.sleep(0.5)
        finally:
            for sock in dead:
                sock.close()
        assert most - before < 96 * 2**20
        reader = LogFollower(path)
        reader.read(server, 2.0)
        assert reader.lines
        assert server.tracebacks() == []
        server.stop_task(task_id, force=True)
        server.await_status(task_id, "stopped")


Play = Callable[[Path], None]

PLAYS: tuple[Play, ...] = (leave_readings_unread, leave_trainings_unread, leave_log_unread)


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Play, Future[None]]]:
    directory = tmp_path_factory.mktemp("never")
    with ThreadPoolExecutor(len(PLAYS)) as pool:
        found = {}
        for play in PLAYS:
            (directory / play.__name__).mkdir()
            found[play] = pool.submit(play, directory / play.__name__)
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_subscribers_that_never_read_are_disconnected_in_time_and_use_no_memory(
    plays: dict[Play, Future[None]], play: Play
) -> None:
    plays[play].result()
