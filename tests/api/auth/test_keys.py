"""Keys over HTTP: create, read, rotate, revoke."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.domain.access.principal import Permission, Role
from api.util.clock import FakeClock
from api.util.text.key_format import KEY
from tests.api.auth.keys import ANNA, AUTH, Headers, id_of, made, sign_in, whoami
from tests.api.client import Client, failure_of
from tests.api.conftest import World

# -- create ------------------------------------------------------------------------------------------------------------


def test_new_key_is_shown_once_and_works_immediately(client: Client, admin: Headers):
    answer = client.post(f"{AUTH}/generate-key", json={**ANNA, "name": "laptop"}, headers=admin)
    data = made(answer)
    assert KEY.fullmatch(data["api_key"])["key_id"] == data["key_id"]  # type: ignore[index]
    assert (data["user_id"], data["name"], data["role"], data["created_by"]) == ("anna", "laptop", "trainer", "root")
    assert (data["state"], data["expires_at"], data["last_used_at"]) == ("active", None, None)
    assert "training:write" in data["permissions"]
    assert "keys:manage" not in data["permissions"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"{AUTH}/keys/{data['key_id']}"
    assert whoami(client, {"Authorization": f"Bearer {data['api_key']}"}) == 200
    stored = client.get(answer.headers["location"], headers=admin)
    assert stored.json()["data"] == {name: value for name, value in data.items() if name != "api_key"}
    assert data["api_key"] not in client.get(f"{AUTH}/keys", headers=admin).text


def test_permission_names_of_earlier_servers_are_permission_groups(client: Client, admin: Headers):
    body = {"user_id": "old", "permissions": ["training", "preprocessing", "model_download"]}
    data = made(client.post(f"{AUTH}/generate-key", json=body, headers=admin))
    assert data["role"] is None
    assert data["permissions"] == [
        "datasets:read",
        "datasets:write",
        "gpus:read",
        "logs:read",
        "models:read",
        "models:write",
        "training:read",
        "training:write",
    ]


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ({"user_id": "a b"}, "/user_id", "must be 1 to 64 letters, digits"),
        ({"user_id": "a\n"}, "/user_id", "must be 1 to 64 letters, digits"),
        ({"user_id": "api"}, "/user_id", "is reserved for the service"),
        ({"role": "boss"}, "/role", "must be one of 'viewer', 'trainer' or 'admin'"),
        ({"role": None}, "", "give either role or permissions"),
        ({"permissions": ["logs:read"]}, "", "give either role or permissions"),
        ({"role": None, "permissions": []}, "/permissions", "must hold at least 1 value"),
        ({"role": None, "permissions": ["log:read"]}, "/permissions/0", 'did you mean "logs:read"?'),
        (
            {"role": None, "permissions": ["logs:read", "!"]},
            "/permissions/1",
            "is not a permission; valid are: gpus",
        ),
        ({"expires_at": "2025-12-31T23:59:59Z"}, "/expires_at", "must be in the future"),
        ({"expires_at": 5}, "/expires_at", "must be a time such as"),
        ({"quota": {"gpus": -1}}, "/quota/gpus", "must be at least 0"),
        ({"quota": {"gpu": 1}}, "/quota/gpu", 'unknown field; did you mean "gpus"?'),
        ({"quota": {"storage_gb": True}}, "/quota/storage_gb", "must be a number"),
        ({"name": "a\nb"}, "/name", "must be one line"),
        ({"is_admin": True}, "/is_admin", "unknown field; known are: user_id"),
    ],
)
def test_mistakes_of_a_request_are_reported(
    client: Client, admin: Headers, changes: dict[str, Any], pointer: str, message: str
):
    answer = client.post(f"{AUTH}/generate-key", json={**ANNA, **changes}, headers=admin)
    assert answer.status_code == 422, answer.text
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == pointer
    assert message in mistake["message"]


def test_no_key_grants_more_than_it_has(client: Client, key: Callable[..., Headers]):
    manager = key(user_id="desk", permissions=("keys:manage", "gpus:read"))
    for body in (
        {"user_id": "desk", "role": "admin"},
        {"user_id": "new", "role": "trainer"},
        {"user_id": "new", "permissions": [*map(str, Permission)]},
    ):
        refused = failure_of(client.post(f"{AUTH}/generate-key", json=body, headers=manager))
        assert (refused["code"], refused["error"]["code"]) == (403, "forbidden")
        assert "training:read" in refused["data"]["missing_permissions"]
    made(
        client.post(f"{AUTH}/generate-key", json={"user_id": "new", "permissions": ["gpus:read"]}, headers=manager),
    )


def test_key_manager_gains_no_permission_by_rotation_or_another_user_name(
    client: Client, admin: Headers, key: Callable[..., Headers]
):
    anna = key(user_id="anna", role=Role.TRAINER)
    manager = key(user_id="desk", permissions=("keys:manage", "training", "processes:read", "gpus:register"))
    body = {"user_id": "anna", "permissions": ["training"]}
    for path in ("generate-key", f"keys/{id_of(anna)}/rotate", f"keys/{id_of(admin)}/rotate"):
        answer = client.post(f"{AUTH}/{path}", json=body if path == "generate-key" else {}, headers=manager)
        assert "tasks:write_any" in failure_of(answer)["data"]["missing_permissions"]
    assert client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=manager).status_code == 403
    assert client.delete(f"{AUTH}/keys/{id_of(anna)}", headers=manager).status_code == 200
    made(client.post(f"{AUTH}/generate-key", json={**body, "user_id": "desk"}, headers=manager))


def test_without_the_permission_keys_are_neither_listed_nor_created(client: Client, key: Callable[..., Headers]):
    trainer = key(user_id="anna", role=Role.TRAINER)
    for method, path in [
        ("POST", "/generate-key"),
        ("GET", "/keys"),
        ("GET", f"/keys/{id_of(trainer)}"),
        ("DELETE", f"/keys/{id_of(trainer)}"),
        ("POST", f"/keys/{id_of(trainer)}/rotate"),
        ("GET", "/users"),
        ("PATCH", "/users/anna"),
    ]:
        answer = client.ask(method, AUTH + path, json=ANNA if method in ("POST", "PATCH") else None, headers=trainer)
        assert failure_of(answer)["data"] == {"missing_permission": "keys:manage"}
        assert client.ask(method, AUTH + path).status_code == 401


def test_retry_creates_no_second_key_and_does_not_show_the_first_again(client: Client, admin: Headers, world: World):
    headers = {**admin, "Idempotency-Key": "once"}
    first = client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers)
    again = client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"
    assert made(again) == {**made(first), "api_key": None}
    assert len(client.data(f"{AUTH}/keys?user_id=anna", headers=admin)["keys"]) == 1


def test_concurrent_requests_with_one_idempotency_key_create_one_key(client: Client, admin: Headers):
    headers = {**admin, "Idempotency-Key": "once"}

    async def ask_all() -> list[httpx.Response]:
        return await asyncio.gather(
            *(client.send("POST", f"{AUTH}/generate-key", json=ANNA, headers=headers) for _ in range(50))
        )

    answers = client.run(ask_all())
    assert {answer.status_code for answer in answers} <= {201, 409}
    shown = [answer for answer in answers if answer.status_code == 201 and made(answer)["api_key"] is not None]
    assert len(shown) == 1
    assert len(client.data(f"{AUTH}/keys?user_id=anna", headers=admin)["keys"]) == 1


def test_no_secret_is_stored(client: Client, admin: Headers, world: World):
    headers = {**admin, "Idempotency-Key": "once"}
    new = made(client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers))
    rotated = made(client.post(f"{AUTH}/keys/{new['key_id']}/rotate", headers=headers))
    signed_in = client.post(f"{AUTH}/login", json={"key": rotated["api_key"]})
    ticket = client.post(f"{AUTH}/ticket", headers=admin).json()["data"]["ticket"]
    cookie = re.search("dp_session=([^;]+)", signed_in.headers["set-cookie"])
    assert cookie is not None
    world.runtime.database.close()
    stored = b"".join(path.read_bytes() for path in sorted(world.storage.rglob("*")) if path.is_file())
    secrets = [new["api_key"], rotated["api_key"], admin["Authorization"].removeprefix("Bearer "), ticket, cookie[1]]
    assert [secret for secret in secrets if secret.removeprefix("dp_").encode() in stored] == []


# -- read --------------------------------------------------------------------------------------------------------------


def test_keys_are_listed_newest_first_by_user_and_state(
    client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock
):
    ids = {"root": id_of(admin)}
    for name, soon in (("expired", 5), ("active", None), ("revoked", None)):
        clock.advance(1)
        ends = None if soon is None else clock.now() + timedelta(seconds=soon)
        ids[name] = id_of(key(user_id="anna", role=Role.VIEWER, name=name, expires_at=ends))
    client.delete(f"{AUTH}/keys/{ids['revoked']}", headers=admin)
    clock.advance(10)

    def names(query: str = "") -> list[str]:
        return [each["name"] for each in client.data(f"{AUTH}/keys{query}", headers=admin)["keys"]]

    assert names() == ["revoked", "active", "expired", "root"]
    assert names("?user_id=anna") == ["revoked", "active", "expired"]
    for state in ("active", "expired", "revoked"):
        assert names(f"?user_id=anna&state={state}") == [state]
    first = client.data(f"{AUTH}/keys?limit=1&user_id=anna", headers=admin)
    assert first["pagination"]["total"] == 3
    key(user_id="anna", role=Role.VIEWER, name="newer")
    assert names(f"?limit=2&user_id=anna&cursor={first['pagination']['next_cursor']}") == ["active", "expired"]


@pytest.mark.parametrize("query", ["?state=lost", "?user_id=%00", "?owner=anna", "?limit=0"])
def test_unknown_filters_are_rejected(client: Client, admin: Headers, query: str):
    assert client.get(f"{AUTH}/keys{query}", headers=admin).status_code == 422


@pytest.mark.parametrize("name", ["absent", "0" * 12, "a%00b", "..%2f", "é", "x" * 3000])
def test_unknown_key_is_not_found(client: Client, admin: Headers, name: str):
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = client.ask(method, f"{AUTH}/keys/{name}{path}", headers=admin)
        assert (answer.status_code, failure_of(answer)["error"]["code"]) in {(404, "key_not_found"), (404, "not_found")}


# -- rotate ------------------------------------------------------------------------------------------------------------


def test_rotated_key_is_valid_until_the_overlap_ends(
    world: World, client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock
):
    old = key(user_id="anna", name="laptop", permissions=("training",), expires_at=clock.now() + timedelta(days=30))
    clock.advance(86_400)
    world.runtime.access.ring.run_once()
    answer = client.post(f"{AUTH}/keys/{id_of(old)}/rotate", json={"overlap_seconds": 60}, headers=admin)
    new = made(answer)
    assert (new["user_id"], new["name"], new["role"]) == ("anna", "laptop", None)
    assert new["expires_at"] == "2026-02-01T00:00:00Z"
    assert answer.headers["cache-control"] == "no-store"
    before = client.data(f"{AUTH}/keys/{id_of(old)}", headers=admin)
    assert (before["rotated_to"], before["expires_at"]) == (new["key_id"], "2026-01-02T00:01:00Z")
    headers = {"Authorization": f"Bearer {new['api_key']}"}
    clock.advance(59)
    assert (whoami(client, old), whoami(client, headers)) == (200, 200)
    clock.advance(1)
    assert failure_of(client.get(f"{AUTH}/whoami", headers=old))["error"]["code"] == "key_expired"
    assert whoami(client, headers) == 200


def test_without_an_overlap_the_old_key_ends_immediately(client: Client, admin: Headers, key: Callable[..., Headers]):
    old = key(user_id="anna", role=Role.VIEWER)
    made(client.post(f"{AUTH}/keys/{id_of(old)}/rotate", json={"overlap_seconds": 0}, headers=admin))
    assert failure_of(client.get(f"{AUTH}/whoami", headers=old))["error"]["code"] == "key_expired"


def test_one_of_two_concurrent_rotations_is_refused(client: Client, admin: Headers, key: Callable[..., Headers]):
    path = f"{AUTH}/keys/{id_of(key(user_id='anna', role=Role.VIEWER))}/rotate"

    async def both() -> list[httpx.Response]:
        return await asyncio.gather(*(client.send("POST", path, headers=admin) for _ in range(2)))

    one, other = sorted(client.run(both()), key=lambda answer: answer.status_code)
    assert other.status_code == 409
    assert failure_of(other)["error"]["code"] == "key_ended"
    assert made(one)["key_id"] in failure_of(other)["error"]["detail"]
    assert len(client.data(f"{AUTH}/keys?user_id=anna", headers=admin)["keys"]) == 2


def test_ended_key_is_not_rotated(client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock):
    revoked = key(user_id="anna", role=Role.VIEWER)
    expired = key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=5))
    client.delete(f"{AUTH}/keys/{id_of(revoked)}", headers=admin)
    clock.advance(5)
    for old, why in ((revoked, "was revoked"), (expired, "has expired")):
        refused = failure_of(client.post(f"{AUTH}/keys/{id_of(old)}/rotate", headers=admin))["error"]
        assert (refused["code"], why in refused["detail"]) == ("key_ended", True)


@pytest.mark.parametrize("seconds", [-1, 1e9, "60"])
def test_overlap_has_bounds(client: Client, admin: Headers, seconds: Any):
    answer = client.post(f"{AUTH}/keys/{id_of(admin)}/rotate", json={"overlap_seconds": seconds}, headers=admin)
    assert answer.status_code == 422


# -- revoke ------------------------------------------------------------------------------------------------------------


def test_revoked_key_ends_immediately_with_its_sessions_and_stays_revoked(
    client: Client, admin: Headers, key: Callable[..., Headers]
):
    anna = key(user_id="anna", role=Role.TRAINER)
    cookie = sign_in(client, anna)
    first = client.delete(f"{AUTH}/keys/{id_of(anna)}", headers=admin).json()["data"]
    assert (first["state"], first["revoked_by"]) == ("revoked", "root")
    assert failure_of(client.get(f"{AUTH}/whoami", headers=anna))["error"]["code"] == "key_revoked"
    assert client.get(f"{AUTH}/whoami", headers=cookie).status_code == 401
    assert client.delete(f"{AUTH}/keys/{id_of(anna)}", headers=admin).json()["data"] == first


def test_last_administrator_is_revoked_only_with_force(client: Client, admin: Headers, key: Callable[..., Headers]):
    key(user_id="anna", role=Role.TRAINER)
    refused = failure_of(client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin))
    assert (refused["code"], refused["error"]["code"]) == (409, "last_administrator")
    assert "Create another one first" in refused["error"]["detail"]
    assert whoami(client, admin) == 200
    other = key(user_id="other", permissions=tuple(Permission))
    assert client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin).status_code == 200
    assert client.delete(f"{AUTH}/keys/{id_of(other)}?force=true", headers=other).status_code == 200


def test_replaced_key_does_not_count_as_another_administrator(client: Client, admin: Headers):
    new = made(client.post(f"{AUTH}/keys/{id_of(admin)}/rotate", headers=admin))
    assert client.delete(f"{AUTH}/keys/{new['key_id']}", headers=admin).status_code == 409
    assert client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin).status_code == 200
