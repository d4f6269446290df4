import asyncio
import threading
from typing import Any

import pytest

from api.domain.access import LOCAL, NOBODY, Credential, Principal, Role, current_principal, granted_by
from api.errors import (
    Forbidden,
    KeyInAddress,
    KeyRevoked,
    KeysUnknown,
    TaskNotFound,
    Unauthenticated,
    WrongTicket,
)
from api.util.caller import REQUEST_PRINCIPAL
from api.util.key_format import new_key
from api.web.gate import Gate, Visitor, asking
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

# -- who asks ----------------------------------------------------------------------------------------------------------


def test_without_keys_everybody_is_the_machine_itself(ring: FakeRing):
    gate = gate_of(ring, needs_keys=False)
    assert identify(gate, scope_of(query=b"api_key=x"), authorization="Basic eDp5").show() is LOCAL


@pytest.mark.parametrize("value", [bearer(), f"bearer {KEY}", f"BEARER   {KEY} "])
def test_a_key_comes_in_the_authorization_header(gate: Gate, value: str):
    assert identify(gate, authorization=value).show().user_id == "ann"


@pytest.mark.parametrize(
    "value", ["", " ", "Bearer", "Bearer ", "Basic eDp5", KEY, "Bearer\t" + KEY, "Bearer é\xff\x00", "Digest x"]
)
def test_anything_else_there_is_no_key(gate: Gate, value: str):
    with pytest.raises(Unauthenticated) as refused:
        identify(gate, authorization=value).show()
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_who_shows_nothing_is_asked_for_a_key(gate: Gate):
    with pytest.raises(Unauthenticated):
        identify(gate).show()


def test_a_wrong_key_is_not_made_good_by_a_cookie(gate: Gate):
    with pytest.raises(Unauthenticated):
        identify(gate, authorization="Bearer wrong", cookie=f"dp_session={COOKIE}").show()


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
def test_a_key_in_the_address_is_refused_even_beside_a_good_one(gate: Gate, query: bytes):
    with pytest.raises(KeyInAddress):
        identify(gate, scope_of(query=query), authorization=bearer())


def test_a_key_in_the_path_is_refused_too(gate: Gate):
    with pytest.raises(KeyInAddress):
        identify(gate, {**scope_of(), "path": f"/api/v1/{KEY}"}, authorization=bearer())


# -- keys of other servers ---------------------------------------------------------------------------------------------


def test_a_key_that_another_server_has_just_made_is_looked_for(gate: Gate, ring: FakeRing):
    ring.made, ring.wait = {NEW}, 0.01
    assert identify(gate, authorization=bearer(NEW)).show().user_id == "ann"
    assert ring.looks == 1


def test_a_key_that_was_made_after_a_look_began_gets_another_one(gate: Gate, ring: FakeRing):
    """The look that is under way may have read what was there before."""
    began, goes_on = threading.Event(), threading.Event()
    look = ring.run_once

    def slow() -> None:
        if began.is_set():
            look()
        else:
            began.set()
            assert goes_on.wait(5)
            ring.looks += 1

    ring.run_once = slow  # type: ignore[method-assign]

    async def ask() -> list[Visitor]:
        one = asyncio.create_task(gate.identify(scope_of(), headers_of(authorization=bearer(new_key()[1]))))
        await asyncio.to_thread(began.wait, 5)
        other = asyncio.create_task(gate.identify(scope_of(), headers_of(authorization=bearer(NEW))))
        await asyncio.sleep(0)
        ring.made = {NEW}
        goes_on.set()
        return [await one, await other]

    first, second = asyncio.run(ask())
    assert (first.principal, second.show().user_id) == (None, "ann")
    assert ring.looks == 2


@pytest.mark.parametrize("key", ["new", KEY + "x", "dp_x", NEW[:-1]])
def test_what_does_not_look_like_a_key_causes_no_look(gate: Gate, ring: FakeRing, key: str):
    with pytest.raises(Unauthenticated):
        identify(gate, authorization=bearer(key)).show()
    assert ring.looks == 0


def test_a_key_that_has_ended_causes_no_look(gate: Gate, ring: FakeRing):
    ring.trouble = KeyRevoked()
    with pytest.raises(KeyRevoked):
        identify(gate, authorization=bearer(NEW)).show()
    assert ring.looks == 0


def test_a_hundred_wrong_keys_at_once_cause_one_look(gate: Gate, ring: FakeRing):
    async def ask() -> None:
        asked = [gate.identify(scope_of(), headers_of(authorization=bearer(new_key()[1]))) for _ in range(100)]
        await asyncio.gather(*asked)

    asyncio.run(ask())
    assert ring.looks == 1


def test_keys_that_cannot_be_checked_let_nobody_in(gate: Gate, ring: FakeRing):
    ring.trouble = KeysUnknown()
    with pytest.raises(KeysUnknown):
        identify(gate, authorization=bearer()).show()


# -- tickets -----------------------------------------------------------------------------------------------------------


def stream(query: bytes, path: str = "/stream") -> dict[str, Any]:
    return {**scope_of(query=query), "path": path}


