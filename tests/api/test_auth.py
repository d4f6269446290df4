"""Keys, people and sign-ins over HTTP."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.models.access import LOCAL, Permission, Role
from api.services.access.key_format import KEY
from api.services.access.service import KeyRequest
from api.utils.clock import FakeClock
from tests.api.client import Client, failure_of
from tests.api.conftest import MakeWorld, World

AUTH = "/api/v1/auth"
ANNA = {"user_id": "anna", "role": "trainer"}

Headers = dict[str, str]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(auth="required", clock=clock)


@pytest.fixture
def key(world: World) -> Callable[..., Headers]:
    """Makes a key and gives the headers that show it."""

    def make(**fields: Any) -> Headers:
        made = world.runtime.services.access.generate(KeyRequest(**fields), LOCAL)
        return {"Authorization": f"Bearer {made.api_key}"}

    return make


@pytest.fixture
def admin(key: Callable[..., Headers]) -> Headers:
    return key(user_id="root", role=Role.ADMIN)


def id_of(headers: Headers) -> str:
    found = KEY.fullmatch(headers["Authorization"].removeprefix("Bearer "))
    assert found is not None
    return found["key_id"]


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def whoami(client: Client, headers: Headers) -> int:
    return client.get(f"{AUTH}/whoami", headers=headers).status_code


# -- making ------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_shown_once_and_usable_at_once(client: Client, admin: Headers):
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
    kept = client.get(answer.headers["location"], headers=admin)
    assert kept.json()["data"] == {name: value for name, value in data.items() if name != "api_key"}
    assert data["api_key"] not in client.get(f"{AUTH}/keys", headers=admin).text


def test_the_words_of_an_earlier_server_are_groups_of_permissions(client: Client, admin: Headers):
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
        ({"user_id": "api"}, "/user_id", "the service uses itself"),
        ({"role": "boss"}, "/role", "must be one of 'viewer', 'trainer' or 'admin'"),
        ({"role": None}, "", "give either role or permissions"),
        ({"permissions": ["logs:read"]}, "", "give either role or permissions"),
        ({"role": None, "permissions": []}, "/permissions", "must hold at least 1 value"),
        ({"role": None, "permissions": ["log:read"]}, "/permissions/0", 'did you mean "logs:read"?'),
        ({"role": None, "permissions": ["logs:read", "!"]}, "/permissions/1", "is no permission; known are: gpus:read"),
        ({"expires_at": "2025-12-31T23:59:59Z"}, "/expires_at", "must be in the future"),
        ({"expires_at": 5}, "/expires_at", "must be a time such as"),
        ({"quota": {"gpus": -1}}, "/quota/gpus", "must be at least 0"),
        ({"quota": {"gpu": 1}}, "/quota/gpu", 'unknown field; did you mean "gpus"?'),
        ({"quota": {"storage_gb": True}}, "/quota/storage_gb", "must be a number"),
        ({"name": "a\nb"}, "/name", "must be one line"),
        ({"is_admin": True}, "/is_admin", "unknown field; known are: user_id"),
    ],
)
def test_what_is_wrong_with_a_request_is_told(
    client: Client, admin: Headers, changes: dict[str, Any], pointer: str, message: str
):
    answer = client.post(f"{AUTH}/generate-key", json={**ANNA, **changes}, headers=admin)
    assert answer.status_code == 422, answer.text
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == pointer
    assert message in mistake["message"]


def test_nobody_grants_more_than_they_have(client: Client, key: Callable[..., Headers]):
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


def test_a_manager_of_keys_comes_neither_by_rotation_nor_by_another_name_to_more(
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


def test_who_may_not_manage_keys_sees_none_and_makes_none(client: Client, key: Callable[..., Headers]):
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


def test_a_retry_makes_no_second_key_and_shows_the_first_no_second_time(client: Client, admin: Headers, world: World):
    headers = {**admin, "Idempotency-Key": "once"}
    first = client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers)
    again = client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"
    assert made(again) == {**made(first), "api_key": None}
    assert len(client.data(f"{AUTH}/keys?user_id=anna", headers=admin)["keys"]) == 1


def test_of_many_at_once_with_one_idempotency_key_one_makes_the_key(client: Client, admin: Headers):
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


def test_no_secret_is_kept(client: Client, admin: Headers, world: World):
    headers = {**admin, "Idempotency-Key": "once"}
    new = made(client.post(f"{AUTH}/generate-key", json=ANNA, headers=headers))
    rotated = made(client.post(f"{AUTH}/keys/{new['key_id']}/rotate", headers=headers))
    signed_in = client.post(f"{AUTH}/login", json={"key": rotated["api_key"]})
    ticket = client.post(f"{AUTH}/ticket", headers=admin).json()["data"]["ticket"]
    cookie = re.search("dp_session=([^;]+)", signed_in.headers["set-cookie"])
    assert cookie is not None
    world.runtime.database.close()
    kept = b"".join(path.read_bytes() for path in sorted(world.storage.rglob("*")) if path.is_file())
    secrets = [new["api_key"], rotated["api_key"], admin["Authorization"].removeprefix("Bearer "), ticket, cookie[1]]
    assert [secret for secret in secrets if secret.removeprefix("dp_").encode() in kept] == []


# -- looking -----------------------------------------------------------------------------------------------------------


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
def test_filters_that_do_not_exist_are_told(client: Client, admin: Headers, query: str):
    assert client.get(f"{AUTH}/keys{query}", headers=admin).status_code == 422


@pytest.mark.parametrize("name", ["absent", "0" * 12, "a%00b", "..%2f", "é", "x" * 3000])
def test_a_key_that_does_not_exist_is_not_found(client: Client, admin: Headers, name: str):
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = client.ask(method, f"{AUTH}/keys/{name}{path}", headers=admin)
        assert (answer.status_code, failure_of(answer)["error"]["code"]) in {(404, "key_not_found"), (404, "not_found")}


# -- rotating ----------------------------------------------------------------------------------------------------------


def test_a_rotated_key_holds_until_the_end_of_its_overlap(
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


def test_without_an_overlap_the_old_key_ends_at_once(client: Client, admin: Headers, key: Callable[..., Headers]):
    old = key(user_id="anna", role=Role.VIEWER)
    made(client.post(f"{AUTH}/keys/{id_of(old)}/rotate", json={"overlap_seconds": 0}, headers=admin))
    assert failure_of(client.get(f"{AUTH}/whoami", headers=old))["error"]["code"] == "key_expired"


def test_of_two_rotations_at_once_one_is_refused(client: Client, admin: Headers, key: Callable[..., Headers]):
    path = f"{AUTH}/keys/{id_of(key(user_id='anna', role=Role.VIEWER))}/rotate"

    async def both() -> list[httpx.Response]:
        return await asyncio.gather(*(client.send("POST", path, headers=admin) for _ in range(2)))

    one, other = sorted(client.run(both()), key=lambda answer: answer.status_code)
    assert other.status_code == 409
    assert failure_of(other)["error"]["code"] == "key_ended"
    assert made(one)["key_id"] in failure_of(other)["error"]["detail"]
    assert len(client.data(f"{AUTH}/keys?user_id=anna", headers=admin)["keys"]) == 2


def test_a_key_that_has_ended_is_not_rotated(
    client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock
):
    revoked = key(user_id="anna", role=Role.VIEWER)
    expired = key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=5))
    client.delete(f"{AUTH}/keys/{id_of(revoked)}", headers=admin)
    clock.advance(5)
    for old, why in ((revoked, "was revoked"), (expired, "has expired")):
        refused = failure_of(client.post(f"{AUTH}/keys/{id_of(old)}/rotate", headers=admin))["error"]
        assert (refused["code"], why in refused["detail"]) == ("key_ended", True)


@pytest.mark.parametrize("seconds", [-1, 1e9, "60"])
def test_overlaps_have_bounds(client: Client, admin: Headers, seconds: Any):
    answer = client.post(f"{AUTH}/keys/{id_of(admin)}/rotate", json={"overlap_seconds": seconds}, headers=admin)
    assert answer.status_code == 422


# -- revoking ----------------------------------------------------------------------------------------------------------


def test_a_revoked_key_ends_at_once_with_its_sign_ins_and_stays_revoked(
    client: Client, admin: Headers, key: Callable[..., Headers]
):
    anna = key(user_id="anna", role=Role.TRAINER)
    cookie = sign_in(client, anna)
    first = client.delete(f"{AUTH}/keys/{id_of(anna)}", headers=admin).json()["data"]
    assert (first["state"], first["revoked_by"]) == ("revoked", "root")
    assert failure_of(client.get(f"{AUTH}/whoami", headers=anna))["error"]["code"] == "key_revoked"
    assert client.get(f"{AUTH}/whoami", headers=cookie).status_code == 401
    assert client.delete(f"{AUTH}/keys/{id_of(anna)}", headers=admin).json()["data"] == first


def test_the_last_administrator_is_revoked_by_force_only(client: Client, admin: Headers, key: Callable[..., Headers]):
    key(user_id="anna", role=Role.TRAINER)
    refused = failure_of(client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin))
    assert (refused["code"], refused["error"]["code"]) == (409, "last_administrator")
    assert "make another one first" in refused["error"]["detail"]
    assert whoami(client, admin) == 200
    other = key(user_id="other", permissions=tuple(Permission))
    assert client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin).status_code == 200
    assert client.delete(f"{AUTH}/keys/{id_of(other)}?force=true", headers=other).status_code == 200


def test_a_key_that_gives_way_to_its_successor_is_no_administrator_that_stays(client: Client, admin: Headers):
    new = made(client.post(f"{AUTH}/keys/{id_of(admin)}/rotate", headers=admin))
    assert client.delete(f"{AUTH}/keys/{new['key_id']}", headers=admin).status_code == 409
    assert client.delete(f"{AUTH}/keys/{id_of(admin)}", headers=admin).status_code == 200


# -- who one is, and signing in ----------------------------------------------------------------------------------------


def test_whoami_tells_what_a_key_permits(client: Client, key: Callable[..., Headers], clock: FakeClock):
    ends = clock.now() + timedelta(hours=1)
    anna = key(user_id="anna", name="laptop", role=Role.VIEWER, expires_at=ends, quota={"gpus": 2})
    assert client.data(f"{AUTH}/whoami", headers=anna) == {
        "user_id": "anna",
        "name": "laptop",
        "role": "viewer",
        "permissions": ["datasets:read", "gpus:read", "logs:read", "models:read", "processes:read", "training:read"],
        "key_id": id_of(anna),
        "expires_at": "2026-01-01T01:00:00Z",
        "quota": {"gpus": 2, "queued_tasks": None, "gpu_hours_per_day": None, "storage_gb": None},
        "usage": {"gpus": 0, "queued_tasks": 0, "gpu_hours_last_day": 0.0, "storage_gb": None},
        "auth": "required",
    }


def test_whoami_works_without_keys(make_world: MakeWorld):
    who = make_world().client.data(f"{AUTH}/whoami")
    assert (who["user_id"], who["role"], who["key_id"], who["auth"]) == ("local", "admin", None, "off")


def sign_in(client: Client, key: Headers, scheme: str = "http") -> Headers:
    """The headers of the page after signing in with this key."""
    answer = client.post(
        f"{scheme}://127.0.0.1{AUTH}/login", json={"key": key["Authorization"].removeprefix("Bearer ")}
    )
    assert answer.status_code == 200, answer.text
    # What the client keeps by itself would be sent with every later request.
    client._http.cookies.clear()
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0], "Origin": "http://127.0.0.1"}


def test_a_sign_in_lasts_12_hours_in_a_cookie_that_no_script_can_read(
    world: World, client: Client, key: Callable[..., Headers], clock: FakeClock
):
    anna = key(user_id="anna", role=Role.TRAINER)
    answer = client.post(f"{AUTH}/login", json={"key": anna["Authorization"].removeprefix("Bearer ")})
    parts = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"dp_session=[\w-]{43}", parts[0])
    assert set(parts[1:]) >= {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"}
    assert "Secure" not in parts
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["data"]["user_id"], answer.json()["data"]["role"]) == ("anna", "trainer")
    client._http.cookies.clear()
    cookie = {"Cookie": parts[0]}
    clock.advance(12 * 3600 - 1)
    world.runtime.access.ring.run_once()
    assert whoami(client, cookie) == 200
    clock.advance(1)
    assert whoami(client, cookie) == 401


def test_by_https_the_cookie_is_sent_by_https_only(client: Client, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.TRAINER)["Authorization"].removeprefix("Bearer ")
    answer = client.post(f"https://127.0.0.1{AUTH}/login", json={"key": anna})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_a_sign_in_lasts_no_longer_than_its_key(client: Client, key: Callable[..., Headers], clock: FakeClock):
    cookie = sign_in(client, key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=60)))
    assert client.data(f"{AUTH}/whoami", headers=cookie)["expires_at"] == "2026-01-01T00:01:00Z"
    clock.advance(60)
    assert whoami(client, cookie) == 401


def test_signing_out_ends_the_sign_in_and_not_the_key(client: Client, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.VIEWER)
    cookie, other = sign_in(client, anna), sign_in(client, anna)
    answer = client.post(f"{AUTH}/logout", headers=cookie)
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("dp_session=; Expires=Thu, 01 Jan 1970")
    assert [whoami(client, headers) for headers in (cookie, other, anna)] == [401, 200, 200]
    assert client.post(f"{AUTH}/logout", headers=anna).status_code == 200


def test_signing_in_again_ends_the_sign_in_that_the_browser_had(client: Client, key: Callable[..., Headers]):
    anna, bob = key(user_id="anna", role=Role.VIEWER), key(user_id="bob", role=Role.VIEWER)
    first, other = sign_in(client, anna), sign_in(client, anna)
    body = {"key": bob["Authorization"].removeprefix("Bearer ")}
    assert client.post(f"{AUTH}/login", json={"key": "dp_"}, headers=first).status_code == 401
    assert whoami(client, first) == 200
    assert client.post(f"{AUTH}/login", json=body, headers=first).status_code == 200
    client._http.cookies.clear()
    assert [whoami(client, headers) for headers in (first, other, anna)] == [401, 200, 200]


def test_signing_out_is_for_the_page_itself_only(client: Client, key: Callable[..., Headers]):
    cookie = sign_in(client, key(user_id="anna", role=Role.VIEWER))
    foreign = {**cookie, "Sec-Fetch-Site": "same-site"}
    assert failure_of(client.post(f"{AUTH}/logout", headers=foreign))["error"]["code"] == "cross_site"


@pytest.mark.parametrize(
    ("key_", "code"),
    [("", "wrong_key"), ("dp_", "wrong_key"), ("é\0", "wrong_key"), (f"dp_{'a' * 12}_{'b' * 43}", "wrong_key")],
)
def test_signing_in_with_what_is_no_key_says_so(client: Client, key_: str, code: str):
    answer = client.post(f"{AUTH}/login", json={"key": key_})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in answer.headers


def test_signing_in_with_an_ended_key_says_why(
    client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock
):
    revoked = key(user_id="anna", role=Role.VIEWER)
    expired = key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=5))
    client.delete(f"{AUTH}/keys/{id_of(revoked)}", headers=admin)
    clock.advance(5)
    for ended, code in ((revoked, "key_revoked"), (expired, "key_expired")):
        answer = client.post(f"{AUTH}/login", json={"key": ended["Authorization"].removeprefix("Bearer ")})
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (401, code)


def test_signing_in_takes_json_of_its_form_only(client: Client):
    form = client.post(f"{AUTH}/login", data={"key": "dp_x"})
    assert form.status_code == 415
    for body in ({}, {"key": 5}, {"key": "x" * 1001}, {"key": "x", "next": "/"}):
        assert client.post(f"{AUTH}/login", json=body).status_code == 422
    assert client.post(f"{AUTH}/login", json={"key": "x" * (1 << 21)}).status_code == 413


def test_a_ticket_is_random_and_for_half_a_minute(client: Client, admin: Headers):
    one, other = (client.post(f"{AUTH}/ticket", headers=admin) for _ in range(2))
    assert one.json()["data"]["ticket"] != other.json()["data"]["ticket"]
    assert one.json()["data"]["expires_at"] == "2026-01-01T00:00:30Z"
    assert one.headers["cache-control"] == "no-store"


# -- people ------------------------------------------------------------------------------------------------------------


def test_people_are_listed_with_quota_and_keys(client: Client, admin: Headers, key: Callable[..., Headers]):
    key(user_id="anna", role=Role.VIEWER)
    old = key(user_id="anna", role=Role.VIEWER, quota={"gpus": 2})
    client.delete(f"{AUTH}/keys/{id_of(old)}", headers=admin)
    users = client.data(f"{AUTH}/users", headers=admin)["users"]
    assert [(user["user_id"], user["active_keys"]) for user in users] == [("anna", 1), ("root", 1)]
    assert users[0]["quota"]["gpus"] == 2


def test_of_a_quota_what_is_given_is_changed(client: Client, admin: Headers, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.VIEWER, quota={"gpus": 2, "storage_gb": 10.5})
    body = {"quota": {"gpus": None, "queued_tasks": 5}}
    quota = client.patch(f"{AUTH}/users/anna", json=body, headers=admin).json()["data"]["quota"]
    assert quota == {"gpus": None, "queued_tasks": 5, "gpu_hours_per_day": None, "storage_gb": 10.5}
    assert client.data(f"{AUTH}/whoami", headers=anna)["quota"] == quota
    key(user_id="anna", role=Role.VIEWER, quota={"gpus": 1})
    assert client.data(f"{AUTH}/whoami", headers=anna)["quota"] == {**quota, "gpus": 1}


@pytest.mark.parametrize("name", ["nobody-here", "%00", "é", "x" * 3000])
def test_a_quota_is_for_somebody_who_is_known(client: Client, admin: Headers, name: str):
    answer = client.patch(f"{AUTH}/users/{name}", json={"quota": {"gpus": 1}}, headers=admin)
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "user_not_found")


@pytest.mark.parametrize("body", [{}, {"quota": None}, {"quota": {"gpus": 1.5}}, {"quota": {}, "role": "admin"}])
def test_a_change_of_a_quota_has_its_form(client: Client, admin: Headers, body: dict[str, Any]):
    assert client.patch(f"{AUTH}/users/root", json=body, headers=admin).status_code == 422
