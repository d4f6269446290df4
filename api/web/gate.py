"""The one place that every request passes before anything may answer: who asks, and whether they may."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from api.domain.access import LOCAL, NOBODY, Credential, Principal, current_principal
from api.domain.sight import seeing
from api.errors import CrossSite, KeyInAddress, RateLimited, ServiceError, Unauthenticated, WrongKey, WrongTicket
from api.util.caller import REQUEST_PRINCIPAL, SESSION_COOKIE, address_of_caller
from api.util.deadlines import READ_SECONDS, hurrying
from api.util.ids import check_task_id
from api.util.key_format import key_id_of
from api.web.operations import Belonging, Operation

if TYPE_CHECKING:
    from api.access.authority import Authority
    from api.access.rates import RateLimits

#: The key in the state of an ASGI scope under which the headers about the limit are left.
RATE_HEADERS = "rate_headers"

_COOKIE_NAME = SESSION_COOKIE.encode()

#: What looks like a key has no place in an address, however it is called there.
_KEY = re.compile(r"dp_[a-z0-9]{12}_", re.IGNORECASE)
_KEY_IN_QUERY = re.compile(rf"{_KEY.pattern}|(?:^|&)(?:api_?key|access_token|authorization)=", re.IGNORECASE)

#: Of a browser's word for where a request comes from, those that a signed-in page sends (Fetch Metadata).
_OWN_SITE = (b"same-origin", b"none")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the gate: who they are, or why that is not known."""

    principal: Principal | None = None
    problem: ServiceError | None = None

    def show(self) -> Principal:
        """Who it is. Raises what is wrong with the key, or Unauthenticated where none was shown."""
        if self.principal is None:
            raise self.problem or Unauthenticated()
        return self.principal


_EVERYBODY = Visitor(LOCAL)


