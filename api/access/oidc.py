"""Sign-in by OpenID Connect: the provider says who it is and in which groups, and these map to a role.

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

# Signing in by OAuth 2 and OpenID Connect, and the signatures of their tokens, are no place for code of our own.
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from api.access.key_ring import SESSION
from api.access.service import SIGN_IN
from api.access.sign_ins import SignIn, SignInStore
from api.domain.access import USER_ID, Role, Session, is_reserved
from api.errors import SignInFailed
from api.util.bounded_requests import bound_session
from api.util.clock import Clock
from api.util.key_format import hash_of, new_token
from api.util.secret_files import read_secret_file
from api.util.validation import ONE_LINE

logger = logging.getLogger(__name__)

#: Seconds that the provider may take for each answer, and bytes that it may have: all keys of a large one are 20 KB.
PROVIDER_SECONDS, PROVIDER_BYTES = 5.0, 2**20

#: Requests that may wait for the provider at a time: while it is away, anybody can send more, and each holds a thread.
ASKING = 4

#: Seconds by which the provider's clock may differ from ours.
LEEWAY_SECONDS = 60

#: Signatures that are believed: made with a private key of the provider's. "none" and shared secrets are not.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

#: What a provider can answer that cannot be used, or fail with.
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

#: In OIDC_ROLES, everybody whom the provider knows.
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class OIDCSettings:
    """The provider, and what its words mean here."""

    issuer: str
    client_id: str
    secret_file: Path | None
    scopes: str
    user_claim: str
    groups_claim: str
    roles: tuple[tuple[str, Role], ...]  #: group and role


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the provider's parts are, as it says itself."""

    authorization_endpoint: str
    token_endpoint: str
    keys: jwk.KeySet


class OIDC:
    """Sign-ins at one provider. May wait for it: to be called where waiting is allowed."""

    def __init__(self, settings: OIDCSettings, store: SignInStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._provider: Provider | None = None
        self._places = threading.BoundedSemaphore(ASKING)

    def begin(self, redirect_uri: str, next_: str) -> tuple[str, str]:
        """Where the browser signs in, and the cookie that it brings back. Raises SignInFailed."""
        provider = self._find_provider()
        begun = SignIn(new_token(), new_token(), new_token(), redirect_uri, next_)
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                provider.authorization_endpoint, state=begun.state, nonce=begun.nonce, code_verifier=begun.verifier
            )
        cookie, now = new_token(), self._clock.now()
        self._store.add(hash_of(cookie), begun, now, now + SIGN_IN)
        return url, cookie

    def finish(self, cookie: str | None, answer: Mapping[str, str]) -> tuple[Session, str, str]:
        """The session of who came back from the provider, its cookie, and where to go. Raises SignInFailed."""
        begun = None if cookie is None else self._store.take(hash_of(cookie), self._clock.now())
        if begun is None:
            raise SignInFailed("This sign-in is not known here, or took longer than ten minutes: begin again.")
        if not secrets.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
            raise SignInFailed("The provider's answer belongs to another sign-in: begin again.")
        if "code" not in answer:
            raise SignInFailed(f"The provider says: {answer.get('error_description') or answer.get('error')}"[:300])
        claims = self._exchange(begun, answer["code"])
        return *self._open(claims), begun.next

    def _exchange(self, begun: SignIn, code: str) -> dict[str, Any]:
        provider = self._find_provider()
        try:
            with self._asking(), self._client(begun.redirect_uri) as client:
                token = client.fetch_token(provider.token_endpoint, code=code, code_verifier=begun.verifier)
        except _UNUSABLE as error:
            raise self._failed("the provider does not exchange the code", error) from None
        if not isinstance(token, dict) or not isinstance(token.get("id_token"), str):
            raise SignInFailed("The provider gives no ID token: has OIDC_SCOPES the scope openid?")
        return self._read(token["id_token"], begun.nonce)

    def _read(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, time and nonce are right."""
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
            raise SignInFailed("The provider's ID token was made for somebody else.")
        return dict(claims)

    def _decode(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, self._find_provider().keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # Providers change their keys: the second look is at those of now.
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
            raise SignInFailed(f'The provider\'s claim "{claim}" is no name that can be used here (OIDC_USER_CLAIM).')
        if claim == "email" and not _is_true(claims.get("email_verified")):
            # An address that anybody may write into their profile would be anybody's name here.
            raise SignInFailed("The provider does not say that it has verified this e-mail address (OIDC_USER_CLAIM).")
        return user_id

    def _role(self, claims: Mapping[str, Any]) -> Role:
        told = claims.get(self._settings.groups_claim, [])
        listed = told if isinstance(told, list) else [told]
        groups = {group for group in listed if isinstance(group, str)}
        given = {role for group, role in self._settings.roles if group == EVERYBODY or group in groups}
        for role in _BY_RANK:
            if role in given:
                return role
        raise SignInFailed("None of your groups may use this service (OIDC_ROLES): ask its administrator.")

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
        """The provider by its own description, which is asked for once. Raises SignInFailed."""
        if self._provider is None:
            try:
                with self._asking():
                    self._provider = self._ask_provider()
            except _UNUSABLE as error:
                raise self._failed("the provider cannot be asked", error) from None
        return self._provider

    def _ask_provider(self) -> Provider:
        issuer = self._settings.issuer
        told = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if not all(isinstance(told[name], str) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")):
            raise ValueError("its description names an endpoint that is no text")
        if told.get("issuer") != issuer:
            raise SignInFailed(f'The provider calls itself "{told.get("issuer")}", which is not OIDC_ISSUER.')
        keys = jwk.KeySet.import_key_set(_get(told["jwks_uri"]))  # type: ignore[arg-type]
        return Provider(told["authorization_endpoint"], told["token_endpoint"], keys)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Takes one of the places for those who wait for the provider. Raises SignInFailed where none is free."""
        if not self._places.acquire(blocking=False):
            raise SignInFailed("Others wait for the provider at this moment, and it answers slowly: try again soon.")
        try:
            yield
        finally:
            self._places.release()

    def _failed(self, what: str, error: Exception) -> SignInFailed:
        facts = {"problem": what, "error": type(error).__name__, "why": str(error)[:300]}
        logger.warning("sign-in failed", extra=facts)
        return SignInFailed(f"Signing in failed: {what}. Try again; the service's log has the reason.")


def _is_true(claim: object) -> bool:
    # Some providers write it as text.
    return claim is True or claim == "true"


def _get(url: str) -> dict[str, Any]:
    with bound_session(requests.Session(), PROVIDER_SECONDS, PROVIDER_BYTES, redirects=2) as session:
        answer = session.get(url)
    answer.raise_for_status()
    told = answer.json()
    if not isinstance(told, dict):
        raise ValueError("its answer is no JSON object")
    return told