def test_a_ticket_opens_one_stream_and_is_taken_out_of_the_query(gate: Gate):
    scope = stream(b"tail=3&ticket=t1&x=ticket")
    principal = identify(gate, scope).show()
    assert (principal.user_id, principal.credential) == ("ann", Credential.TICKET)
    assert scope["query_string"] == b"tail=3&x=ticket"
    with pytest.raises(WrongTicket):
        identify(gate, stream(b"ticket=t1")).show()


@pytest.mark.parametrize(
    "query", [b"ticket=", b"ticket=t2", b"ticket=t1&ticket=t1", b"ticket=t1&ticket=", b"ticket=%FF"]
)
def test_any_other_ticket_opens_nothing_not_even_beside_a_good_key(gate: Gate, query: bytes):
    with pytest.raises(WrongTicket):
        identify(gate, stream(query), authorization=bearer()).show()


def test_where_there_is_no_stream_a_ticket_is_worth_nothing_and_is_not_used_up(gate: Gate, ring: FakeRing):
    refusals = []
    for scope in (stream(b"ticket=t1", "/gpus"), stream(b"ticket=t2")):
        with pytest.raises(WrongTicket) as refused:
            identify(gate, scope, authorization=bearer()).show()
        refusals.append(refused.value.detail)
    assert len(set(refusals)) == 1
    assert ring.tickets == {"t1"}


def test_a_ticket_has_any_name_but_that_of_another_parameter(gate: Gate):
    assert identify(gate, stream(b"xticket=t2"), authorization=bearer()).show().credential is Credential.KEY


def test_a_key_for_a_ticket_is_a_key_in_an_address(gate: Gate):
    with pytest.raises(KeyInAddress):
        identify(gate, stream(b"ticket=" + KEY.encode()))


def test_a_service_without_keys_takes_any_ticket_at_a_stream_and_leaves_it_elsewhere(ring: FakeRing):
    gate = gate_of(ring, needs_keys=False)
    at_stream, elsewhere = stream(b"ticket=t2&a=1"), stream(b"ticket=t2", "/gpus")
    assert identify(gate, at_stream).show() is identify(gate, elsewhere).show() is LOCAL
    assert (at_stream["query_string"], elsewhere["query_string"]) == (b"a=1", b"ticket=t2")


# -- what they may -----------------------------------------------------------------------------------------------------


def admit(gate: Gate, visitor: Visitor, method: str, pattern: str, **arguments: str) -> Principal:
    return asyncio.run(gate.admit(visitor, method, pattern, arguments, scope_of()))


ANN = Visitor(Principal("ann", Role.TRAINER, granted_by(Role.TRAINER, None), Credential.KEY, "k"))
UNKNOWN = Visitor(problem=Unauthenticated())


@pytest.mark.parametrize("visitor", [Visitor(), UNKNOWN])
def test_what_is_open_is_open_to_everybody(gate: Gate, visitor: Visitor):
    assert admit(gate, visitor, "GET", "/health") is NOBODY


def test_who_is_let_in_is_noted_in_the_request(gate: Gate):
    scope = scope_of()
    principal = asyncio.run(gate.admit(ANN, "GET", "/gpus", {}, scope))
    assert scope["state"][REQUEST_PRINCIPAL] is principal is ANN.principal


@pytest.mark.parametrize("pattern", ["/gpus", "/nothing"])
def test_who_has_shown_nothing_is_told_only_that(gate: Gate, pattern: str):
    with pytest.raises(Unauthenticated):
        admit(gate, UNKNOWN, "GET", pattern)


def test_what_is_in_no_table_is_forbidden(gate: Gate):
    with pytest.raises(Forbidden):
        admit(gate, ANN, "GET", "/nothing")


def test_what_belongs_to_somebody_else_stays_theirs(ring: FakeRing):
    admit(gate_of(ring), ANN, "POST", "/t/<task_id>", task_id="anns")
    with pytest.raises(Forbidden):
        admit(gate_of(ring), ANN, "POST", "/t/<task_id>", task_id="bobs")
    with pytest.raises(TaskNotFound):
        admit(gate_of(ring, hides_others=True), ANN, "POST", "/t/<task_id>", task_id="bobs")


@pytest.mark.parametrize("name", ["", "a\x00b", "../x", "a b", "é", "a" * 5000])
def test_no_database_is_asked_for_the_owner_of_what_can_be_no_task(gate: Gate, name: str):
    """PostgreSQL, for one, takes no NUL."""
    with pytest.raises(TaskNotFound):
        admit(gate, ANN, "POST", "/t/<task_id>", task_id=name)


def test_ready_documents_are_for_who_sees_all(ring: FakeRing):
    assert gate_of(ring).shares(ANN, "/gpus")
    assert not gate_of(ring, hides_others=True).shares(ANN, "/gpus")
    with pytest.raises(Unauthenticated):
        gate_of(ring).shares(UNKNOWN, "/gpus")


def test_the_principal_is_that_of_the_request_only_within_it():
    assert current_principal.get() is LOCAL
    with asking(NOBODY):
        assert current_principal.get() is NOBODY
    assert current_principal.get() is LOCAL
