"""Two servers behind a real nginx: either answers any request, and streams are not delayed."""

import http.server
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.databases import fresh_postgres
from tests.e2e.behind_nginx import Site, site
from tests.e2e.listener import SecureListener, expect_none_missing, logged
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.nginx_servers import NAME, OwnNginx
from tests.patience import BUSY_SECONDS
from tests.redis_servers import OwnRedis

EVENTS = f"{BASE}/events/stream"
MEGABYTE = 2**20

#: Seconds within which a dead leader is replaced.
TAKEOVER_SECONDS = 15.0


#: What the servers share; tests of messages between them run with both.
SHARED = ("sqlite", "postgresql with redis")
on_both = pytest.mark.parametrize("behind", SHARED, indirect=True)


@pytest.fixture(scope="module")
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        settings = {}
        if getattr(request, "param", SHARED[0]) != "sqlite":
            redis = stack.enter_context(OwnRedis(directory))
            redis.start()
            settings = {"DATABASE_URL": stack.enter_context(fresh_postgres()), "REDIS_URL": redis.url}
        yield stack.enter_context(site(directory, **settings))


@pytest.fixture(autouse=True)
def idle_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "behind" in request.fixturenames:
        behind: Site = request.getfixturevalue("behind")
        behind.restart_both()
        if behind.servers[0].has_tasks():
            behind.servers[0].make_idle()


def start(behind: Site, body: dict[str, Any]) -> str:
    answer = behind.client.post(f"{BASE}/training/start", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["task_id"])


def task_stream(task_id: str, what: str = "") -> str:
    return f"{BASE}/training/{task_id}/events/stream{what}"


@on_both
def test_requests_are_distributed_and_either_server_has_the_answer(behind: Site) -> None:
    task_id = start(behind, toy(20))
    assert all(behind.receives_requests(server) for server in behind.servers)
    for server in behind.servers:
        assert server.await_status(task_id, "completed")["attempt_count"] == 1
    body = {"gpu_ids": [5], "task_type": "training", "task_id": "held-elsewhere"}
    assert behind.client.post(f"{BASE}/gpu/tasks", json=body).status_code == 201
    for server in behind.servers:
        until(lambda server=server: (server.gpu(5)["current_task"] or {}).get("task_id") == "held-elsewhere", 10)


@on_both
def test_events_reach_the_streams_of_all_servers(behind: Site) -> None:
    task_id = start(behind, toy(30))
    with ExitStack() as stack:
        followers = [stack.enter_context(SecureListener(behind.nginx, task_stream(task_id))) for _ in range(4)]
        boards = [stack.enter_context(SecureListener(behind.nginx, EVENTS)) for _ in range(4)]
        until(lambda: all(_has_streams(server) for server in behind.servers), 5, "a stream of each server")
        until(lambda: all(follower.is_over for follower in followers), 60)
        until(lambda: all(m.of("status")[-1]["data"]["status"] == "completed" for m in boards if m.of("status")), 30)
    known = [event["id"] for event in behind.servers[0].task_events(task_id)]
    for follower in followers:
        assert follower.messages[-1]["data"]["status"] == "completed"
        expect_none_missing(follower, known)


def _has_streams(server: TrainingServer) -> bool:
    return server.metrics()["diffusion_pipe_stream_subscribers"] > 1


def test_nginx_does_not_delay_a_stream(behind: Site) -> None:
    with SecureListener(behind.nginx, f"{BASE}/gpu/stream") as readings, SecureListener(behind.nginx, EVENTS) as events:
        until(lambda: readings.messages and events.messages, 5, "the first messages")
        seen = len(readings.messages)
        until(lambda: len(readings.messages) >= seen + 4, 6, "a message with each sweep")
        task_id = start(behind, toy(3))
        # Two seconds, because a server without Redis polls the database for the changes of the other one.
        until(lambda: any(m["data"].get("task_id") == task_id for m in events.of("status")), 6, "the new task")


