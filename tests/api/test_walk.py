"""Every address with every method by every kind of caller, compared with the table of operations.

The application behind the gate is replaced: an admitted request gets the response THROUGH and does nothing. Ready
documents and responses of the event loop itself are real.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.access import key_ring, rates
from api.app import create_app
from api.catalog.registry.store import RegistryStore
from api.domain.access.principal import PERMISSION_GROUPS, ROLE_PERMISSIONS, Permission, Role
from api.errors import Unauthenticated
from api.streaming.addresses import Transport
from api.util.text.key_format import new_key
from api.web.bodies.body import WSGIResponse
from api.web.operations import Operation, OperationTable, ResourceKind
from tests.api.client import Client, scope
from tests.api.conftest import TRAINING, MakeWorld, World

THROUGH = 299

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")

TABLE = OperationTable()

#: Unknown addresses, in any spelling.
NOWHERE = (
    "/nothing",
    "/api",
    "/api/v1",
    "/api/v2/gpu/status",
    "/API/V1/GPU/STATUS",
    "/health.",
    "/health;a=b",
    "//health",
    "/health//",
    "/api/v1/gpu/status/x",
    "/api/v1/gpu/%2e%2e/status",
    "/api/v1/training/a%2fb/c",
    "/dashboard",
    "/dashboard/x",
    "/api/v1/ws/nothing",
    "/static/x",
)


@dataclass(frozen=True)
class Caller:
    """A caller: their credentials, and the principal."""

    name: str
    headers: dict[str, str]
    user_id: str | None = None  #: None for a caller without valid credentials
    permissions: frozenset[Permission] = frozenset()


def all_callers(world: World) -> Iterator[Caller]:
    """Yield all kinds of callers. The resources belong to ann."""
    yield Caller("no key", {})
    yield Caller("wrong", {"Authorization": f"Bearer {new_key()[1]}"})
    yield Caller("malformed", {"Authorization": "Bearer \xff\x01"})
    yield Caller("another scheme", {"Authorization": "Basic YW5uOmFubg=="})
    yield Caller("a cookie of nobody", {"Cookie": "dp_session=x"})
    now = world.runtime.services.clock.now()
    yield Caller("expired", world.key("ann", Role.ADMIN, expires_at=now - timedelta(seconds=1)))
    revoked, shown = world.make_key("ann", Role.ADMIN)
    world.revoke(revoked)
    yield Caller("revoked", {"Authorization": f"Bearer {shown}"})
    for name, role in (("vera", Role.VIEWER), ("ann", Role.TRAINER), ("bob", Role.TRAINER), ("root", Role.ADMIN)):
        yield Caller(f"{name}, {role}", world.key(name, role), name, ROLE_PERMISSIONS[role])
    yield Caller("ann, nothing", world.key("ann", permissions=()), "ann")
    old = PERMISSION_GROUPS["training"]
    yield Caller("bob, old words", world.key("bob", permissions=("training", "of:tomorrow")), "bob", old)
    deputy = frozenset({Permission.TRAINING_WRITE, Permission.TASKS_WRITE_ANY})
    yield Caller("eve, a list", world.key("eve", permissions=deputy), "eve", deputy)


@dataclass(frozen=True)
class Walk:
    """A server with resources of ann, and all kinds of callers."""

    world: World
    task_id: str
    people: tuple[Caller, ...]
    hides_others: bool

    @property
    def client(self) -> Client:
        return self.world.client

    def path(self, pattern: str) -> str:
        """Return an address of this pattern that names ann's resource."""
        known = {
            "name": "anns",
            "task_id": "mine" if "/gpu/tasks/" in pattern else self.task_id,
            "gpu_id": "0",
            "path:path": "a/b.txt",
            "path:name": "x.js",
        }
        return re.sub(r"<([^>]+)>", lambda found: known.get(found[1], "x"), pattern)

    def expect(self, who: Caller, operation: Operation) -> tuple[int, str | None]:
        """Return the status and the error code that the table implies."""
        if operation.is_open:
            return THROUGH, None
        if who.user_id is None:
            return 401, None
        if operation.permission is not None and operation.permission not in who.permissions:
            return 403, "forbidden"
        if operation.resource_kind is None or who.user_id == "ann":
            return THROUGH, None
        sees = not self.hides_others or Permission.TASKS_READ_ANY in who.permissions
        if not sees:
            hidden = {ResourceKind.DATASET: "dataset_not_found", ResourceKind.MODEL: "registered_model_not_found"}
            return 404, hidden.get(operation.resource_kind, "task_not_found")
        may_change = not operation.changes or Permission.TASKS_WRITE_ANY in who.permissions
        return (THROUGH, None) if may_change else (403, "not_yours")

    def check(self, who: Caller, operation: Operation, method: str) -> str | None:
        """Return what is wrong with the response, or None."""
        expected = self.expect(who, operation)
        path = self.path(operation.pattern)
        if method == "WEBSOCKET":
            found = self.client.run(knock(self.client, path, who.headers))
        else:
            answer = self.ask(who, method, path)
            found = (THROUGH if answer.status_code == 200 else answer.status_code, code_of(answer))
        is_right = found[0] == expected[0] and (expected[1] is None or found[1] in (expected[1], None))
        return None if is_right else f"{who.name}: {method} {operation.pattern}: {found}, not {expected}"

    def ask(self, who: Caller, method: str, path: str) -> httpx.Response:
        return self.client.raw(method, path, raw_headers({"Tus-Resumable": "1.0.0", **who.headers}))