class Gate:
    """Lets requests through. Lives in the event loop."""

    def __init__(
        self,
        authority: "Authority",
        rates: "RateLimits | None" = None,
        takes_tickets: Callable[[str], bool] = lambda path: False,
    ) -> None:
        """Without `rates` nothing is counted. `takes_tickets` tells the paths of streams."""
        self._authority = authority
        self._takes_tickets = takes_tickets
        self._rates = rates
        self._next_look: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def identify(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Visitor:
        """Who asks; a ticket is used up by that, and taken out of the query. Raises KeyInAddress."""
        if not self._authority.needs_keys:
            if _shows_ticket(scope) and self._takes_tickets(scope["path"]):
                # A client that always shows one needs not know whether it is asked for.
                _take_ticket(scope)
            return _EVERYBODY
        _require_no_key_in(scope)
        ticket = _take_ticket(scope) if _shows_ticket(scope) else None
        try:
            principal = await (self._find(headers) if ticket is None else self._use_ticket(ticket, scope))
            if principal is not None and principal.credential is Credential.SESSION:
                _require_own_site(scope, headers)
        except WrongKey as error:
            return Visitor(problem=await self._count_wrong_key(scope) or error)
        except ServiceError as error:
            return Visitor(problem=error)
        return Visitor(principal)

    async def _count_wrong_key(self, scope: Scope) -> ServiceError | None:
        """The refusal of an address that has shown too many wrong keys; None while it may try on.

        Right keys pass nevertheless: a colleague behind the same proxy is not locked out by somebody who guesses.
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
        # It may have been made on another server a moment ago.
        await self._look_again()
        return self._authority.identify(key, cookie)

    async def _use_ticket(self, ticket: str, scope: Scope) -> Principal:
        # In one word with a wrong one: nobody learns by it where there is a stream.
        if not self._takes_tickets(scope["path"]):
            raise WrongTicket
        return await asyncio.to_thread(self._find_holder, ticket)

    def _find_holder(self, ticket: str) -> Principal:
        with hurrying(READ_SECONDS):
            return self._authority.ring.use_ticket(ticket)

    async def _look_again(self) -> None:
        """Waits for a look at the keys that begins after this, together with everybody else who waits for it."""
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next_look)

    async def _look_soon(self) -> None:
        # One at a time: however many wrong keys come, they take one thread, and not even that all the time.
        async with self._looking:
            await asyncio.sleep(self._authority.ring.seconds_to_look())
            self._next_look = None
            await asyncio.to_thread(self._authority.ring.run_once)

    async def admit(
        self, visitor: Visitor, method: str, pattern: str, arguments: Mapping[str, str], scope: Scope
    ) -> Principal:
        """Lets a request through, and returns who asks; what its limit permits is left for the answer's headers.

        Raises Unauthenticated, Forbidden, TaskNotFound, RateLimited.
        """
        operation, principal = self._require(visitor, method, pattern)
        if self._authority.concerns_owner(principal, operation):
            thing = _thing_of(operation, arguments)
            await asyncio.to_thread(self._require_own, principal, operation, thing)
        state = scope.setdefault("state", {})
        state[REQUEST_PRINCIPAL] = principal
        if self._rates is not None:
            count = await self._rates.count(operation.rate, principal, address_of_caller(scope))
            state[RATE_HEADERS] = {} if count is None else count.headers
        return principal

    def _require(self, visitor: Visitor, method: str, pattern: str) -> tuple[Operation, Principal]:
        operation = self._authority.find(method, pattern)
        if operation is not None and operation.is_open:
            return operation, visitor.principal or NOBODY
        # Who has shown nothing does not learn either what the table lacks.
        principal = visitor.show()
        return self._authority.require(principal, operation, f"{method} {pattern}"), principal

    def _require_own(self, principal: Principal, operation: Operation, thing: str) -> None:
        with hurrying(READ_SECONDS):
            self._authority.require_own(principal, operation, thing)

    def shares(self, visitor: Visitor, pattern: str) -> bool:
        """Whether this visitor may have the ready document of a route; False when what they see is not for all.

        Raises Unauthenticated or Forbidden.
        """
        _, principal = self._require(visitor, "GET", pattern)
        return self._authority.visibility.sight_of(principal).is_whole

    @contextmanager
    def asking(self, principal: Principal) -> Iterator[None]:
        """Makes this the `current_principal`, and its sight the `current_sight`, within the `with` block."""
        with asking(principal), seeing(self._authority.visibility.sight_of(principal)):
            yield


def _thing_of(operation: Operation, arguments: Mapping[str, str]) -> str:
    """What the address names that belongs to somebody. Raises TaskNotFound for what can be no task's id."""
    belonging = operation.belonging or Belonging.TASK
    if belonging.argument == "task_id":
        check_task_id(arguments["task_id"])
    return arguments[belonging.argument]


@contextmanager
def asking(principal: Principal) -> Iterator[None]:
    """Makes this the `current_principal` within the `with` block."""
    before = current_principal.set(principal)
    try:
        yield
    finally:
        current_principal.reset(before)


def _require_no_key_in(scope: Scope) -> None:
    """Raises KeyInAddress where path or query holds a key, which logs and histories would keep."""
    query: bytes = scope["query_string"]
    if _KEY.search(scope["path"]) or (query and _KEY_IN_QUERY.search(unquote_to_bytes(query).decode("latin-1"))):
        raise KeyInAddress


def _shows_ticket(scope: Scope) -> bool:
    return b"ticket=" in scope["query_string"]


def _take_ticket(scope: Scope) -> str | None:
    """The ticket in the query, which is taken out of it; of several none counts."""
    found, kept = None, []
    for pair in scope["query_string"].split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"ticket":
            found = value.decode("latin-1") if found is None else ""
        else:
            kept.append(pair)
    scope["query_string"] = b"&".join(kept)
    return found


def _bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The key in the Authorization header; None without one. Raises Unauthenticated for any other scheme."""
    value = headers.get(b"authorization")
    if value is None:
        return None
    scheme, _, key = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("Keys are sent as `Authorization: Bearer dp_…`.")
    return key.strip()


def _cookie(headers: Mapping[bytes, bytes]) -> str | None:
    """The value of our cookie. Others', which browsers send to every port of a host, may look as they like."""
    value = headers.get(b"cookie", b"")
    if _COOKIE_NAME not in value:
        return None
    for pair in value.split(b";"):
        name, _, cookie = pair.strip().partition(b"=")
        if name == _COOKIE_NAME:
            return cookie.decode("latin-1")
    return None


def _require_own_site(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """A browser sends the cookie by itself: what changes something, or opens a socket, must come from our own page.

    Raises CrossSite.
    """
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    site = headers.get(b"sec-fetch-site")
    is_foreign = (site is not None and site not in _OWN_SITE) or (
        origin is not None and origin.partition(b"://")[2].lower() != host.lower()
    )
    changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
    if is_foreign or (changes and origin is None):
        raise CrossSite
