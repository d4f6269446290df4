"""Authentication and authorization of every request before it is handled."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from api.domain.access.principal import ANONYMOUS, LOCAL, Credential, Principal, current_principal
from api.domain.access.read_scope import seeing
from api.errors import CrossSite, KeyInAddress, RateLimited, ServiceError, Unauthenticated, WrongKey, WrongTicket
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.http.caller import REQUEST_PRINCIPAL, SESSION_COOKIE, address_of_caller
from api.util.text.ids import check_task_id
from api.util.text.key_format import key_id_of
from api.web.operations import Operation, ResourceKind

if TYPE_CHECKING:
    from api.access.authority import Authority
    from api.access.rates import RateLimits

#: The key in the state of an ASGI scope under which the rate limit's response headers are stored.
RATE_HEADERS = "rate_headers"

_COOKIE_NAME = SESSION_COOKIE.encode()

#: Matches a key, which must not be part of an address, whatever the parameter is called.
_KEY = re.compile(r"dp_[a-z0-9]{12}_", re.IGNORECASE)
_KEY_IN_QUERY = re.compile(rf"{_KEY.pattern}|(?:^|&)(?:api_?key|access_token|authorization)=", re.IGNORECASE)

#: Values of Sec-Fetch-Site that a browser sends for requests of our own page (Fetch Metadata).
_OWN_SITE = (b"same-origin", b"none")


@dataclass(frozen=True, slots=True)
class Caller:
    """The result of authentication: the principal, or the reason why there is none."""

    principal: Principal | None = None
    problem: ServiceError | None = None

    def require_principal(self) -> Principal:
        """Return the principal. Raises the problem with the key, or Unauthenticated without one."""
        if self.principal is None:
            raise self.problem or Unauthenticated()
        return self.principal


_LOCAL_CALLER = Caller(LOCAL)


class Gate:
    """Authenticates and authorizes requests. Used from the event loop only."""

    def __init__(
        self,
        authority: "Authority",
        rates: "RateLimits | None" = None,
        takes_tickets: Callable[[str], bool] = lambda path: False,
    ) -> None:
        """Without `rates` nothing is limited. `takes_tickets` returns whether a path accepts tickets."""
        self._authority = authority
        self._takes_tickets = takes_tickets
        self._rates = rates
        self._next_reload: asyncio.Task[None] | None = None
        self._reload_lock = asyncio.Lock()

    async def identify(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
        """Authenticate a request. A ticket is used up and removed from the query. Raises KeyInAddress."""
        if not self._authority.needs_keys:
            if _shows_ticket(scope) and self._takes_tickets(scope["path"]):
                # Clients may send a ticket without knowing whether the service requires one.
                _take_ticket(scope)
            return _LOCAL_CALLER
        _require_no_key_in(scope)
        ticket = _take_ticket(scope) if _shows_ticket(scope) else None
        try:
            principal = await (self._find(headers) if ticket is None else self._use_ticket(ticket, scope))
            if principal is not None and principal.credential is Credential.SESSION:
                _require_own_site(scope, headers)
        except WrongKey as error:
            return Caller(problem=await self._count_wrong_key(scope) or error)
        except ServiceError as error:
            return Caller(problem=error)
        return Caller(principal)

    async def _count_wrong_key(self, scope: Scope) -> ServiceError | None:
        """Return the refusal for an address that has sent too many wrong keys; None while it may try again.

        Valid keys still pass, so that a guessing client does not lock out others behind the same proxy.
        """
        try:
            if self._rates is not None:
                await self._rates.note_wrong_key(address_of_caller(scope))
        except RateLimited as error:
            return error
        return None

    async def _find(self, headers: Mapping[bytes, bytes]) -> Principal | None:
        key = _bearer(headers)
        cookie = None if key is not None else _cookie(headers)
        try:
            return self._authority.identify(key, cookie)
        except WrongKey:
            if key is not None and key_id_of(key) is None:
                raise
        # Another server may have created the key a moment ago.
        await self._reload_keys()
        return self._authority.identify(key, cookie)

    async def _use_ticket(self, ticket: str, scope: Scope) -> Principal:
        # The same error as for a wrong ticket, so that it does not reveal which paths are streams.
        if not self._takes_tickets(scope["path"]):
            raise WrongTicket
        return await asyncio.to_thread(self._find_holder, ticket)

    def _find_holder(self, ticket: str) -> Principal:
        with wait_limit(READ_SECONDS):
            return self._authority.ring.use_ticket(ticket)

    async def _reload_keys(self) -> None:
        """Wait for a reload of the keys that starts after this call; concurrent callers share it."""
        if self._next_reload is None:
            self._next_reload = asyncio.create_task(self._reload_soon())
        await asyncio.shield(self._next_reload)

    async def _reload_soon(self) -> None:
        # One at a time: however many wrong keys arrive, reloading uses one thread, and only part of the time.
        async with self._reload_lock:
            await asyncio.sleep(self._authority.ring.seconds_until_reload())
            self._next_reload = None
            await asyncio.to_thread(self._authority.ring.run_once)

    async def admit(
        self, caller: Caller, method: str, pattern: str, arguments: Mapping[str, str], scope: Scope
    ) -> Principal:
        """Authorize a request and return its principal. The rate limit's headers are stored in the scope's state.

        Raises Unauthenticated, Forbidden, TaskNotFound, RateLimited.
        """
        operation, principal = self._require(caller, method, pattern)
        if self._authority.depends_on_owner(principal, operation):
            resource_id = _resource_of(operation, arguments)
            await asyncio.to_thread(self._require_owner, principal, operation, resource_id)
        state = scope.setdefault("state", {})
        state[REQUEST_PRINCIPAL] = principal
        if self._rates is not None:
            count = await self._rates.count(operation.rate, principal, address_of_caller(scope))
            state[RATE_HEADERS] = {} if count is None else count.headers
        return principal

    def _require(self, caller: Caller, method: str, pattern: str) -> tuple[Operation, Principal]:
        operation = self._authority.find(method, pattern)
        if operation is not None and operation.is_open:
            return operation, caller.principal or ANONYMOUS
        # An unauthenticated caller must not learn which addresses are missing in the table.
        principal = caller.require_principal()
        return self._authority.require(principal, operation, f"{method} {pattern}"), principal

    def _require_owner(self, principal: Principal, operation: Operation, resource_id: str) -> None:
        with wait_limit(READ_SECONDS):
            self._authority.require_owner(principal, operation, resource_id)

    def may_share(self, caller: Caller, pattern: str) -> bool:
        """Return whether the caller may receive the shared document of a route; False if their scope is limited.

        Raises Unauthenticated or Forbidden.
        """
        _, principal = self._require(caller, "GET", pattern)
        return self._authority.visibility.scope_of(principal).is_whole

    @contextmanager
    def acting_as(self, principal: Principal) -> Iterator[None]:
        """Set the `current_principal` and its scope (`current_scope`) within the `with` block."""
        with asking(principal), seeing(self._authority.visibility.scope_of(principal)):
            yield


def _resource_of(operation: Operation, arguments: Mapping[str, str]) -> str:
    """Return the owned resource that the address names. Raises TaskNotFound if it cannot be a task's id."""
    resource_kind = operation.resource_kind or ResourceKind.TASK
    if resource_kind.argument == "task_id":
        check_task_id(arguments["task_id"])
    return arguments[resource_kind.argument]