def test_stream_arrives_over_http_2_as_it_happens(behind: Site) -> None:
    command = ["curl", "--silent", "--no-buffer", "--http2", "--cacert", str(behind.nginx.authority), "--max-time", "3"]
    address = f"{behind.nginx.url}{BASE}/gpu/stream"
    done = subprocess.run(
        [*command, "--write-out", "%{stderr}%{http_version}", address], capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (28, b"2"), "28: curl ended the connection"
    assert done.stdout.count(b"\ndata: ") >= 3


def test_web_socket_passes_through_nginx(behind: Site) -> None:
    task_id = start(behind, toy(10))
    address = f"wss://{NAME}:{behind.nginx.port}{BASE}/ws/training/{task_id}?types=status,log"
    with connect(address, ssl=behind.nginx.trust, origin=behind.nginx.url, max_size=None) as web:
        messages = [orjson.loads(text) for text in web]
    assert (messages[-1]["type"], messages[-1]["data"]["status"], web.close_code) == ("end", "completed", 1000)


def test_foreign_origin_is_refused_and_the_own_one_is_not(behind: Site) -> None:
    for origin, status in ((behind.nginx.url, 200), (f"https://{NAME}", 403), ("https://evil.example", 403)):
        answer = behind.client.get(f"{BASE}/gpu/status", headers={"Origin": origin})
        assert answer.status_code == status, origin
    address = f"wss://{NAME}:{behind.nginx.port}{BASE}/ws/gpu"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(address, ssl=behind.nginx.trust, origin="https://evil.example"),  # type: ignore[arg-type]
    ):
        pass
    assert refused.value.response.status_code == 403


