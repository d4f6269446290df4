"""Access by keys on real sockets, and over several server processes."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.util.text.key_format import new_key
from tests.e2e.server import BASE, ServerProcess
from tests.patience import BUSY_SECONDS

pytestmark = pytest.mark.quick

#: Seconds within which a revocation holds, and the allowance for a busy machine.
SOON = 1.0 + 2.0


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a file with an administrator's key, and the key."""
    path, (_, key) = tmp_path_factory.mktemp("admin") / "key", new_key()
    path.write_text(key)
    path.chmod(0o600)
    return path, key


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, admin: tuple[Path, str]) -> Iterator[list[ServerProcess]]:
    """Run two processes on one storage."""
    root = tmp_path_factory.mktemp("servers")
    settings = {"AUTH": "required", "ADMIN_KEY_FILE": str(admin[0]), "STORAGE_ROOT": str(root / "data")}
    settings["RATE_LIMITS"] = "off"
    directories = [root / name for name in ("one", "other")]
    for directory in directories:
        directory.mkdir()
    with ServerProcess(directories[0], settings) as one, ServerProcess(directories[1], settings) as other:
        yield [one, other]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make_key(server: ServerProcess, admin: str, user_id: str = "ann", role: str = "trainer") -> tuple[str, str]:
    """Return the id of a new key, and the key."""
    body = {"user_id": user_id, "name": "test", "role": role}
    made = server.client.post(f"{BASE}/auth/generate-key", json=body, headers=bearer(admin))
    assert made.status_code == 201, made.text
    return made.json()["data"]["key_id"], made.json()["data"]["api_key"]


def revoke(server: ServerProcess, admin: str, key_id: str) -> None:
    assert server.client.delete(f"{BASE}/auth/keys/{key_id}", headers=bearer(admin)).status_code == 200


def test_revocation_on_one_server_ends_requests_and_streams_of_the_other(
    servers: list[ServerProcess], admin: tuple[Path, str]
):
    one, other = servers
    key_id, key = make_key(one, admin[1])
    assert other.client.get(f"{BASE}/gpu/status", headers=bearer(key)).status_code == 200
    with other.client.stream("GET", f"{BASE}/gpu/stream", headers=bearer(key)) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("id:")
        began = time.monotonic()
        revoke(one, admin[1], key_id)
        *_, last = [line for line in lines if line.startswith("data:")]
        assert time.monotonic() - began < SOON + BUSY_SECONDS
    assert json.loads(last.removeprefix("data:"))["data"] == {"reason": "access_ended", "code": "key_revoked"}
    assert other.client.get(f"{BASE}/gpu/status", headers=bearer(key)).json()["error"]["code"] == "key_revoked"


# -- tests that need a socket -----------------------------------------------------------------------------------------


@contextmanager
def connect(server: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), 30) as line:
        yield line


