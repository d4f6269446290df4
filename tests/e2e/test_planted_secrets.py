"""Secrets are planted in every possible input; then all files, answers and logs of the service are searched."""

import base64
import gzip
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from api.access.store import CredentialStore
from api.db.database import Database, sqlite_url
from api.domain.access.principal import AccessKey, Role
from api.util.text.key_format import hash_of, new_key
from tests.databases import BACKENDS, FEW, fresh_postgres
from tests.e2e.server import BASE, command, environment, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

LOGIN, TICKET, KEYS = f"{BASE}/auth/login", f"{BASE}/auth/ticket", f"{BASE}/auth/generate-key"

#: Routes whose answers return a secret once, by design.
HANDED_OVER = {LOGIN, TICKET, KEYS}


#: One white pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)


class Planted:
    """The secrets by the input where they are planted, and all received answers."""

    def __init__(self) -> None:
        self.admin_id, self.admin = new_key()
        self.by_place = {
            "the administrator's key": self.admin,
            "an unknown key": new_key()[1],
            "HF_TOKEN": f"hf_{secrets.token_hex(17)}",
            "WANDB_API_KEY": secrets.token_hex(20),
            "a note in TOML": secrets.token_hex(14),
            "the user of an address": secrets.token_hex(15),
            "an Idempotency-Key": secrets.token_hex(16),
            "the database's password": secrets.token_hex(18),
        }
        self.received = b""

    def __getitem__(self, place: str) -> str:
        return self.by_place[place]

    def record(self, response: httpx.Response) -> None:
        response.read()
        if response.request.url.path not in HANDED_OVER or response.status_code >= 400:
            self.received += response.content + str(response.headers).encode()

    def found_in(self, content: bytes) -> list[str]:
        """Return the inputs whose secrets occur in this content."""
        return [place for place, secret in self.by_place.items() if _part(secret) in content]


def _part(secret: str) -> bytes:
    """Return the part that reveals a secret: of a key, all but its id."""
    return (secret.split("_", 2)[2] if secret.startswith("dp_") else secret).encode()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, planted: Planted, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "elsewhere.sqlite")
        return
    with fresh_postgres() as url:
        yield make_url(url).set(password=planted["the database's password"]).render_as_string(hide_password=False)


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def server(database_url: str, planted: Planted, tmp_path: Path) -> Iterator[TrainingServer]:
    key_file = tmp_path / "admin-key"
    key_file.write_text(planted.admin + "\n")
    key_file.chmod(0o600)
    _make_administrator(database_url, planted)
    settings = {
        "AUTH": "required",
        "ADMIN_KEY_FILE": str(key_file),
        "DATABASE_URL": database_url,
        "LOG_LEVEL": "DEBUG",
        "PYTHONFAULTHANDLER": "1",
        "RATE_LIMITS": "off",
    }
    started = TrainingServer(tmp_path / "server", **settings)
    started.client.headers["Authorization"] = f"Bearer {planted.admin}"
    started.client.event_hooks["response"] = [planted.record]
    with started:
        yield started


def _make_administrator(url: str, planted: Planted) -> None:
    database = Database(url, pool_size=FEW)
    database.migrate()
    now = datetime.now(UTC)
    key = AccessKey(planted.admin_id, "admin", "admin", Role.ADMIN, None, now, "service")
    CredentialStore(database).add(key, hash_of(planted.admin))
    database.close()


def test_planted_secrets_are_found_nowhere(server: TrainingServer, planted: Planted, database_url: str, tmp_path: Path):
    _use_credentials(server, planted)
    task_id = _train(server, planted)
    assert planted.found_in(_command_lines()) == []
    server.await_status(task_id, "completed")
    _provoke_errors(server, planted)
    _read_everything(server, planted, task_id)
    if database_url.startswith("sqlite"):
        assert planted.found_in(_backup_of(server, database_url)) == []
    _crash(server)

    assert planted.found_in(planted.received) == []
    assert planted.found_in(server.log_path.read_bytes()) == []
    assert planted.found_in(_content_of(database_url, tmp_path)) == []
    kept = {path: planted.found_in(path.read_bytes()) for path in server.directory.rglob("*") if path.is_file()}
    holding = {path.name: found for path, found in kept.items() if found}
    assert holding == {"secrets.json": ["HF_TOKEN", "WANDB_API_KEY"]}
    assert {oct(path.stat().st_mode & 0o777) for path in server.root.rglob("secrets.json")} == {"0o600"}


