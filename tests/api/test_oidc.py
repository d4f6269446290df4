"""Sign-in by OpenID Connect without a provider; tests/e2e/test_oidc.py has one."""

from tests.api.client import Client
from tests.api.conftest import MakeWorld

AUTH = "/api/v1/auth"


def test_page_learns_that_no_keys_are_required(client: Client):
    assert client.data(f"{AUTH}/ways") == {"auth": "off", "oidc": None}


def test_page_learns_that_keys_are_required_before_it_has_one(make_world: MakeWorld):
    assert make_world(auth="required").client.data(f"{AUTH}/ways") == {"auth": "required", "oidc": None}


def test_sign_in_without_a_provider_is_not_found(client: Client):
    for path in ("login", "callback"):
        answer = client.get(f"{AUTH}/oidc/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
