"""Sign-in at a real OpenID Connect provider, as a browser does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ServerProcess, until

try:
    from oidc_provider_mock import User, run_server_in_thread
except SyntaxError:  # it requires Python 3.12
    pytest.skip("the provider of the tests needs Python 3.12", allow_module_level=True)

ADMIN_KEY = f"dp_{'a' * 12}_{'A' * 43}"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Run a provider with three users, and return its address."""
    people = (
        User(
            sub="ann", claims={"email": "ann@example.org", "email_verified": True, "name": "Ann", "groups": ["ml-team"]}
        ),
        User(
            sub="bob", claims={"email": "bob@example.org", "email_verified": True, "groups": ["ml-admins", "ml-team"]}
        ),
        User(sub="eve", claims={"email": "eve@example.org", "email_verified": True, "groups": ["sales"]}),
    )
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def server(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("server")
    secret, key = directory / "secret", directory / "key"
    for path, text in ((secret, "a secret of the client\n"), (key, f"{ADMIN_KEY}\n")):
        path.touch(0o600)
        path.write_text(text)
    settings = {
        "AUTH": "required",
        "ADMIN_KEY_FILE": str(key),
        "OIDC_ISSUER": provider,
        "OIDC_CLIENT_ID": "us",
        "OIDC_CLIENT_SECRET_FILE": str(secret),
        "OIDC_ROLES": "ml-team=trainer,ml-admins=admin",
    }
    with ServerProcess(directory, settings) as server:
        yield server


class Browser:
    """A client with cookies, which follows a redirect only when a test does so."""

    def __init__(self, server: ServerProcess) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=20)

    def begin(self, next_: str = "/") -> httpx.Response:
        return self.http.get("/api/v1/auth/oidc/login", params={"next": next_})

    def sign_in(self, who: str, next_: str = "/", action: str = "") -> httpx.Response:
        """Return the response to the browser when the provider has sent it back."""
        form = self.begin(next_)
        assert form.status_code == 303, form.text
        back = httpx.post(form.headers["location"], data={"sub": who, "action": action}, trust_env=False, timeout=20)
        assert back.status_code in (302, 303), back.text
        return self.http.get(back.headers["location"])

    def who(self) -> dict[str, object]:
        answer = self.http.get("/api/v1/auth/whoami")
        found: dict[str, object] = answer.json().get("data") or {"status": answer.status_code}
        return found


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[Browser]:
    made = Browser(server)
    yield made
    made.http.close()


@pytest.mark.parametrize(
    ("who", "user", "role"), [("ann", "ann@example.org", "trainer"), ("bob", "bob@example.org", "admin")]
)
def test_groups_at_the_provider_determine_the_role(browser: Browser, who: str, user: str, role: str):
    back = browser.sign_in(who, "/#/trainings")
    assert (back.status_code, back.headers["location"]) == (303, "/#/trainings")
    found = browser.who()
    assert (found["user_id"], found["role"], found["key_id"]) == (user, role, None)


def test_user_without_a_mapped_group_returns_without_a_session(browser: Browser):
    back = browser.sign_in("eve")
    assert back.headers["location"].startswith("/#/sign-in?problem=None+of+your+groups")
    assert browser.who() == {"status": 401}


def test_user_who_refuses_at_the_provider_returns_without_a_session(browser: Browser):
    assert browser.sign_in("ann", action="deny").headers["location"].startswith("/#/sign-in?problem=")
    assert browser.who() == {"status": 401}


def test_answer_of_the_provider_is_valid_once_and_only_in_its_browser(browser: Browser, server: ServerProcess):
    form = browser.begin()
    back = httpx.post(form.headers["location"], data={"sub": "ann"}, trust_env=False).headers["location"]
    stranger = Browser(server)
    assert "problem" in stranger.http.get(back).headers["location"]
    assert browser.http.get(back).headers["location"] == "/"
    assert "problem" in browser.http.get(back).headers["location"]
    assert stranger.who() == {"status": 401}


@pytest.mark.parametrize(
    "next_", ["https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "javascript:x"]
)
def test_sign_in_does_not_redirect_to_another_site(browser: Browser, next_: str):
    assert browser.sign_in("ann", next_).headers["location"] == "/"


def test_session_cookie_is_inaccessible_to_scripts_and_other_sites(browser: Browser):
    cookie = browser.sign_in("ann").headers.get_list("set-cookie")[0]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_sign_out_ends_the_session(browser: Browser):
    browser.sign_in("ann")
    origin = {"Origin": str(browser.http.base_url)}
    assert browser.http.post("/api/v1/auth/logout", headers=origin).status_code == 200
    assert browser.who() == {"status": 401}


def test_successful_and_refused_sign_ins_are_in_the_audit(browser: Browser):
    browser.sign_in("eve")
    browser.sign_in("bob")

    def refused() -> list[dict[str, Any]]:
        found = browser.http.get("/api/v1/auth/audit", params={"operation": "oidc/callback"}).json()["data"]["entries"]
        done = [entry["actor"] for entry in found if entry["outcome"] == "done"]
        assert "bob@example.org" in done
        return [entry for entry in found if entry["outcome"] == "refused"]

    assert until(refused)[0]["code"] == "sign_in_failed"


def test_page_receives_the_sign_in_address(browser: Browser):
    assert browser.http.get("/api/v1/auth/ways").json()["data"] == {
        "auth": "required",
        "oidc": "/api/v1/auth/oidc/login",
    }


def test_unreachable_provider_is_reported(tmp_path: Path):
    settings = {
        "AUTH": "required",
        "OIDC_ISSUER": "http://127.0.0.1:9",
        "OIDC_CLIENT_ID": "us",
        "OIDC_ROLES": "*=viewer",
    }
    with ServerProcess(tmp_path, settings) as server:
        browser = Browser(server)
        assert "cannot+be+reached" in browser.begin().headers["location"]
        browser.http.close()


def test_no_secret_is_in_the_log(server: ServerProcess, browser: Browser):
    form = browser.begin()
    back = httpx.post(form.headers["location"], data={"sub": "ann"}, trust_env=False).headers["location"]
    browser.http.get(back)
    code = back.partition("code=")[2].partition("&")[0]
    text = server.log_text()
    assert [
        secret for secret in ("a secret of the client", code, *browser.http.cookies.values()) if secret in text
    ] == []