def test_service_refuses_a_too_large_body_before_it_is_sent(behind: Site) -> None:
    head = f"POST {BASE}/training/start HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
    with (
        socket.create_connection(("127.0.0.1", behind.nginx.port), timeout=10) as plain,
        behind.nginx.trust.wrap_socket(plain, server_hostname=NAME) as sock,
    ):
        sock.sendall(f"{head}Content-Length: {50 * MEGABYTE}\r\n\r\n{{ ".encode())
        answer = sock.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"error":{"code":"' in answer
    fits = behind.client.post(f"{BASE}/training/validate", json={"model_type": "toy", "note": "x" * (MEGABYTE - 100)})
    assert fits.status_code == 200


def test_long_log_is_downloaded_completely_and_in_parts_without_buffering_by_nginx(behind: Site) -> None:
    task_id = start(behind, toy(10, knobs={"log_lines_per_step": 40_000}))
    first, second = behind.servers
    first.await_status(task_id, "completed")
    address = f"{BASE}/training/{task_id}/logs/download"
    content = behind.client.get(address).content
    assert len(content) > 10 * MEGABYTE
    part = behind.client.get(address, headers={"Range": f"bytes={9 * MEGABYTE}-{10 * MEGABYTE}"})
    assert (part.status_code, part.content) == (206, content[9 * MEGABYTE : 10 * MEGABYTE + 1])
    with behind.client.stream("GET", address) as slow:
        parts = slow.iter_raw(65_536)
        next(parts)
        kept = behind.nginx.temporary_bytes()
    assert kept == 0
    lines = second.get(f"/training/{task_id}/logs", params={"tail": "3"})["logs"]
    assert lines[-1]["message"].strip() in content[-1000:].decode()


@on_both
def test_dead_leader_is_replaced_without_a_visible_failure(behind: Site) -> None:
    leader, other = behind.leader_first()
    led = behind.count_leads(other)
    task_id = start(behind, toy(100_000, step_seconds=0.1))
    leader.await_step(task_id, 3)
    leader.kill()
    died = time.monotonic()
    while behind.count_leads(other) == led:
        assert time.monotonic() - died < TAKEOVER_SECONDS + BUSY_SECONDS
        assert behind.client.get(f"{BASE}/training/{task_id}").status_code == 200
    step = other.task(task_id)["progress"]["current_step"] or 0
    other.await_step(task_id, step + 3)
    assert behind.client.post(f"{BASE}/training/{task_id}/stop").status_code == 202
    assert other.await_status(task_id, "stopped")["attempt_count"] == 1


@on_both
def test_follower_misses_nothing_while_the_servers_are_killed_in_turn(behind: Site) -> None:
    task_id = start(behind, toy(120, every=5, step_seconds=0.1))
    listener = SecureListener(behind.nginx, task_stream(task_id, "?offset=0"))
    listener.open()
    for victim in (*behind.servers, *behind.servers):
        seen = len(listener.messages)
        until(lambda seen=seen: len(listener.messages) > seen + 5 or listener.is_over, 30)
        victim.kill()
        if "end" not in listener.names:
            listener.cut()
            listener.open()
        victim.start(victim.port)
    until(lambda: _stream_has_ended(listener), LONG, "the end of the stream")
    listener.cut()
    known = [event["id"] for event in behind.servers[0].task_events(task_id)]
    expect_none_missing(listener, known)
    assert logged(listener) == list(range(1, len(logged(listener)) + 1))


def _stream_has_ended(listener: SecureListener) -> bool:
    """Return whether the stream reported the end; reopen one that was interrupted before."""
    if "end" not in listener.names and listener.is_over:
        listener.cut()
        listener.open()
    return "end" in listener.names


def test_frozen_leader_is_replaced_and_the_other_server_serves_its_clients(behind: Site) -> None:
    leader, other = behind.leader_first()
    led = behind.count_leads(other)
    leader.send_signal(signal.SIGSTOP)
    try:
        until(lambda: behind.count_leads(other) > led, LONG, "the other to lead")
        task_id = str(other.start_task(toy(5)))
        other.await_status(task_id, "completed")
    finally:
        leader.send_signal(signal.SIGCONT)


def test_without_a_server_nginx_answers_in_the_envelope(behind: Site) -> None:
    for server in behind.servers:
        server.kill()
    for answer in (behind.client.get("/health"), behind.client.post(f"{BASE}/training/start", json=toy(5))):
        body = answer.json()
        assert (answer.status_code, body["code"], body["error"]["code"]) == (503, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert set(body) == {"code", "message", "data", "timestamp", "error"}
        assert abs(body["timestamp"] - time.time()) < 60


def test_plain_http_redirects_to_tls_and_old_tls_is_refused(behind: Site) -> None:
    answer = httpx.get(f"http://{NAME}:{behind.nginx.plain_port}/health?a=b", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{behind.nginx.url}/health?a=b")
    command = ["curl", "--silent", "--cacert", str(behind.nginx.authority), "--tls-max", "1.1", behind.nginx.url]
    assert subprocess.run(command, check=False, timeout=30).returncode == 35


def test_service_knows_the_client_address_and_trusts_no_other(behind: Site) -> None:
    transport = httpx.HTTPTransport(local_address="127.0.0.2", verify=behind.nginx.trust)
    with httpx.Client(transport=transport, base_url=behind.nginx.url) as client:
        headers = {"X-Request-ID": "from-where", "X-Forwarded-For": "203.0.113.9, 203.0.113.10"}
        assert client.get(f"{BASE}/training/list", headers=headers).status_code == 200

    def lines() -> list[dict[str, Any]]:
        logs = (line for server in behind.servers for line in server.log())
        return [line for line in logs if line.get("request_id") == "from-where"]

    assert [line["client"] for line in until(lines)] == ["127.0.0.2"]


# -- headers from nginx to the service ---------------------------------------------------------------------------------


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers of the request."""

    def do_GET(self) -> None:
        body = orjson.dumps([[name.lower(), value] for name, value in self.headers.items()])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def echo() -> Iterator[OwnNginx]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with OwnNginx([server.server_port]) as nginx:
                yield nginx
        finally:
            server.shutdown()
            thread.join(10)


def test_address_headers_of_a_client_are_not_forwarded(echo: OwnNginx) -> None:
    claimed = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
    }
    answer = httpx.get(f"{echo.url}/health", headers=claimed, verify=echo.trust, trust_env=False)
    headers = [(name, value) for name, value in answer.json() if "forward" in name or name in ("x-real-ip", "host")]
    assert sorted(headers) == [
        ("host", f"{NAME}:{echo.port}"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
    ]
