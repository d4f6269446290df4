"""Signing in by OpenID Connect where no provider is named; tests/e2e/test_oidc.py has one."""

from tests.api.client import Client
from tests.api.conftest import MakeWorld

AUTH = "/api/v1/auth"


def test_page_is_told_that_nobody_is_asked(client: Client):
    assert client.data(f"{AUTH}/ways") == {"auth": "off", "oidc": None}


def test_page_is_told_that_keys_are_needed_before_it_has_one(make_world: MakeWorld):
    assert make_world(auth="required").client.data(f"{AUTH}/ways") == {"auth": "required", "oidc": None}


def test_nobody_is_sent_to_a_provider_that_is_not_named(client: Client):
    for path in ("login", "callback"):
        answer = client.get(f"{AUTH}/oidc/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