@contextmanager
def asking(principal: Principal) -> Iterator[None]:
    """Set the `current_principal` within the `with` block."""
    before = current_principal.set(principal)
    try:
        yield
    finally:
        current_principal.reset(before)


def _require_no_key_in(scope: Scope) -> None:
    """Raise KeyInAddress if path or query contains a key, since logs and browser histories store addresses."""
    query: bytes = scope["query_string"]
    if _KEY.search(scope["path"]) or (query and _KEY_IN_QUERY.search(unquote_to_bytes(query).decode("latin-1"))):
        raise KeyInAddress


def _shows_ticket(scope: Scope) -> bool:
    return b"ticket=" in scope["query_string"]


def _take_ticket(scope: Scope) -> str | None:
    """Remove the ticket from the query and return it; several tickets count as an invalid one."""
    found, remaining = None, []
    for pair in scope["query_string"].split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"ticket":
            found = value.decode("latin-1") if found is None else ""
        else:
            remaining.append(pair)
    scope["query_string"] = b"&".join(remaining)
    return found


def _bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key in the Authorization header, or None. Raises Unauthenticated for another scheme."""
    value = headers.get(b"authorization")
    if value is None:
        return None
    scheme, _, key = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("Send the key as `Authorization: Bearer dp_…`.")
    return key.strip()


def _cookie(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the value of our cookie. Browsers send cookies of other ports of the host, too, in any format."""
    value = headers.get(b"cookie", b"")
    if _COOKIE_NAME not in value:
        return None
    for pair in value.split(b";"):
        name, _, cookie = pair.strip().partition(b"=")
        if name == _COOKIE_NAME:
            return cookie.decode("latin-1")
    return None


def _require_own_site(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Raise CrossSite unless a change or a WebSocket comes from our own page.

    Browsers send the cookie with every request, also with those that other sites cause.
    """
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    site = headers.get(b"sec-fetch-site")
    is_foreign = (site is not None and site not in _OWN_SITE) or (
        origin is not None and origin.partition(b"://")[2].lower() != host.lower()
    )
    changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
    if is_foreign or (changes and origin is None):
        raise CrossSite
