"""`/auth/whoami`, and signing in to the page."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from api.domain.access.principal import Role
from api.util.clock import FakeClock
from tests.api.auth.keys import AUTH, Headers, id_of, sign_in, whoami
from tests.api.client import Client, failure_of
from tests.api.conftest import MakeWorld, World


def test_whoami_lists_the_permissions_of_a_key(client: Client, key: Callable[..., Headers], clock: FakeClock):
    ends = clock.now() + timedelta(hours=1)
    anna = key(user_id="anna", name="laptop", role=Role.VIEWER, expires_at=ends, quota={"gpus": 2})
    assert client.data(f"{AUTH}/whoami", headers=anna) == {
        "user_id": "anna",
        "name": "laptop",
        "role": "viewer",
        "permissions": [
            "alerts:read",
            "datasets:read",
            "gpus:read",
            "logs:read",
            "models:read",
            "processes:read",
            "training:read",
        ],
        "key_id": id_of(anna),
        "expires_at": "2026-01-01T01:00:00Z",
        "quota": {"gpus": 2, "queued_tasks": None, "gpu_hours_per_day": None, "storage_gb": None},
        "usage": {"gpus": 0, "queued_tasks": 0, "gpu_hours_last_day": 0.0, "storage_gb": None},
        "auth": "required",
    }


def test_whoami_works_without_keys(make_world: MakeWorld):
    who = make_world().client.data(f"{AUTH}/whoami")
    assert (who["user_id"], who["role"], who["key_id"], who["auth"]) == ("local", "admin", None, "off")


def test_session_lasts_12_hours_in_a_cookie_that_scripts_cannot_read(
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


def test_over_https_the_cookie_is_secure(client: Client, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.TRAINER)["Authorization"].removeprefix("Bearer ")
    answer = client.post(f"https://127.0.0.1{AUTH}/login", json={"key": anna})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_session_ends_no_later_than_its_key(client: Client, key: Callable[..., Headers], clock: FakeClock):
    cookie = sign_in(client, key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=60)))
    assert client.data(f"{AUTH}/whoami", headers=cookie)["expires_at"] == "2026-01-01T00:01:00Z"
    clock.advance(60)
    assert whoami(client, cookie) == 401


def test_signing_out_ends_the_session_but_not_the_key(client: Client, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.VIEWER)
    cookie, other = sign_in(client, anna), sign_in(client, anna)
    answer = client.post(f"{AUTH}/logout", headers=cookie)
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("dp_session=; Expires=Thu, 01 Jan 1970")
    assert [whoami(client, headers) for headers in (cookie, other, anna)] == [401, 200, 200]
    assert client.post(f"{AUTH}/logout", headers=anna).status_code == 200


def test_signing_in_again_ends_the_previous_session_of_the_browser(client: Client, key: Callable[..., Headers]):
    anna, bob = key(user_id="anna", role=Role.VIEWER), key(user_id="bob", role=Role.VIEWER)
    first, other = sign_in(client, anna), sign_in(client, anna)
    body = {"key": bob["Authorization"].removeprefix("Bearer ")}
    assert client.post(f"{AUTH}/login", json={"key": "dp_"}, headers=first).status_code == 401
    assert whoami(client, first) == 200
    assert client.post(f"{AUTH}/login", json=body, headers=first).status_code == 200
    client._http.cookies.clear()
    assert [whoami(client, headers) for headers in (first, other, anna)] == [401, 200, 200]


def test_only_the_page_itself_can_sign_out(client: Client, key: Callable[..., Headers]):
    cookie = sign_in(client, key(user_id="anna", role=Role.VIEWER))
    foreign = {**cookie, "Sec-Fetch-Site": "same-site"}
    assert failure_of(client.post(f"{AUTH}/logout", headers=foreign))["error"]["code"] == "cross_site"


@pytest.mark.parametrize(
    ("key_", "code"),
    [("", "wrong_key"), ("dp_", "wrong_key"), (f"dp_{'a' * 12}_{'b' * 43}", "wrong_key")],
)
def test_signing_in_with_an_invalid_key_reports_the_reason(client: Client, key_: str, code: str):
    answer = client.post(f"{AUTH}/login", json={"key": key_})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in answer.headers


def test_signing_in_with_an_ended_key_reports_the_reason(
    client: Client, admin: Headers, key: Callable[..., Headers], clock: FakeClock
):
    revoked = key(user_id="anna", role=Role.VIEWER)
    expired = key(user_id="anna", role=Role.VIEWER, expires_at=clock.now() + timedelta(seconds=5))
    client.delete(f"{AUTH}/keys/{id_of(revoked)}", headers=admin)
    clock.advance(5)
    for ended, code in ((revoked, "key_revoked"), (expired, "key_expired")):
        answer = client.post(f"{AUTH}/login", json={"key": ended["Authorization"].removeprefix("Bearer ")})
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (401, code)


def test_signing_in_accepts_only_json_of_its_schema(client: Client):
    form = client.post(f"{AUTH}/login", data={"key": "dp_x"})
    assert form.status_code == 415
    for body in ({}, {"key": 5}, {"key": "x" * 1001}, {"key": "x", "next": "/"}):
        assert client.post(f"{AUTH}/login", json=body).status_code == 422
    assert client.post(f"{AUTH}/login", json={"key": "x" * (1 << 21)}).status_code == 413


def test_ticket_is_random_and_valid_for_half_a_minute(client: Client, admin: Headers):
    one, other = (client.post(f"{AUTH}/ticket", headers=admin) for _ in range(2))
    assert one.json()["data"]["ticket"] != other.json()["data"]["ticket"]
    assert one.json()["data"]["expires_at"] == "2026-01-01T00:00:30Z"
    assert one.headers["cache-control"] == "no-store"
