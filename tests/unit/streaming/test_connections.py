"""Streams are admitted, opened, sent, and cut off."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from api.domain.access import Credential, Principal
from api.errors import Invalid, KeyRevoked, TooManyStreams, Unavailable
from api.streaming import connections
from api.streaming.addresses import Asked, LiveRoute, LiveRoutes, Transport
from api.streaming.admission import Admission
from api.streaming.broker import Broker
from api.streaming.connections import LiveServing
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding
from api.streaming.permits import Farewell, Permits
from api.streaming.subscription import TooSlow
from api.web.gate import asking


class Opened:
    """A stream of one frame, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.error: Exception | None = None

    @asynccontextmanager
    async def open(self, asked: Asked) -> AsyncIterator[Frames]:
        self.asked.append(asked)
        if isinstance(self.error, Invalid):
            raise self.error
        yield self._frames()

    async def _frames(self) -> Frames:
        yield [Frame(MessageType.SYSTEM, b"{}", "1")]
        if self.error is not None:
            raise self.error


class Connection:
    """A client of this server, and what became of it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.was_cut = False

    def abort(self) -> None:
        self.was_cut = True

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def receive(self) -> Any:
        await asyncio.sleep(60)

    def scope(self, **headers: bytes) -> Any:
        return {
            "type": "http",
            "method": "GET",
            "headers": [(name.replace("_", "-").encode(), value) for name, value in headers.items()],
            "query_string": b"tail=3",
            "client": ("10.0.0.1", 5),
            "extensions": {"connection": self},
        }


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def serving(opened: Opened, broker: Broker) -> LiveServing:
    routes = LiveRoutes([LiveRoute("/tasks/<task_id>", Transport.EVENTS, opened.open)])
    return LiveServing(routes, broker, Admission(2, 1), Permits(lambda principal: None))


def serve(serving: LiveServing, **headers: bytes) -> Connection:
    connection = Connection()

    async def scene() -> None:
        serving.attach(asyncio.get_running_loop())
        found = serving.find_events("/tasks/a")
        assert found is not None
        await serving.send_events(found, connection.scope(**headers), connection.receive, connection.send)
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scene(), 5))
    return connection


def test_a_stream_is_found_by_its_transport(serving: LiveServing):
    assert serving.find_events("/tasks/a") is not None
    assert serving.find_socket("/tasks/a") is None
    assert serving.find_events("/other") is None


def test_it_is_asked_with_path_query_and_the_id_of_who_comes_back(serving: LiveServing, opened: Opened):
    connection = serve(serving, last_event_id=b"7")
    (asked,) = opened.asked
    assert (asked.arguments, asked.query, asked.last_event_id) == ({"task_id": "a"}, "tail=3", "7")
    assert connection.messages[0]["status"] == 200


def test_an_id_that_is_too_long_is_cut(serving: LiveServing, opened: Opened):
    serve(serving, last_event_id=b"x" * 10_000)
    assert len(opened.asked[0].last_event_id or "") < 1000


def test_what_is_wrong_is_raised_before_anything_is_sent_and_gives_the_place_back(serving: LiveServing, opened: Opened):
    opened.error = Invalid("no")
    for _ in range(3):
        with pytest.raises(Invalid):
            serve(serving)
    opened.error = None
    assert serve(serving).messages


def test_a_client_has_only_so_many(serving: LiveServing):
    with serving._admission.admit("10.0.0.1"), pytest.raises(TooManyStreams):
        serve(serving)


def test_of_a_service_with_keys_a_user_has_only_so_many_from_wherever(serving: LiveServing):
    ann = Principal("ann", None, frozenset(), Credential.KEY, "k")
    with serving._admission.admit("10.0.0.1"), asking(ann):
        assert serve(serving).messages
    with serving._admission.admit("ann"), asking(ann), pytest.raises(TooManyStreams):
        serve(serving)


def test_who_may_not_have_it_any_more_is_refused_before_anything_is_sent(serving: LiveServing):
    serving._permits = Permits(lambda principal: KeyRevoked())
    with pytest.raises(KeyRevoked):
        serve(serving)
    assert serving._admission.streams == 0


def test_who_does_not_read_the_last_word_is_cut_off_at_once(serving: LiveServing, opened: Opened):
    class Ended(Permits):
        @contextmanager
        def hold(self, principal: Principal) -> Iterator[Farewell]:
            with super().hold(principal) as farewell:
                farewell.set_result(closing_frame(StreamEnding.ACCESS_ENDED))
                yield farewell

    serving._permits = Ended(lambda principal: None)
    opened.error = TooSlow()
    assert serve(serving).was_cut


def test_nobody_is_let_in_while_the_server_ends(serving: LiveServing, broker: Broker):
    async def end() -> None:
        broker.attach(asyncio.get_running_loop())
        broker.close()

    asyncio.run(end())
    with pytest.raises(Unavailable):
        serve(serving)


def test_who_does_not_read_is_cut_off(serving: LiveServing, opened: Opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.0)
    assert not serve(serving).was_cut
    opened.error = TooSlow()
    assert serve(serving).was_cut
