"""Complete servers that require keys: the first key, a colleague's, a revocation, and a database that fails."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import BASE, ROOT, environment, until
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS
from tests.postgres_servers import OwnPostgres

Start = Callable[..., TrainingServer]

#: A revocation holds everywhere within a second; the rest allows for other work on the cores.
SECONDS = 2.5

WHOAMI = f"{BASE}/auth/whoami"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers that require keys, each with its own storage and without rate limits."""
    with ExitStack() as stack:

        def start_one(name: str = "server", **settings: str) -> TrainingServer:
            server = TrainingServer(tmp_path / name, AUTH="required", RATE_LIMITS="off", **settings)
            return stack.enter_context(server)  # type: ignore[return-value]

        yield start_one


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make_key(server: TrainingServer, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = server.post("/auth/generate-key", 201, json={"user_id": "anna", "role": "trainer", **body})
    return made


def status(server: TrainingServer, key: str, path: str = WHOAMI) -> int:
    return server.client.get(path, headers=bearer(key)).status_code


def command(server: TrainingServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command `key` beside a server, with its settings."""
    return subprocess.run(
        [sys.executable, "-m", "api", "key", *arguments],
        cwd=server.directory,
        env=environment({**server.settings, "PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_first_start_prints_a_key_once_and_stores_it_nowhere(start: Start):
    server = start()
    key = server.first_key()
    assert server.log_text().count(key) == 1
    assert not any(key in line for line in server.log_text().splitlines() if line.startswith("{"))
    assert status(server, key) == 200
    kept = [path for path in server.root.rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if key[16:].encode() in path.read_bytes()] == []
    server.kill()
    server.start()
    assert server.first_key() == key
    assert status(server, key) == 200


def test_of_two_servers_that_start_together_one_prints_a_key(tmp_path: Path):
    servers = [
        TrainingServer(tmp_path / name, AUTH="required", STORAGE_ROOT=str(tmp_path / "data")) for name in ("one", "two")
    ]
    with ExitStack() as stack:
        threads = [threading.Thread(target=stack.enter_context, args=(server,)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shown = [server.log_text().count("The administrator's key, shown only once") for server in servers]
        assert sorted(shown) == [0, 1]
        key = servers[shown.index(1)].first_key()
        assert [status(server, key) for server in servers] == [200, 200]


def test_key_from_a_file_is_accepted_and_not_printed(start: Start, tmp_path: Path):
    server = TrainingServer(tmp_path / "unstarted")
    file = tmp_path / "admin-key"
    assert command(server, "file", str(file)).returncode == 0
    key = file.read_text().strip()
    started = start(ADMIN_KEY_FILE=str(file))
    assert "The administrator's key, shown only once" not in started.log_text()
    assert status(started, key) == 200
    assert key not in started.log_text()


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o600, "cannot be read (No such file"),
        ("x", 0o600, "contains no key"),
        ("x", 0o644, "accessible to other users"),
    ],
)
def test_unusable_key_file_is_reported_in_one_line_with_code_2(tmp_path: Path, text: str | None, mode: int, said: str):
    file = tmp_path / "admin-key"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--port", "0"],
        cwd=tmp_path,
        env=environment({"AUTH": "required", "ADMIN_KEY_FILE": str(file), "GPU_SOURCE": "simulated"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"run.py: ADMIN_KEY_FILE={file} ")
    assert said in last


def test_colleague_gets_a_valid_key_at_the_machine_or_over_http(start: Start):
    server = start()
    server.show(server.first_key())
    by_http = make_key(server)["api_key"]
    made = command(server, "new", "--name", "bob", "--role", "viewer")
    by_hand = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    assert status(server, by_http) == 200
    until(lambda: status(server, by_hand) == 200, SECONDS, "the key that was made beside the service")
    assert server.client.post(f"{BASE}/training/start", json={}, headers=bearer(by_hand)).status_code == 403
    listed = command(server, "list")
    assert [line.split()[1] for line in listed.stdout.splitlines()[1:]] == ["bob", "anna", "admin"]
    assert command(server, "revoke", by_hand[3:15]).returncode == 0
    until(lambda: status(server, by_hand) == 401, SECONDS, "the revocation")


def test_every_answer_before_a_kill_holds_after_it(start: Start):
    server = start()
    admin = server.first_key()
    server.show(admin)
    answered: list[str] = []

    def make_many() -> None:
        with httpx.Client(base_url=server.client.base_url, headers=bearer(admin), trust_env=False) as client:
            for number in range(10_000):
                try:
                    answer = client.post(f"{BASE}/auth/generate-key", json={"user_id": f"u{number}", "role": "viewer"})
                except httpx.TransportError:
                    return
                assert answer.status_code == 201
                answered.append(answer.json()["data"]["api_key"])

    threads = [threading.Thread(target=make_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) >= 20, what="keys")
    server.kill()
    for thread in threads:
        thread.join()
    server.start()
    assert [key for key in answered if status(server, key) != 200] == []
    # At most one key per client can be stored without having been shown.
    total = server.get("/auth/keys", params={"limit": 1})["pagination"]["total"]
    assert len(answered) + 1 <= total <= len(answered) + 1 + len(threads)


def test_last_use_is_reported_but_not_written_with_each_request(start: Start):
    server = start()
    server.show(server.first_key())
    made = make_key(server)
    for _ in range(20):
        assert status(server, made["api_key"]) == 200
    assert server.get(f"/auth/keys/{made['key_id']}")["last_used_at"] is None
    server.send_signal(15)  # type: ignore[arg-type]
    server.wait()
    server.start()
    assert server.get(f"/auth/keys/{made['key_id']}")["last_used_at"] is not None


def test_known_keys_work_without_the_database_and_no_new_key_is_acknowledged(tmp_path: Path):
    with (
        OwnPostgres() as postgres,
        TrainingServer(tmp_path / "server", AUTH="required", RATE_LIMITS="off", DATABASE_URL=postgres.url) as server,
    ):
        try:
            server.show(server.first_key())
            total = server.get("/auth/keys")["pagination"]["total"]
            postgres.freeze()
            frozen_at = time.monotonic()
            refused = server.client.post(f"{BASE}/auth/generate-key", json={"user_id": "anna", "role": "viewer"})
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert time.monotonic() - frozen_at < 5 + SECONDS + BUSY_SECONDS
            for path in ("/gpu/status", "/auth/whoami", "/auth/keys"):
                assert server.client.get(BASE + path).status_code == 200
            assert server.client.get(f"{BASE}/auth/keys").headers["x-stale"] == "database_unavailable"
            postgres.thaw()
            until(lambda: "x-stale" not in server.client.get(f"{BASE}/auth/keys").headers, 15, "the database")
            assert server.get("/auth/keys")["pagination"]["total"] == total
        finally:
            postgres.thaw()


def test_cookie_is_secure_if_a_trusted_proxy_reports_https(start: Start):
    for proxies, is_secure in (("127.0.0.1", True), ("", False)):
        server = start(f"behind-{proxies or 'none'}", TRUSTED_PROXIES=proxies)
        answer = server.client.post(
            f"{BASE}/auth/login", json={"key": server.first_key()}, headers={"X-Forwarded-Proto": "https"}
        )
        assert ("Secure" in answer.headers["set-cookie"].split("; ")) is is_secure


def test_walk_sends_the_key_of_the_environment_and_names_its_source(start: Start):
    server = start()
    server.show(server.first_key())
    viewer = make_key(server, role="viewer")["api_key"]

    def walk(**variables: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, str(ROOT / "demo.py"), "--pause", "0", "--url", str(server.client.base_url)]
        env = environment({"PYTHONIOENCODING": "utf-8", **variables})
        return subprocess.run(
            arguments, cwd=server.directory, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    without, seeing = walk(), walk(DIFFUSION_PIPE_API_KEY=viewer)
    assert (without.returncode, seeing.returncode) == (1, 1)
    assert "Set the environment variable DIFFUSION_PIPE_API_KEY to a key." in without.stderr
    assert "HTTP 403 forbidden: The key lacks the permission training:write." in seeing.stderr
    assert viewer not in seeing.stdout + seeing.stderr