def _use_credentials(server: TrainingServer, planted: Planted) -> None:
    """Use a colleague's key, its rotation, a sign-in, and a ticket, which are secrets as well."""
    wanted = {"user_id": "ann", "role": "trainer"}
    once = {"Idempotency-Key": planted["an Idempotency-Key"]}
    made = server.client.post(KEYS, json=wanted, headers=once).json()["data"]
    planted.by_place["a colleague's key"] = made["api_key"]
    signed_in = server.client.post(LOGIN, json={"key": made["api_key"]})
    planted.by_place["a cookie"] = signed_in.cookies["dp_session"]
    ticket = server.client.post(TICKET).json()["data"]["ticket"]
    planted.by_place["a ticket"] = ticket
    server.client.cookies.clear()
    for _ in range(2):
        _listen(server, f"{BASE}/events/stream?ticket={ticket}", planted, key=None)
    server.client.get(f"{BASE}/auth/whoami", headers={"Authorization": "", "Cookie": f"dp_session={ticket}"})


def _train(server: TrainingServer, planted: Planted) -> str:
    """Start a training with secrets in its environment and its texts, and wait until it trains."""
    env = {"HF_TOKEN": planted["HF_TOKEN"], "WANDB_API_KEY": planted["WANDB_API_KEY"]}
    note = planted["a note in TOML"]
    data = server.directory / "images"
    data.mkdir()
    (data / "one.png").write_bytes(PICTURE)
    notes = f"# my token = '{note}'\n# {env['HF_TOKEN']}\n# https://me:{note}@host/x\n"
    body = {**toy(60, step_seconds=0.05, env=env), "dataset_toml": f"{notes}[[directory]]\npath = '{data}'\n"}
    answer = server.client.post(
        f"{BASE}/training/start", json=body, headers={"Idempotency-Key": planted["an Idempotency-Key"]}
    )
    assert answer.status_code == 201, answer.text
    task_id = str(answer.json()["data"]["task_id"])
    server.await_step(task_id, 3)
    return task_id


def _provoke_errors(server: TrainingServer, planted: Planted) -> None:
    """Cause errors of every kind, each with a secret in the request."""
    send, admin, wrong = server.client.request, planted.admin, planted["an unknown key"]
    user = planted["the user of an address"]
    start = f"{BASE}/training/start"
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"{BASE}/gpu/status", {"headers": {"Authorization": f"Bearer {wrong}"}}),
        ("GET", f"{BASE}/gpu/status", {"headers": {"Authorization": f"Basic {wrong}"}}),
        ("GET", f"{BASE}/gpu/status", {"headers": {"Host": f"{wrong}.example"}}),
        ("GET", f"{BASE}/gpu/status", {"headers": {"Origin": f"http://me:{user}@evil.example"}}),
        ("GET", f"{BASE}/gpu/status?api_key={admin}", {}),
        ("GET", f"{BASE}/gpu/status?token={wrong}", {}),
        ("GET", f"{BASE}/training/{admin}", {}),
        ("GET", f"/{admin}", {}),
        ("PUT", f"{BASE}/training/{wrong}", {}),
        ("GET", f"{BASE}/auth/keys/{admin}", {}),
        ("POST", LOGIN, {"json": {"key": wrong}}),
        ("POST", LOGIN, {"json": {"key": [admin]}}),
        ("POST", start, {"content": f'{{"key": "{admin}"', "headers": {"Content-Type": "application/json"}}),
        ("POST", start, {"content": admin, "headers": {"Content-Type": "text/plain"}}),
        ("POST", start, {"json": {"model_type": "toy", "env": {"HF_TOKEN": [planted["HF_TOKEN"]]}}}),
        ("POST", start, {"json": {"model_type": "toy", "env": {"MY_API_KEY": planted["WANDB_API_KEY"]}}}),
        ("POST", start, {"json": {"model_type": "sdxl", "config": {"output_dir": f"https://me:{user}@host/x"}}}),
        ("POST", start, {"json": toy(3), "headers": {"Idempotency-Key": planted["an Idempotency-Key"]}}),
        ("POST", start, {"json": toy(3), "headers": {"Idempotency-Key": f"{admin} with a blank"}}),
    ]
    for method, path, more in tries:
        answer = send(method, path, **more)
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code)
    _send_malformed_requests(server, planted)


