"""Sign-in by OpenID Connect: the provider's responses are generated here, its signatures are real."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk, jwt

from api.access import oidc as module
from api.access.oidc import OIDC, OIDCSettings
from api.access.service import SIGN_IN
from api.access.store import SignInStore
from api.db.database import Database
from api.domain.access.principal import Role
from api.errors import SignInFailed
from api.util.clock import FakeClock
from api.util.text.key_format import hash_of
from tests.hostile_servers import HOSTILE, Answer, serving
from tests.patience import BUSY_SECONDS

ISSUER = "https://login.example.org"
HERE = "https://gpu-box.example.org/api/v1/auth/oidc/callback"

SETTINGS = OIDCSettings(
    issuer=ISSUER,
    client_id="us",
    secret_file=None,
    scopes="openid",
    user_claim="email",
    groups_claim="groups",
    roles=(("admins", Role.ADMIN), ("team", Role.TRAINER), ("*", Role.VIEWER)),
)


class Provider:
    """The provider's responses, and the key with which it signs."""

    def __init__(self, clock: FakeClock) -> None:
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "first"})
        self.issuer = ISSUER
        self.clock = clock
        self.id_token: str | None = None
        self.requests: list[str] = []

    def get(self, url: str) -> dict[str, Any]:
        self.requests.append(url)
        if url.endswith("/keys"):
            return {"keys": [self.key.as_dict(private=False)]}
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }

    def sign(self, nonce: str, /, algorithm: str = "RS256", key: Any = None, **claims: Any) -> None:
        """Create the ID token of the next exchange; None removes a claim."""
        now = int(self.clock.now().timestamp())
        usual = {"iss": ISSUER, "aud": "us", "sub": "1", "exp": now + 60, "nonce": nonce}
        usual |= {"email": "ann@example.org", "email_verified": True}
        payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        header = {"alg": algorithm, "kid": "first"}
        self.id_token = jwt.encode(header, payload, key or self.key, algorithms=[algorithm])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider(clock)
    monkeypatch.setattr(module, "_get", provider.get)

    def exchange(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"access_token": "a", **({} if provider.id_token is None else {"id_token": provider.id_token})}

    monkeypatch.setattr(module.OAuth2Session, "fetch_token", exchange)
    return provider


@pytest.fixture
def sign_ins(provider: Provider, sqlite: Database, clock: FakeClock) -> OIDC:
    return OIDC(SETTINGS, SignInStore(sqlite), clock)


class StartedSignIn:
    """A sign-in that waits for the browser's return."""

    def __init__(self, sign_ins: OIDC) -> None:
        self._sign_ins = sign_ins
        self.url, self.cookie = sign_ins.begin(HERE, "/#/trainings")
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}

    def come_back(self, **answer: str) -> Any:
        parameters = {"state": self.query["state"], "code": "c", **answer}
        return self._sign_ins.finish(self.cookie, parameters)


@pytest.fixture
def started(sign_ins: OIDC) -> StartedSignIn:
    return StartedSignIn(sign_ins)


@contextmanager
def refused(text: str) -> Iterator[None]:
    with pytest.raises(SignInFailed, match=text):
        yield


def test_browser_is_redirected_with_a_challenge_a_state_and_a_nonce(started: StartedSignIn):
    assert started.url.startswith(f"{ISSUER}/authorize?")
    assert started.query["redirect_uri"] == HERE
    assert started.query["code_challenge_method"] == "S256"
    assert len({started.query[name] for name in ("state", "nonce", "code_challenge")}) == 3


def test_returning_user_has_a_session(started: StartedSignIn, provider: Provider):
    provider.sign(started.query["nonce"], name="Ann")
    session, cookie, next_ = started.come_back()
    assert (session.user_id, session.name, session.role, session.key_id) == (
        "ann@example.org",
        "Ann",
        Role.VIEWER,
        None,
    )
    assert hash_of(cookie) == session.hash
    assert next_ == "/#/trainings"


