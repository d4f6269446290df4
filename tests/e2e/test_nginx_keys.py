"""Keys behind nginx: a change on one of two servers holds for both, and no client can forge its address."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.databases import fresh_postgres
from tests.e2e.behind_nginx import Site, site
from tests.e2e.listener import SecureListener
from tests.e2e.server import BASE, until
from tests.redis_servers import OwnRedis

ADMIN = f"dp_{'a' * 12}_{'A' * 43}"
WRONG = f"dp_{'b' * 12}_{{:0>43}}"

#: A revocation holds within a second; the rest allows for other work on the cores.
REVOKED_SECONDS = 2.5

#: Invalid keys that an address may send in a minute.
WRONG_KEYS = 20


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("keys")
    key = directory / "administrator"
    key.write_text(f"{ADMIN}\n")
    key.chmod(0o600)
    with ExitStack() as stack:
        redis = stack.enter_context(OwnRedis(directory))
        redis.start()
        settings = {
            "AUTH": "required",
            "ADMIN_KEY_FILE": str(key),
            "DATABASE_URL": stack.enter_context(fresh_postgres()),
            "REDIS_URL": redis.url,
        }
        yield stack.enter_context(site(directory, **settings))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def codes_of(behind: Site, key: str) -> list[str | None]:
    """Return the error code of each server for a key, or None if it is valid."""
    asked = [server.client.get(f"{BASE}/gpu/status", headers=bearer(key)) for server in behind.servers]
    return [None if answer.is_success else answer.json()["error"]["code"] for answer in asked]


def test_key_is_valid_on_all_servers_and_after_revocation_on_none(behind: Site) -> None:
    body = {"user_id": "anna", "name": "laptop", "role": "viewer"}
    made = behind.client.post(f"{BASE}/auth/generate-key", json=body, headers=bearer(ADMIN))
    assert made.status_code == 201, made.text
    key, key_id = made.json()["data"]["api_key"], made.json()["data"]["key_id"]
    # A server that has just read the keys takes a moment before it reads them again.
    until(lambda: codes_of(behind, key) == [None, None], REVOKED_SECONDS, "the new key to hold")
    with SecureListener(behind.nginx, f"{BASE}/gpu/stream", key) as stream:
        until(lambda: stream.messages, 10, "the first message")
    assert behind.client.delete(f"{BASE}/auth/keys/{key_id}", headers=bearer(ADMIN)).status_code == 200
    until(lambda: codes_of(behind, key) == ["key_revoked"] * 2, REVOKED_SECONDS, "the key to hold no more")


def test_address_that_guesses_keys_is_throttled_by_all_servers_whatever_it_claims(behind: Site) -> None:
    codes = []
    with client_at(behind, "127.0.0.3") as client:
        for number in range(WRONG_KEYS + 5):
            headers = bearer(WRONG.format(number)) | {"X-Forwarded-For": f"203.0.113.{number}"}
            codes.append(client.get(f"{BASE}/gpu/status", headers=headers).status_code)
        assert codes == [401] * WRONG_KEYS + [429] * 5
        assert client.get(f"{BASE}/gpu/status", headers=bearer(ADMIN)).status_code == 200
    with client_at(behind, "127.0.0.4") as elsewhere:
        assert elsewhere.get(f"{BASE}/gpu/status", headers=bearer(WRONG.format(99))).status_code == 401


def client_at(behind: Site, address: str) -> httpx.Client:
    """Return a client with this address."""
    transport = httpx.HTTPTransport(local_address=address, verify=behind.nginx.trust)
    return httpx.Client(transport=transport, base_url=behind.nginx.url, timeout=30)


@pytest.fixture(autouse=True)
def _nothing_is_thrown(behind: Site) -> Iterator[None]:
    yield
    assert [line for server in behind.servers for line in server.tracebacks()] == []
