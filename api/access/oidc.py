"""Sign-in by OpenID Connect. The provider's ID token has the user and their groups, which map to a role.

The authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0, 3.1; RFC 7636).
"""

import logging
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from api.access.key_ring import SESSION
from api.access.service import SIGN_IN
from api.access.store import SignIn, SignInStore
from api.domain.access.principal import USER_ID, Role, Session, is_reserved
from api.errors import SignInFailed
from api.util.clock import Clock
from api.util.files.outside_files import read_secret_file
from api.util.http.bounded_requests import bound_session
from api.util.http.validation import ONE_LINE
from api.util.text.key_format import hash_of, new_token

logger = logging.getLogger(__name__)

#: Seconds and bytes of each response of the provider; all keys of a large provider have 20 KB.
PROVIDER_SECONDS, PROVIDER_BYTES = 5.0, 2**20

#: Requests that may wait for the provider at a time. Anyone can cause them, and each occupies a thread.
MAX_WAITING = 4

#: Seconds by which the provider's clock may differ from ours.
LEEWAY_SECONDS = 60

#: Accepted signatures: made with a private key of the provider. "none" and shared secrets are rejected.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

#: Errors from unusable responses of the provider.
_UNUSABLE = (
    AuthlibBaseError,
    JoseError,
    requests.RequestException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)

_BY_RANK = (Role.ADMIN, Role.TRAINER, Role.VIEWER)

#: In OIDC_ROLES, every user of the provider.
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class OIDCSettings:
    """The provider, and how its claims are interpreted."""

    issuer: str
    client_id: str
    secret_file: Path | None
    scopes: str
    user_claim: str
    groups_claim: str
    roles: tuple[tuple[str, Role], ...]  #: group and role


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider's endpoints and keys, from its discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    keys: jwk.KeySet


