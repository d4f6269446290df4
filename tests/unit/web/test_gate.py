import asyncio
import threading
from typing import Any

import pytest

from api.domain.access.principal import ANONYMOUS, LOCAL, Credential, Principal, Role, current_principal, granted_by
from api.errors import (
    Forbidden,
    KeyInAddress,
    KeyRevoked,
    KeysUnknown,
    TaskNotFound,
    Unauthenticated,
    WrongTicket,
)
from api.util.http.caller import REQUEST_PRINCIPAL
from api.util.text.key_format import new_key
from api.web.gate import Caller, Gate, asking
from tests.unit.web.gates import (
    COOKIE,
    KEY,
    NEW,
    FakeRing,
    bearer,
    gate_of,
    headers_of,
    identify,
    scope_of,
)

# -- authentication ----------------------------------------------------------------------------------------------------


def test_without_keys_everyone_is_the_local_principal(ring: FakeRing):
    gate = gate_of(ring, needs_keys=False)
    assert identify(gate, scope_of(query=b"api_key=x"), authorization="Basic eDp5").require_principal() is LOCAL


@pytest.mark.parametrize("value", [bearer(), f"bearer {KEY}", f"BEARER   {KEY} "])
def test_key_is_read_from_the_authorization_header(gate: Gate, value: str):
    assert identify(gate, authorization=value).require_principal().user_id == "ann"


@pytest.mark.parametrize(
    "value", ["", " ", "Bearer", "Bearer ", "Basic eDp5", KEY, "Bearer\t" + KEY, "Bearer é\xff\x00", "Digest x"]
)
def test_other_authorization_schemes_are_refused(gate: Gate, value: str):
    with pytest.raises(Unauthenticated) as refused:
        identify(gate, authorization=value).require_principal()
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_missing_credentials_are_refused(gate: Gate):
    with pytest.raises(Unauthenticated):
        identify(gate).require_principal()


def test_cookie_does_not_replace_a_wrong_key(gate: Gate):
    with pytest.raises(Unauthenticated):
        identify(gate, authorization="Bearer wrong", cookie=f"dp_session={COOKIE}").require_principal()


@pytest.mark.parametrize(
    "query",
    [
        b"api_key=x",
        b"a=1&API_KEY=x",
        b"apikey=",
        b"access_token=x",
        b"x=dp_abcdefghijkl_secret",
        b"x=dp%5Fabcdefghijkl%5fsecret",
        b"x=%64p_abcdefghijkl_secret",
        b"api%5Fkey=x",
    ],
)
def test_key_in_the_query_is_refused_even_beside_a_valid_one(gate: Gate, query: bytes):
    with pytest.raises(KeyInAddress):
        identify(gate, scope_of(query=query), authorization=bearer())


def test_key_in_the_path_is_refused(gate: Gate):
    with pytest.raises(KeyInAddress):
        identify(gate, {**scope_of(), "path": f"/api/v1/{KEY}"}, authorization=bearer())


# -- keys of other servers ---------------------------------------------------------------------------------------------


def test_key_just_created_on_another_server_is_found(gate: Gate, ring: FakeRing):
    ring.made, ring.wait = {NEW}, 0.01
    assert identify(gate, authorization=bearer(NEW)).require_principal().user_id == "ann"
    assert ring.looks == 1


def test_key_created_during_a_reload_causes_another_reload(gate: Gate, ring: FakeRing):
    """The reload in progress may have read the earlier state."""
    began, goes_on = threading.Event(), threading.Event()
    look = ring.run_once

    def slow() -> None:
        if began.is_set():
            look()
        else:
            began.set()
            assert goes_on.wait(30)
            ring.looks += 1

    ring.run_once = slow  # type: ignore[method-assign]

    async def ask() -> list[Caller]:
        one = asyncio.create_task(gate.identify(scope_of(), headers_of(authorization=bearer(new_key()[1]))))
        await asyncio.to_thread(began.wait, 5)
        other = asyncio.create_task(gate.identify(scope_of(), headers_of(authorization=bearer(NEW))))
        await asyncio.sleep(0)
        ring.made = {NEW}
        goes_on.set()
        return [await one, await other]

    first, second = asyncio.run(ask())
    assert (first.principal, second.require_principal().user_id) == (None, "ann")
    assert ring.looks == 2


@pytest.mark.parametrize("key", ["new", KEY + "x", "dp_x", NEW[:-1]])
def test_malformed_key_causes_no_reload(gate: Gate, ring: FakeRing, key: str):
    with pytest.raises(Unauthenticated):
        identify(gate, authorization=bearer(key)).require_principal()
    assert ring.looks == 0


def test_ended_key_causes_no_reload(gate: Gate, ring: FakeRing):
    ring.trouble = KeyRevoked()
    with pytest.raises(KeyRevoked):
        identify(gate, authorization=bearer(NEW)).require_principal()
    assert ring.looks == 0


def test_hundred_concurrent_wrong_keys_cause_one_reload(gate: Gate, ring: FakeRing):
    async def ask() -> None:
        requests = [gate.identify(scope_of(), headers_of(authorization=bearer(new_key()[1]))) for _ in range(100)]
        await asyncio.gather(*requests)

    asyncio.run(ask())
    assert ring.looks == 1


