"""Live streams of trainings over real sockets: two servers, hostile clients, and the end of the server."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.listener import Listener, event_ids, expect_none_missing, logged
from tests.e2e.server import BASE, ServerProcess, until
from tests.e2e.test_streams import stalled
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS
from tests.redis_servers import OwnRedis, require_redis

EVENTS = f"{BASE}/events/stream"


def task_stream(task_id: str) -> str:
    return f"{BASE}/training/{task_id}/events/stream"


@contextmanager
def web_socket(server: ServerProcess, path: str, **kwargs: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}{BASE}{path}", max_size=None, **kwargs) as web:
        yield web


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("live")) as started:
        yield started


def test_stream_reports_a_training_from_start_to_end(server: TrainingServer) -> None:
    task_id = server.start_task(toy(20))
    with Listener(server, task_stream(task_id) + "?offset=0") as follower, Listener(server, EVENTS) as dashboard:
        until(lambda: follower.is_over, 60)
        until(lambda: any(m["data"]["status"] == "completed" for m in dashboard.of("status")))
    assert (follower.names, follower.messages[-1]["data"]["status"]) == (["end"], "completed")
    points = [p for message in follower.of("metrics") for p in message["data"]["points"] if p["metric"] == "loss"]
    assert [point["step"] for point in points] == list(range(1, 21))
    assert follower.of("progress")[-1]["data"]["progress"]["current_step"] == 20
    assert logged(follower) == list(range(1, len(logged(follower)) + 1))
    assert not dashboard.of("metrics", "log", "end")
    known = [event["id"] for event in server.task_events(task_id)]
    expect_none_missing(follower, known)


def test_web_socket_sends_the_same_events(server: TrainingServer) -> None:
    task_id = server.start_task(toy(10))
    messages: list[dict[str, Any]] = []
    with web_socket(server, f"/ws/training/{task_id}?types=status,log") as web:
        for text in web:
            messages.append(orjson.loads(text))
    assert (messages[-1]["type"], messages[-1]["data"]["status"], web.close_code) == ("end", "completed", 1000)
    assert messages[-1]["id"]
    assert {message["type"] for message in messages} <= {"status", "log", "partial", "end"}


def test_nothing_is_missed_or_doubled_over_cuts_and_kills_of_the_server(tmp_path: Path) -> None:
    with TrainingServer(tmp_path / "server") as server:
        task_id = server.start_task(toy(100, every=5, step_seconds=0.1))
        listener = Listener(server, task_stream(task_id) + "?offset=0")
        listener.open()
        for round_ in range(6):
            time.sleep(0.7)
            if round_ % 3 == 2:
                server.kill()
                listener.cut()
                server.start(server.port)
            listener.cut()
            listener.open()
        until(lambda: "end" in listener.names, 60)
        listener.cut()
        known = [event["id"] for event in server.task_events(task_id)]
        expect_none_missing(listener, known)
        assert len(set(event_ids(listener))) > 15
        assert logged(listener) == list(range(1, len(logged(listener)) + 1))


def test_reconnected_reader_receives_a_resumed_training(server: TrainingServer) -> None:
    task_id = server.start_task(toy(400, every=5))
    server.await_step(task_id, 12)
    with Listener(server, task_stream(task_id)) as listener:
        server.stop_task(task_id)
        until(lambda: listener.is_over, 60)
        assert listener.messages[-1]["data"]["status"] == "stopped"
        server.post(f"/training/resume/{task_id}", 202, json={})
        listener.cut()
        listener.open()
        until(lambda: any(m["data"]["status"] == "running" for m in listener.of("status")[-3:]), 60)
        assert not listener.is_over
        server.stop_task(task_id, force=True)
        until(lambda: listener.names == ["end", "end"], 60)
    # The event of its status comes first; others may have come between that and the first check.
    first, *later = event_ids(listener)
    known = [event["id"] for event in server.task_events(task_id)]
    assert later == known[-len(later) :]
    assert first < later[0]


def test_server_closes_its_streams_at_its_end(tmp_path: Path) -> None:
    with TrainingServer(tmp_path / "server") as server:
        task_id = server.start_task(toy(30_000))
        with (
            Listener(server, task_stream(task_id)) as follower,
            Listener(server, EVENTS) as dashboard,
            Listener(server, f"{BASE}/gpu/stream") as gpus,
            web_socket(server, f"/ws/training/{task_id}?types=status") as web,
        ):
            dead = [stalled(server, request(path)) for path in (EVENTS, task_stream(task_id)) * 5]
            until(lambda: follower.messages and dashboard.messages and gpus.messages)
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            texts = [orjson.loads(text) for text in web]
            assert server.wait(15) == 0
            assert time.monotonic() - began < 10 + BUSY_SECONDS
            for listener in (follower, dashboard, gpus):
                until(lambda listener=listener: listener.is_over)
                assert listener.names == ["closing"]
                assert listener.messages[-1]["data"] == {"reason": "server_ending"}
            assert (texts[-1]["type"], web.close_code) == ("closing", 1001)
            for sock in dead:
                sock.close()
        assert server.tracebacks() == []
        server.start()


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


# -- several servers -------------------------------------------------------------------------------------------------


@contextmanager
def two_servers(directory: Path, **settings: str) -> Iterator[tuple[TrainingServer, TrainingServer]]:
    """Run two servers on one storage; the first runs the trainings."""
    root = str(directory / "data")
    with ExitStack() as stack:
        first = stack.enter_context(TrainingServer(directory / "first", STORAGE_ROOT=root, **settings))
        yield first, stack.enter_context(TrainingServer(directory / "second", STORAGE_ROOT=root, **settings))


def test_messages_reach_the_subscribers_of_another_server(tmp_path: Path) -> None:
    with two_servers(tmp_path, REDIS_URL=require_redis()) as (first, second):
        until(lambda: second.metrics()["diffusion_pipe_redis_connected"] == 1)
        task_id = first.start_task(toy(20))
        with Listener(second, task_stream(task_id)) as follower, Listener(second, EVENTS) as dashboard:
            until(lambda: follower.is_over, 60)
            until(lambda: any(m["data"]["status"] == "completed" for m in dashboard.of("status")))
    assert follower.messages[-1]["data"]["status"] == "completed"
    assert follower.of("metrics")
    assert len(dashboard.of("progress")) > 1
    assert len(set(event_ids(follower))) == len(event_ids(follower))


def test_events_also_reach_another_server_without_redis(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (first, second):
        task_id = first.start_task(toy(10))
        with Listener(second, task_stream(task_id) + "?types=status,progress") as follower:
            until(lambda: follower.is_over, 60)
    assert follower.messages[-1]["data"]["status"] == "completed"


def test_unstable_redis_disturbs_no_subscriber(tmp_path: Path) -> None:
    with OwnRedis(tmp_path) as own:
        own.start()
        with two_servers(tmp_path, REDIS_URL=own.url) as (first, second):
            task_id = first.start_task(toy(100, step_seconds=0.1))
            with Listener(second, task_stream(task_id)) as follower:
                for _ in range(2):
                    time.sleep(0.5)
                    own.kill()
                    began = time.monotonic()
                    assert first.client.get(f"{BASE}/training/{task_id}").status_code == 200
                    first.post("/training/start", 201, json=toy(5))
                    assert time.monotonic() - began < 2 + BUSY_SECONDS
                    own.start()
                    time.sleep(0.5)
                    own.freeze()
                    first.post("/training/start", 201, json=toy(5))
                    own.thaw()
                until(lambda: follower.is_over, 90)
            assert follower.messages[-1]["data"]["status"] == "completed"
            known = [event["id"] for event in first.task_events(task_id)]
            expect_none_missing(follower, known)
            until(lambda: second.metrics()["diffusion_pipe_redis_connected"] == 1)
            assert first.tracebacks() == second.tracebacks() == []


# -- hostile clients -------------------------------------------------------------------------------------------------


def test_flood_of_connections_leaves_nothing_behind(server: TrainingServer) -> None:
    until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 0)
    task_id, before = server.start_task(toy(30_000)), server.files()
    for _ in range(10):
        socks = []
        for path in (EVENTS, task_stream(task_id), task_stream("nobody"), f"{EVENTS}?topics=x") * 10:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.sendall(request(path))
            socks.append(sock)
        for sock in socks:
            # Some are reset before they are answered.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.close()
    assert httpx.get(f"http://127.0.0.1:{server.port}/health", timeout=10, trust_env=False).status_code == 200
    until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 0, 30)
    until(lambda: server.files() <= before + 12)
    server.stop_task(task_id, force=True)
    assert server.tracebacks() == []