def _send_malformed_requests(server: TrainingServer, planted: Planted) -> None:
    """Send requests that the HTTP parser refuses."""
    admin = planted.admin
    for text in (
        f"GET /?api_key={admin} HTTP/9.9\r\n\r\n",
        f"{admin} {admin} {admin}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {admin}{'x' * 70_000}\r\n\r\n",
        f"GET / HTTP/1.1\r\nAuthorization {admin}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw, suppress(OSError):
            raw.sendall(text.encode())
            planted.received += raw.recv(65_536)


def _read_everything(server: TrainingServer, planted: Planted, task_id: str) -> None:
    """Read every answer and stream that could contain a secret."""
    for path in (
        *(f"/training/{task_id}{part}" for part in ("", "/events", "/artifacts", "/logs", "/logs/download")),
        *("/training/list", "/system/logs?tail=5000", "/system/logs/search?keyword=e&limit=1000"),
        *("/auth/audit?limit=500", "/auth/keys", "/auth/users", "/gpu/0/processes", "/metrics"),
    ):
        assert server.client.get(BASE + path).status_code == 200, path
    _listen(server, f"{BASE}/events/stream", planted)
    _listen(server, f"{BASE}/training/{task_id}/logs/stream?offset=0", planted)
    _listen(server, f"{BASE}/training/{task_id}/events/stream", planted)
    wanted = {"wrong_key", "host_not_allowed", "origin_not_allowed", "key_in_address"}
    # Refusals are written in batches, a second later.
    until(lambda: _refusals(server) >= wanted, what="the refusals in the audit")
    assert server.get("/auth/audit/verify")["ok"] is True


def _refusals(server: TrainingServer) -> set[str]:
    """Return the error codes of the refusals in the audit."""
    audit = server.get("/auth/audit", params={"outcome": "refused", "limit": "500"})
    return {entry["code"] for entry in audit["entries"]}


def _listen(server: TrainingServer, path: str, planted: Planted, key: str | None = "") -> None:
    """Read the beginning of a stream."""
    headers = {"Authorization": server.client.headers["Authorization"]} if key is not None else {}
    client = httpx.Client(base_url=server.client.base_url, timeout=5, trust_env=False)
    with client, suppress(httpx.TimeoutException), client.stream("GET", path, headers=headers) as stream:
        planted.received += next(stream.iter_bytes(), b"")


def _command_lines() -> bytes:
    """Return the command lines of every process of this machine."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes())
    return b"\n".join(lines)


def _backup_of(server: TrainingServer, database_url: str) -> bytes:
    """Return the contents of a backup. For PostgreSQL that is the rows, which are searched separately."""
    file = server.directory.parent / "backup"
    done = subprocess.run(
        command("backup", str(file), "--storage-root", str(server.root)),
        env=environment({"DATABASE_URL": database_url}),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = gzip.decompress(file.read_bytes())
    assert b"SQLite format 3" in content
    return content + done.stdout + done.stderr


def _crash(server: TrainingServer) -> None:
    """Abort as a faulty extension would: each thread's stack goes to standard error, and no core is left."""
    limits = Path(f"/proc/{server.pid}/limits").read_text()
    assert next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")) == "0"
    server.send_signal(signal.SIGABRT)
    server.wait()
    assert "Fatal Python error: Aborted" in server.log_text()
    assert list(server.directory.rglob("core*")) == []


def _content_of(url: str, tmp_path: Path) -> bytes:
    """Return all that the database stores: of SQLite its files with the log, of PostgreSQL each row of each table."""
    if url.startswith("sqlite"):
        files = list(tmp_path.glob("elsewhere.sqlite*"))
        assert any(path.suffix == ".sqlite-wal" for path in files)
        return b"".join(path.read_bytes() for path in files)
    with psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            str(row[0])
            for (name,) in names
            for row in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
        ]
    assert len(rows) > 10
    return "\n".join(rows).encode()