def send(server: ServerProcess, *requests: bytes) -> list[tuple[int, bytes]]:
    """Send requests together on one connection, and return the status and body of each response until it ends."""
    with connect(server) as line:
        line.sendall(b"".join(requests))
        received = b""
        while part := _receive(line):
            received += part
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        fields = dict(each.lower().split(b": ", 1) for each in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        answers.append((int(head.split(b" ")[1]), received[:length]))
        received = received[length:]
    return answers


def _receive(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionResetError:
        return b""


def request(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: 127.0.0.1", *headers, b"", b""])


STATUS = f"GET {BASE}/gpu/status HTTP/1.1".encode()
CLOSE = b"Connection: close"


def authorization(key: str, scheme: bytes = b"Bearer") -> bytes:
    return b"Authorization: " + scheme + b" " + key.encode()


def test_each_request_on_one_connection_has_its_own_principal(servers: list[ServerProcess], admin: tuple[Path, str]):
    """A proxy or a client sends the requests of several users over one connection, one after the other."""
    server = servers[0]
    _, ann = make_key(server, admin[1], "ann")
    key_id, gone = make_key(server, admin[1], "bob")
    revoke(server, admin[1], key_id)
    who = f"GET {BASE}/auth/whoami HTTP/1.1".encode()
    answers = send(
        server,
        request(STATUS, authorization(ann)),
        request(STATUS),
        request(who, authorization(ann)),
        request(STATUS, authorization(gone)),
        request(who, authorization(admin[1])),
        request(who),
        request(STATUS, authorization(ann)),
        request(STATUS, authorization(gone), CLOSE),
    )
    assert [status for status, _ in answers] == [200, 401, 200, 401, 200, 401, 200, 401]
    assert json.loads(answers[2][1])["data"]["user_id"] == "ann"
    assert json.loads(answers[4][1])["data"]["role"] == "admin"


REFUSED = [
    (STATUS, [b"Authorization: Bearer {ann}", b"Authorization: Bearer {ann}"], 400),
    (STATUS, [b"Authorization: Bearer x", b"authorization: Bearer {ann}"], 400),
    (STATUS, [b"Authorization: Basic {ann}"], 401),
    (STATUS, [b"Authorization: Bearer {ann}, Bearer {ann}"], 401),
    (STATUS, [b"Authorization: Bearer {ann}\x80"], 401),
    (STATUS, [b"Authorization: Bearer {ann} x"], 401),
    (STATUS, [b"Authorization:"], 401),
    (STATUS, [b"Proxy-Authorization: Bearer {ann}"], 401),
    (STATUS, [b"X-API-Key: {ann}"], 401),
    (STATUS, [b"X_Authorization: Bearer {ann}"], 401),
    (STATUS, [b"Cookie: dp_session={ann}"], 401),
    (STATUS, [b"Cookie: " + b"a=b; " * 12_000 + b"dp_session=x"], 401),
    (STATUS, [b"Cookie: dp_session=" + b"x" * 70_000], 431),
    (b"GET /api/v1/gpu/status?api_key={ann} HTTP/1.1", [], 400),
    (b"GET /api/v1/gpu/status?x=%64p_{id}_x HTTP/1.1", [], 400),
    (b"GET /{ann} HTTP/1.1", [], 400),
    (b"GET http://127.0.0.1/api/v1/gpu/status HTTP/1.1", [], 401),
    (b"GET http://ann:{id}@127.0.0.1/api/v1/gpu/status HTTP/1.1", [], 403),
    (b"GET //api/v1/gpu/status HTTP/1.1", [], 401),
    (b"GET /api/v1//gpu/status HTTP/1.1", [], 401),
    (b"GET /api/v1/gpu/status;a=b HTTP/1.1", [], 401),
    (b"GET /api/v1/gpu/status. HTTP/1.1", [], 401),
    (b"GET /api/v1/gpu/status%2f HTTP/1.1", [], 401),
    (b"GET /api/v1/gpu/%73tatus HTTP/1.1", [], 401),
    (b"GET /API/v1/gpu/status HTTP/1.1", [], 401),
    (b"GET /health/../api/v1/gpu/status HTTP/1.1", [], 401),
    (b"GET /health/%2e%2e/api/v1/gpu/status HTTP/1.1", [], 401),
    (b"GET /dashboard/x/../../api/v1/gpu/status HTTP/1.1", [], 404),
    (b"GET /dashboard/x/%2e%2e/%2e%2e/api/v1/gpu/status HTTP/1.1", [], 404),
    (b"GET /health%00 HTTP/1.1", [], 401),
    (b"GET /api/v1/gpu/status# HTTP/1.1", [], 401),
    (b"HEAD /api/v1/gpu/status HTTP/1.1", [], 401),
    (b"TRACE /api/v1/gpu/status HTTP/1.1", [], 401),
    (b"PROPFIND / HTTP/1.1", [], 401),
    (b"POST /health HTTP/1.1", [b"Content-Length: 0"], 401),
    (b"GET /api/v1/gpu/status HTTP/1.1", [b"X-HTTP-Method-Override: OPTIONS"], 401),
    (b"GET /health HTTP/1.1", [b"X-Original-URL: /api/v1/gpu/status", b"X-Rewrite-URL: /api/v1/gpu/status"], 200),
    (b"GET /api/v1/gpu/status HTTP/1.0", [], 401),
    (b"GET /api/v1/gpu/status HTTP/1.1", [b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"], 401),
    (b"OPTIONS * HTTP/1.1", [], 401),
]


@pytest.mark.parametrize(("line", "headers", "status"), REFUSED, ids=[f"{n:02}" for n in range(len(REFUSED))])
def test_no_request_bypasses_the_access_check(
    servers: list[ServerProcess],
    ann: tuple[str, str],
    line: bytes,
    headers: list[bytes],
    status: int,
):
    def fill(text: bytes) -> bytes:
        return text.replace(b"{ann}", ann[1].encode()).replace(b"{id}", ann[0].encode())

    ((found, body),) = send(servers[0], request(fill(line), *(fill(header) for header in headers), CLOSE))
    assert found == status, body
    if status != 200:
        assert b'"gpus"' not in body


@pytest.fixture(scope="module")
def ann(servers: list[ServerProcess], admin: tuple[Path, str]) -> tuple[str, str]:
    return make_key(servers[0], admin[1])


UPGRADE = [
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
]


@pytest.mark.parametrize(
    "path", ["/gpu/status", "/gpu/stream", "/training/list", "/ws/gpu", "/ws/nothing", "/auth/keys", "/ws/training/x"]
)
def test_handshake_does_not_bypass_the_access_check(servers: list[ServerProcess], path: str):
    line = f"GET {BASE}{path} HTTP/1.1".encode()
    assert [status for status, _ in send(servers[0], request(line, *UPGRADE))] == [401]


@pytest.mark.parametrize("path", ["/gpu/status", "/gpu/stream", "/training/list", "/ws/nothing"])
def test_handshake_without_a_web_socket_is_not_found(servers: list[ServerProcess], ann: tuple[str, str], path: str):
    line = f"GET {BASE}{path} HTTP/1.1".encode()
    assert [status for status, _ in send(servers[0], request(line, *UPGRADE, authorization(ann[1])))] == [404]


def test_broken_handshake_reveals_nothing(servers: list[ServerProcess]):
    for path in ("/ws/gpu", "/nothing"):
        line = f"GET {BASE}{path} HTTP/1.1".encode()
        assert [status for status, _ in send(servers[0], request(line, *UPGRADE[:2]))] == [400]