def test_name_with_control_characters_is_omitted(started: StartedSignIn, provider: Provider):
    provider.sign(started.query["nonce"], name="Ann\u202enimda")
    assert started.come_back()[0].name is None


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["team"], Role.TRAINER),
        (["team", "admins"], Role.ADMIN),
        ("admins", Role.ADMIN),
        ([], Role.VIEWER),
        (None, Role.VIEWER),
        (5, Role.VIEWER),
    ],
)
def test_highest_role_of_the_groups_counts(started: StartedSignIn, provider: Provider, groups: Any, role: Role):
    provider.sign(started.query["nonce"], groups=groups)
    assert started.come_back()[0].role is role


def test_user_without_a_mapped_group_is_refused(provider: Provider, sqlite: Database, clock: FakeClock):
    only_team = OIDC(
        OIDCSettings(ISSUER, "us", None, "openid", "email", "groups", (("team", Role.TRAINER),)),
        SignInStore(sqlite),
        clock,
    )
    started = StartedSignIn(only_team)
    provider.sign(started.query["nonce"], groups=["others"])
    with refused("None of your groups"):
        started.come_back()


LIES: dict[str, Callable[[FakeClock], dict[str, Any]]] = {
    "another issuer": lambda clock: {"iss": "https://evil.example.org"},
    "another audience": lambda clock: {"aud": "somebody-else"},
    "no audience": lambda clock: {"aud": None},
    "made for another party": lambda clock: {"aud": ["us", "them"], "azp": "them"},
    "an old token": lambda clock: {"exp": int((clock.now() - timedelta(minutes=5)).timestamp())},
    "no end": lambda clock: {"exp": None},
    "another nonce": lambda clock: {"nonce": "x"},
    "no nonce": lambda clock: {"nonce": None},
    "no subject": lambda clock: {"sub": None},
    "no name": lambda clock: {"email": None},
    "a name that is none": lambda clock: {"email": "../../etc"},
    "an unverified address": lambda clock: {"email_verified": False},
    "an unverified address, in words": lambda clock: {"email_verified": "false"},
    "an address of which nobody says that it is verified": lambda clock: {"email_verified": None},
    "a name of the service": lambda clock: {"email": "Operator"},
}


@pytest.mark.parametrize("lie", LIES)
def test_token_with_a_false_claim_is_refused(started: StartedSignIn, provider: Provider, clock: FakeClock, lie: str):
    provider.sign(started.query["nonce"], **LIES[lie](clock))
    with pytest.raises(SignInFailed):
        started.come_back()


def test_token_signed_by_another_key_is_refused(started: StartedSignIn, provider: Provider):
    provider.sign(started.query["nonce"], key=jwk.RSAKey.generate_key(2048, {"kid": "first"}))
    with refused("not valid"):
        started.come_back()


def test_token_signed_with_a_shared_secret_is_refused(started: StartedSignIn, provider: Provider):
    secret = jwk.OctKey.import_key("a secret that both sides know, long enough")
    provider.sign(started.query["nonce"], "HS256", secret)
    with refused("not valid"):
        started.come_back()


def test_token_signed_by_a_new_key_of_the_provider_is_accepted(started: StartedSignIn, provider: Provider):
    provider.key = jwk.RSAKey.generate_key(2048, {"kid": "first"})
    provider.sign(started.query["nonce"])
    assert started.come_back()[0].user_id == "ann@example.org"


def test_response_without_an_id_token_is_refused(started: StartedSignIn):
    with refused("no ID token"):
        started.come_back()


def test_error_of_the_provider_is_reported(started: StartedSignIn):
    with refused("access_denied"):
        started._sign_ins.finish(started.cookie, {"state": started.query["state"], "error": "access_denied"})


def test_response_to_another_sign_in_is_refused(started: StartedSignIn, provider: Provider):
    provider.sign(started.query["nonce"])
    with refused("another sign-in"):
        started.come_back(state="x")


def test_sign_in_completes_once(started: StartedSignIn, provider: Provider):
    provider.sign(started.query["nonce"])
    started.come_back()
    with refused("is unknown"):
        started.come_back()


def test_browser_without_the_cookie_is_refused(sign_ins: OIDC, started: StartedSignIn):
    with refused("is unknown"):
        sign_ins.finish(None, {"state": started.query["state"], "code": "c"})


def test_sign_in_that_takes_too_long_is_refused(started: StartedSignIn, provider: Provider, clock: FakeClock):
    provider.sign(started.query["nonce"])
    clock.advance(SIGN_IN.total_seconds() + 1)
    with refused("ten minutes"):
        started.come_back()