def raw_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    sent = {"host": "127.0.0.1", **headers}
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]


def code_of(answer: httpx.Response) -> str | None:
    return answer.json()["error"]["code"] if answer.status_code >= 400 and answer.content else None


async def knock(client: Client, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return status and code of a WebSocket's refusal; THROUGH if it is accepted."""
    async with client.connection(scope("websocket", path, raw_headers(headers))) as connection:
        await connection.send_message({"type": "websocket.connect"})
        start = await connection.next_message()
        if start["type"] == "websocket.accept":
            return THROUGH, None
        return start["status"], json.loads((await connection.next_message())["body"])["error"]["code"]


async def _answer(*_: Any) -> WSGIResponse:
    return WSGIResponse(THROUGH, [], b"")


async def _send_events(found: Any, scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": THROUGH, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _send_texts(found: Any, scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


@pytest.fixture
def start(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rates, "WRONG_KEYS", "1000000/minute")
    monkeypatch.setattr(key_ring, "EAGER_SECONDS", 0.0)

    def begin(*, serves_documents: bool = True, visibility: str = "team") -> Walk:
        world = make_world(auth="required", visibility=visibility, rate_limits=(), serves_documents=serves_documents)
        ann = world.signed_in("ann")
        task_id = ann.start()
        made = ann.client.post("/api/v1/gpu/tasks", json={"task_id": "mine", "gpu_ids": [0], "task_type": "external"})
        assert made.status_code == 201, made.text
        assert ann.client.post("/api/v1/datasets", json={"name": "anns"}).status_code == 201
        RegistryStore(world.runtime.database).ensure("anns", "ann", world.runtime.services.clock.now())
        # Wrong keys cause reloads of the keys, which take time and change nothing here.
        monkeypatch.setattr(world.runtime.access.ring, "run_once", lambda: None)
        shell = world.client._shell
        monkeypatch.setattr(shell._flask, "call", _answer)
        monkeypatch.setattr(shell, "_body_handlers", {})
        monkeypatch.setattr(shell._live, "send_events", _send_events)
        monkeypatch.setattr(shell._live, "send_texts", _send_texts)
        return Walk(world, task_id, tuple(all_callers(world)), visibility == "own")

    return begin


@pytest.fixture
def walk(start) -> Walk:
    return start()


def addresses(world: World) -> set[str]:
    """Return every method at every address, by pattern: of Flask, the streams and the ready documents."""
    rules = create_app(world.runtime.services).url_map.iter_rules()
    names = {f"{method} {rule.rule}" for rule in rules for method in (rule.methods or ()) - {"HEAD", "OPTIONS"}}
    routes = world.runtime.live.routes._by_transport
    names |= {f"GET {route.pattern}" for route in routes[Transport.EVENTS]}
    names |= {f"WEBSOCKET {route.pattern}" for route in routes[Transport.WEB_SOCKET]}
    documents = world.gpus.documents
    return names | {f"GET {address.route}" for address in documents.addresses.values()}


# -- the table ---------------------------------------------------------------------------------------------------------


def test_table_and_operations_match(world: World):
    there, result = addresses(world), {operation.name for operation in TABLE.all}
    assert there - result == set(), "these are for nobody: add them to api/web/operations.py"
    assert result - there == set(), "these are no more"


def test_viewer_changes_nothing_and_trainer_changes_neither_keys_nor_the_service():
    changing = {operation.permission for operation in TABLE.all if operation.changes}
    assert changing & ROLE_PERMISSIONS[Role.VIEWER] <= set()
    reserved = {Permission.KEYS_MANAGE, Permission.AUDIT_READ, Permission.SYSTEM_READ, Permission.SYSTEM_WRITE}
    assert (
        ROLE_PERMISSIONS[Role.TRAINER] & (reserved | {Permission.TASKS_READ_ANY, Permission.TASKS_WRITE_ANY}) == set()
    )


# -- the matrix --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visibility", ["team", "own"])
@pytest.mark.parametrize("serves_documents", [True, False], ids=["documents", "routes"])
def test_every_caller_may_do_exactly_what_the_table_allows(start, serves_documents: bool, visibility: str):
    walk = start(serves_documents=serves_documents, visibility=visibility)
    wrong = [
        walk.check(who, operation, method)
        for operation in TABLE.all
        for who in walk.people
        for method in ((operation.method, "HEAD") if operation.method == "GET" else (operation.method,))
    ]
    assert [each for each in wrong if each is not None] == []


@pytest.mark.slow
def test_no_other_method_has_an_effect(walk: Walk):
    """405 for authenticated callers, 401 for all others; OPTIONS lists methods only to authenticated callers."""
    names = {operation.name for operation in TABLE.all}
    wrong = []
    for pattern in sorted({operation.pattern for operation in TABLE.all if operation.method != "WEBSOCKET"}):
        taken = {method for method in METHODS if f"{'GET' if method == 'HEAD' else method} {pattern}" in names}
        for method in set(METHODS) - taken:
            for who in walk.people:
                expected = 401 if who.user_id is None else 200 if method == "OPTIONS" else 405
                status = walk.ask(who, method, walk.path(pattern)).status_code
                if status != expected:
                    wrong.append(f"{who.name}: {method} {pattern}: {status}, not {expected}")
    assert wrong == []


# -- unauthenticated callers learn nothing -----------------------------------------------------------------------------


def test_callers_without_a_valid_key_get_the_same_response_everywhere(walk: Walk):
    """The response does not reveal whether an address, a method, a task or a stream exists."""
    paths = {walk.path(operation.pattern) for operation in TABLE.all}
    paths |= {path + "/" for path in paths if path != "/"} | set(NOWHERE)
    paths |= {f"{TRAINING}/train_20260101_00000000", f"{TRAINING}/train_20260101_00000000/events/stream"}
    opened = {(operation.method, walk.path(operation.pattern)) for operation in TABLE.all if operation.is_open}
    # With a trailing slash this is another file of the page.
    opened |= {("GET", path) for path in paths if path.startswith("/dashboard/x/")}
    for who in walk.people:
        if who.user_id is not None:
            continue
        seen: set[str] = set()
        for path in sorted(paths):
            for method in ("GET", "POST", "OPTIONS", "BREW"):
                if ("GET" if method == "HEAD" else method, path) in opened:
                    continue
                answer = walk.ask(who, method, path)
                seen.add(result(answer))
        assert len(seen) == 1, who.name


def result(answer: httpx.Response) -> str:
    """Return everything that a response reveals, without what differs for each request."""
    body = answer.json()
    body["error"].pop("request_id")
    body.pop("timestamp")
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}
    return json.dumps([answer.status_code, headers, body], sort_keys=True)


def test_websockets_have_one_refusal_for_callers_without_a_valid_key(walk: Walk):
    paths = [walk.path(operation.pattern) for operation in TABLE.all] + list(NOWHERE)
    for who in walk.people:
        if who.user_id is None:
            refusals = {walk.client.run(knock(walk.client, path, who.headers)) for path in paths}
            assert len(refusals) == 1, (who.name, refusals)
            assert refusals.pop()[0] == 401


def test_hidden_and_missing_tasks_look_the_same(start):
    walk = start(visibility="own")
    bob = next(who for who in walk.people if who.name == "bob, trainer")
    other = "train_20260101_00000000"
    for operation in TABLE.all:
        if operation.resource_kind is None or operation.method == "WEBSOCKET":
            continue
        path = walk.path(operation.pattern)
        name = "mine" if "/gpu/tasks/" in path else "anns" if "<name>" in operation.pattern else walk.task_id
        hidden = walk.ask(bob, operation.method, path)
        none = walk.ask(bob, operation.method, path.replace(name, other))
        assert result(hidden).replace(name, other) == result(none), operation.name


# -- open addresses ----------------------------------------------------------------------------------------------------


def test_open_addresses_accept_everyone_with_any_credentials(walk: Walk):
    for who in walk.people:
        for operation in TABLE.all:
            if operation.is_open:
                status = walk.ask(who, operation.method, walk.path(operation.pattern)).status_code
                assert status in (200, THROUGH), (who.name, operation.name)


def test_preflight_needs_no_key_and_reveals_nothing(make_world: MakeWorld):
    world = make_world(auth="required", cors_origins=("https://else.example",))
    headers = {"Origin": "https://else.example", "Access-Control-Request-Method": "DELETE"}
    answers = {
        (answer.status_code, str({**answer.headers, "x-request-id": ""}), answer.content)
        for path in ("/api/v1/gpu/status", f"{TRAINING}/start", "/nothing", "/health")
        for answer in [world.client.ask("OPTIONS", path, headers=headers)]
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 200
    assert world.client.ask("OPTIONS", "/health", headers={"Origin": "https://else.example"}).status_code == 401


# -- authenticated callers and unknown addresses -----------------------------------------------------------------------


def test_unknown_address_is_404_for_authenticated_callers(walk: Walk):
    ann = next(who for who in walk.people if who.name == "ann, nothing")
    for path in NOWHERE:
        for method in METHODS:
            assert walk.ask(ann, method, path).status_code == 404, (method, path)
        assert walk.client.run(knock(walk.client, path, ann.headers))[0] == 404


def test_trailing_slash_redirects_only_authenticated_callers(walk: Walk):
    nobody, ann = walk.people[0], next(who for who in walk.people if who.name == "ann, nothing")
    for operation in TABLE.all:
        path = walk.path(operation.pattern)
        if operation.method != "WEBSOCKET" and path != "/" and "." not in path:
            assert walk.ask(nobody, operation.method, path + "/").status_code == 401
            answer = walk.ask(ann, operation.method, path + "/")
            assert (answer.status_code, answer.headers["location"]) == (308, path)


def test_streams_are_not_websockets_and_vice_versa(walk: Walk):
    root = next(who for who in walk.people if who.user_id == "root")
    for operation in TABLE.all:
        path = walk.path(operation.pattern)
        if operation.method == "WEBSOCKET":
            assert walk.ask(root, "GET", path).status_code == 404
        else:
            assert walk.client.run(knock(walk.client, path, root.headers))[0] == 404


def test_refusal_explains_how_to_authenticate(walk: Walk):
    for who in walk.people:
        answer = walk.ask(who, "GET", "/api/v1/gpu/status")
        assert ("www-authenticate" in answer.headers) == (answer.status_code == 401) == (who.user_id is None)
        if who.user_id is None:
            assert answer.headers["www-authenticate"] == Unauthenticated().headers["WWW-Authenticate"]