class OIDC:
    """Sign-ins with one provider. Calls may wait for the provider."""

    def __init__(self, settings: OIDCSettings, store: SignInStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._provider: Provider | None = None
        self._slots = threading.BoundedSemaphore(MAX_WAITING)

    def begin(self, redirect_uri: str, next_: str) -> tuple[str, str]:
        """Return the URL where the browser signs in, and the cookie that it must bring back. Raises SignInFailed."""
        provider = self._find_provider()
        sign_in = SignIn(new_token(), new_token(), new_token(), redirect_uri, next_)
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                provider.authorization_endpoint,
                state=sign_in.state,
                nonce=sign_in.nonce,
                code_verifier=sign_in.verifier,
            )
        cookie, now = new_token(), self._clock.now()
        self._store.add(hash_of(cookie), sign_in, now, now + SIGN_IN)
        return url, cookie

    def finish(self, cookie: str | None, answer: Mapping[str, str]) -> tuple[Session, str, str]:
        """Return the session of the returning user, its cookie, and the next address. Raises SignInFailed."""
        sign_in = None if cookie is None else self._store.take(hash_of(cookie), self._clock.now())
        if sign_in is None:
            raise SignInFailed("This sign-in is unknown or took longer than ten minutes. Try again.")
        if not secrets.compare_digest(answer.get("state", "").encode(), sign_in.state.encode()):
            raise SignInFailed("The provider's response belongs to another sign-in. Try again.")
        if "code" not in answer:
            raise SignInFailed(f"The provider reports: {answer.get('error_description') or answer.get('error')}"[:300])
        claims = self._exchange(sign_in, answer["code"])
        return *self._open(claims), sign_in.next

    def _exchange(self, sign_in: SignIn, code: str) -> dict[str, Any]:
        provider = self._find_provider()
        try:
            with self._provider_slot(), self._client(sign_in.redirect_uri) as client:
                token = client.fetch_token(provider.token_endpoint, code=code, code_verifier=sign_in.verifier)
        except _UNUSABLE as error:
            raise self._failed("the provider rejected the code", error) from None
        if not isinstance(token, dict) or not isinstance(token.get("id_token"), str):
            raise SignInFailed("The provider sent no ID token. Check that OIDC_SCOPES contains openid.")
        return self._read(token["id_token"], sign_in.nonce)

    def _read(self, id_token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token after checking signature, issuer, audience, time and nonce."""
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = self._decode(id_token).claims
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise self._failed("the provider's ID token is not valid", error) from None
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise SignInFailed("The provider's ID token was issued for another client.")
        return dict(claims)

    def _decode(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, self._find_provider().keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # Providers rotate their keys: try again with the current ones.
            self._provider = None
            return jwt.decode(id_token, self._find_provider().keys, algorithms=_ALGORITHMS)

    def _open(self, claims: Mapping[str, Any]) -> tuple[Session, str]:
        user_id, role = self._user_id(claims), self._role(claims)
        now, cookie = self._clock.now(), new_token()
        name = claims.get("name")
        shown = name[:200] if isinstance(name, str) and re.fullmatch(ONE_LINE, name[:200]) else None
        return Session(hash_of(cookie), user_id, shown, role, None, None, now, now + SESSION), cookie

    def _user_id(self, claims: Mapping[str, Any]) -> str:
        claim = self._settings.user_claim
        user_id = claims.get(claim)
        if not isinstance(user_id, str) or not re.fullmatch(USER_ID, user_id) or is_reserved(user_id):
            raise SignInFailed(
                f'The provider\'s claim "{claim}" cannot be used as a user name here. Check OIDC_USER_CLAIM.'
            )
        if claim == "email" and not _is_true(claims.get("email_verified")):
            # An unverified address could be that of any other user.
            raise SignInFailed(
                "The provider has not verified this e-mail address. Verify it there, or use another claim."
            )
        return user_id

    def _role(self, claims: Mapping[str, Any]) -> Role:
        value = claims.get(self._settings.groups_claim, [])
        listed = value if isinstance(value, list) else [value]
        groups = {group for group in listed if isinstance(group, str)}
        given = {role for group, role in self._settings.roles if group == EVERYBODY or group in groups}
        for role in _BY_RANK:
            if role in given:
                return role
        raise SignInFailed("None of your groups may use this service (OIDC_ROLES). Ask the administrator.")

    # -- the provider ----------------------------------------------------------------------------------------------

    def _client(self, redirect_uri: str) -> OAuth2Session:
        secret = None
        if self._settings.secret_file is not None:
            secret = read_secret_file(self._settings.secret_file).content.decode().strip()
        session = OAuth2Session(
            self._settings.client_id,
            secret,
            scope=self._settings.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
        bound_session(session, PROVIDER_SECONDS, PROVIDER_BYTES)
        return session

    def _find_provider(self) -> Provider:
        """Return the provider, whose discovery document is read once. Raises SignInFailed."""
        if self._provider is None:
            try:
                with self._provider_slot():
                    self._provider = self._discover()
            except _UNUSABLE as error:
                raise self._failed("the provider cannot be reached", error) from None
        return self._provider

    def _discover(self) -> Provider:
        issuer = self._settings.issuer
        document = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if not all(
            isinstance(document[name], str) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        ):
            raise ValueError("an endpoint in its discovery document is missing or not a string")
        if document.get("issuer") != issuer:
            raise SignInFailed(f'The provider\'s issuer is "{document.get("issuer")}", which differs from OIDC_ISSUER.')
        keys = jwk.KeySet.import_key_set(_get(document["jwks_uri"]))  # type: ignore[arg-type]
        return Provider(document["authorization_endpoint"], document["token_endpoint"], keys)

    @contextmanager
    def _provider_slot(self) -> Iterator[None]:
        """Hold one of the slots for requests to the provider. Raises SignInFailed if none is free."""
        if not self._slots.acquire(blocking=False):
            raise SignInFailed("The provider responds slowly, and too many sign-ins are waiting. Try again later.")
        try:
            yield
        finally:
            self._slots.release()

    def _failed(self, what: str, error: Exception) -> SignInFailed:
        facts = {"problem": what, "error": type(error).__name__, "why": str(error)[:300]}
        logger.warning("sign-in failed", extra=facts)
        return SignInFailed(f"Signing in failed: {what}. Try again; the service's log has the reason.")


def _is_true(claim: object) -> bool:
    # Some providers send a string.
    return claim is True or claim == "true"


def _get(url: str) -> dict[str, Any]:
    with bound_session(requests.Session(), PROVIDER_SECONDS, PROVIDER_BYTES, redirects=2) as session:
        answer = session.get(url)
    answer.raise_for_status()
    content = answer.json()
    if not isinstance(content, dict):
        raise ValueError("its response is not a JSON object")
    return content