def test_provider_with_another_issuer_is_refused(sign_ins: OIDC, provider: Provider):
    provider.issuer = "https://evil.example.org"
    with refused("differs from OIDC_ISSUER"):
        sign_ins.begin(HERE, "/")


def test_discovery_document_is_read_once(sign_ins: OIDC, provider: Provider):
    for _ in range(3):
        sign_ins.begin(HERE, "/")
    assert len(provider.requests) == 2


def test_silent_provider_occupies_few_threads(sign_ins: OIDC, provider: Provider, monkeypatch: pytest.MonkeyPatch):
    waiting, answers = threading.Semaphore(0), threading.Event()

    def wait(url: str) -> dict[str, Any]:
        waiting.release()
        assert answers.wait(10)
        return provider.get(url)

    monkeypatch.setattr(module, "_get", wait)
    with ThreadPoolExecutor(module.MAX_WAITING) as threads:
        held = [threads.submit(sign_ins.begin, HERE, "/") for _ in range(module.MAX_WAITING)]
        for _ in held:
            assert waiting.acquire(timeout=10)
        with refused("responds slowly"):
            sign_ins.begin(HERE, "/")
        answers.set()
        assert all(each.result(10)[0].startswith(ISSUER) for each in held)
    assert sign_ins.begin(HERE, "/")[0].startswith(ISSUER)


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_discovery_document_costs_little_time_and_memory(
    sqlite: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answer: Answer
):
    monkeypatch.setattr(module, "PROVIDER_SECONDS", 0.3)
    began, before = time.monotonic(), peak_memory_mb()
    with serving(answer) as issuer:
        sign_ins = OIDC(replace(SETTINGS, issuer=issuer), SignInStore(sqlite), clock)
        with refused("the provider cannot be reached"):
            sign_ins.begin(HERE, "/")
    assert time.monotonic() - began < 3 + BUSY_SECONDS
    assert peak_memory_mb() - before < 50


@pytest.mark.slow
@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_exchange_costs_little_time_and_memory(
    sqlite: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answer: Answer
):
    monkeypatch.setattr(module, "PROVIDER_SECONDS", 0.3)
    provider = Provider(clock)
    began, before = time.monotonic(), peak_memory_mb()
    with serving(answer) as address:
        monkeypatch.setattr(module, "_get", lambda url: {**provider.get(url), "token_endpoint": f"{address}/token"})
        started = StartedSignIn(OIDC(SETTINGS, SignInStore(sqlite), clock))
        with refused("rejected the code"):
            started.come_back()
    assert time.monotonic() - began < 3 + BUSY_SECONDS
    assert peak_memory_mb() - before < 50


@pytest.mark.parametrize(
    "document", ["[]", "1", "[" * 100_000, '{"issuer": 1}', '{"issuer": "ISSUER", "jwks_uri": 5}', '"x"', "{}", "\xff"]
)
def test_invalid_discovery_document_is_a_failed_sign_in(sqlite: Database, clock: FakeClock, document: str):
    body = ""

    def answer(peer: Any, _: bytes) -> None:
        peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("latin-1"))

    with serving(answer) as issuer:
        body = document.replace("ISSUER", issuer)
        with pytest.raises(SignInFailed):
            OIDC(replace(SETTINGS, issuer=issuer), SignInStore(sqlite), clock).begin(HERE, "/")


def test_exchange_sends_the_code_and_its_verifier(sqlite: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch):
    provider, asked = Provider(clock), []

    def answer(peer: Any, request: bytes) -> None:
        asked.append(request.partition(b"\r\n\r\n")[2])
        peer.sendall(
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n{"access_token": "abc"}'
        )

    with serving(answer) as address:
        monkeypatch.setattr(module, "_get", lambda url: {**provider.get(url), "token_endpoint": f"{address}/token"})
        with refused("sent no ID token"):
            StartedSignIn(OIDC(SETTINGS, SignInStore(sqlite), clock)).come_back()
    sent = parse_qs(asked[0].decode())
    assert (sent["grant_type"], sent["code"], sent["redirect_uri"]) == (["authorization_code"], ["c"], [HERE])
    assert len(sent["code_verifier"][0]) >= 43