def test_keys_that_cannot_be_checked_are_refused(gate: Gate, ring: FakeRing):
    ring.trouble = KeysUnknown()
    with pytest.raises(KeysUnknown):
        identify(gate, authorization=bearer()).require_principal()


# -- tickets -----------------------------------------------------------------------------------------------------------


def stream(query: bytes, path: str = "/stream") -> dict[str, Any]:
    return {**scope_of(query=query), "path": path}


def test_ticket_opens_one_stream_and_is_removed_from_the_query(gate: Gate):
    scope = stream(b"tail=3&ticket=t1&x=ticket")
    principal = identify(gate, scope).require_principal()
    assert (principal.user_id, principal.credential) == ("ann", Credential.TICKET)
    assert scope["query_string"] == b"tail=3&x=ticket"
    with pytest.raises(WrongTicket):
        identify(gate, stream(b"ticket=t1")).require_principal()


@pytest.mark.parametrize(
    "query", [b"ticket=", b"ticket=t2", b"ticket=t1&ticket=t1", b"ticket=t1&ticket=", b"ticket=%FF"]
)
def test_invalid_ticket_is_refused_even_beside_a_valid_key(gate: Gate, query: bytes):
    with pytest.raises(WrongTicket):
        identify(gate, stream(query), authorization=bearer()).require_principal()


def test_ticket_for_another_address_is_refused_and_not_used_up(gate: Gate, ring: FakeRing):
    refusals = []
    for scope in (stream(b"ticket=t1", "/gpus"), stream(b"ticket=t2")):
        with pytest.raises(WrongTicket) as refused:
            identify(gate, scope, authorization=bearer()).require_principal()
        refusals.append(refused.value.detail)
    assert len(set(refusals)) == 1
    assert ring.tickets == {"t1"}


def test_parameter_with_a_similar_name_is_no_ticket(gate: Gate):
    assert (
        identify(gate, stream(b"xticket=t2"), authorization=bearer()).require_principal().credential is Credential.KEY
    )


def test_key_as_a_ticket_is_refused_as_a_key_in_the_address(gate: Gate):
    with pytest.raises(KeyInAddress):
        identify(gate, stream(b"ticket=" + KEY.encode()))


def test_service_without_keys_removes_tickets_only_from_streams(ring: FakeRing):
    gate = gate_of(ring, needs_keys=False)
    at_stream, elsewhere = stream(b"ticket=t2&a=1"), stream(b"ticket=t2", "/gpus")
    assert identify(gate, at_stream).require_principal() is identify(gate, elsewhere).require_principal() is LOCAL
    assert (at_stream["query_string"], elsewhere["query_string"]) == (b"a=1", b"ticket=t2")


# -- authorization ----------------------------------------------------------------------------------------------------


def admit(gate: Gate, caller: Caller, method: str, pattern: str, **arguments: str) -> Principal:
    return asyncio.run(gate.admit(caller, method, pattern, arguments, scope_of()))


ANN = Caller(Principal("ann", Role.TRAINER, granted_by(Role.TRAINER, None), Credential.KEY, "k"))
UNKNOWN = Caller(problem=Unauthenticated())


@pytest.mark.parametrize("caller", [Caller(), UNKNOWN])
def test_open_operation_is_open_to_everyone(gate: Gate, caller: Caller):
    assert admit(gate, caller, "GET", "/health") is ANONYMOUS


def test_admitted_principal_is_stored_in_the_scope(gate: Gate):
    scope = scope_of()
    principal = asyncio.run(gate.admit(ANN, "GET", "/gpus", {}, scope))
    assert scope["state"][REQUEST_PRINCIPAL] is principal is ANN.principal


@pytest.mark.parametrize("pattern", ["/gpus", "/nothing"])
def test_caller_without_credentials_gets_only_that_error(gate: Gate, pattern: str):
    with pytest.raises(Unauthenticated):
        admit(gate, UNKNOWN, "GET", pattern)


def test_operation_missing_in_the_table_is_forbidden(gate: Gate):
    with pytest.raises(Forbidden):
        admit(gate, ANN, "GET", "/nothing")


def test_resource_of_another_user_is_refused(ring: FakeRing):
    admit(gate_of(ring), ANN, "POST", "/t/<task_id>", task_id="anns")
    with pytest.raises(Forbidden):
        admit(gate_of(ring), ANN, "POST", "/t/<task_id>", task_id="bobs")
    with pytest.raises(TaskNotFound):
        admit(gate_of(ring, hides_others=True), ANN, "POST", "/t/<task_id>", task_id="bobs")


@pytest.mark.parametrize("name", ["", "a\x00b", "../x", "a b", "é", "a" * 5000])
def test_malformed_task_id_causes_no_database_query(gate: Gate, name: str):
    """PostgreSQL, for example, rejects NUL."""
    with pytest.raises(TaskNotFound):
        admit(gate, ANN, "POST", "/t/<task_id>", task_id=name)


def test_ready_documents_require_full_scope(ring: FakeRing):
    assert gate_of(ring).may_share(ANN, "/gpus")
    assert not gate_of(ring, hides_others=True).may_share(ANN, "/gpus")
    with pytest.raises(Unauthenticated):
        gate_of(ring).may_share(UNKNOWN, "/gpus")


def test_principal_is_set_only_during_the_request():
    assert current_principal.get() is LOCAL
    with asking(ANONYMOUS):
        assert current_principal.get() is ANONYMOUS
    assert current_principal.get() is LOCAL
