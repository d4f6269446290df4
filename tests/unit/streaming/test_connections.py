"""Streams are admitted, opened, sent and disconnected."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from api.domain.access.principal import Credential, Principal
from api.errors import Invalid, KeyRevoked, TooManyStreams, Unavailable
from api.streaming import connections
from api.streaming.addresses import LiveRoute, LiveRoutes, StreamRequest, Transport
from api.streaming.broker import Broker
from api.streaming.connections import Admission, StreamServer
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding
from api.streaming.permits import LastFrame, Permits
from api.streaming.subscription import TooSlow
from api.web.gate import asking


class Opened:
    """A stream of one frame, and its requests."""

    def __init__(self) -> None:
        self.requests: list[StreamRequest] = []
        self.error: Exception | None = None

    @asynccontextmanager
    async def open(self, request: StreamRequest) -> AsyncIterator[Frames]:
        self.requests.append(request)
        if isinstance(self.error, Invalid):
            raise self.error
        yield self._frames()

    async def _frames(self) -> Frames:
        yield [Frame(MessageType.SYSTEM, b"{}", "1")]
        if self.error is not None:
            raise self.error


class Connection:
    """A client of this server, and the state of its connection."""

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
def admission() -> Admission:
    return Admission(2, 1)


@pytest.fixture
def permits() -> Permits:
    return Permits(lambda principal: None)


@pytest.fixture
def serving(opened: Opened, broker: Broker, admission: Admission, permits: Permits) -> StreamServer:
    routes = LiveRoutes([LiveRoute("/tasks/<task_id>", Transport.EVENTS, opened.open)])
    return StreamServer(routes, broker, admission, permits)


def serve(serving: StreamServer, **headers: bytes) -> Connection:
    connection = Connection()

    async def scene() -> None:
        serving.attach(asyncio.get_running_loop())
        found = serving.find_events("/tasks/a")
        assert found is not None
        await serving.send_events(found, connection.scope(**headers), connection.receive, connection.send)
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scene(), 5))
    return connection


def test_stream_is_found_by_its_transport(serving: StreamServer):
    assert serving.find_events("/tasks/a") is not None
    assert serving.find_socket("/tasks/a") is None
    assert serving.find_events("/other") is None


def test_request_has_path_query_and_last_event_id(serving: StreamServer, opened: Opened):
    connection = serve(serving, last_event_id=b"7")
    (request,) = opened.requests
    assert (request.arguments, request.query, request.last_event_id) == ({"task_id": "a"}, "tail=3", "7")
    assert connection.messages[0]["status"] == 200


def test_overlong_id_is_cut(serving: StreamServer, opened: Opened):
    serve(serving, last_event_id=b"x" * 10_000)
    assert len(opened.requests[0].last_event_id or "") < 1000


def test_error_is_raised_before_anything_is_sent_and_frees_the_slot(serving: StreamServer, opened: Opened):
    opened.error = Invalid("no")
    for _ in range(3):
        with pytest.raises(Invalid):
            serve(serving)
    opened.error = None
    assert serve(serving).messages


def test_streams_per_client_are_limited(serving: StreamServer, admission: Admission):
    with admission.admit("10.0.0.1"), pytest.raises(TooManyStreams):
        serve(serving)


def test_streams_per_user_are_limited_from_all_addresses(serving: StreamServer, admission: Admission):
    ann = Principal("ann", None, frozenset(), Credential.KEY, "k")
    with admission.admit("10.0.0.1"), asking(ann):
        assert serve(serving).messages
    with admission.admit("ann"), asking(ann), pytest.raises(TooManyStreams):
        serve(serving)


@pytest.mark.parametrize("permits", [Permits(lambda principal: KeyRevoked())])
def test_client_without_access_is_rejected_before_anything_is_sent(serving: StreamServer, admission: Admission):
    with pytest.raises(KeyRevoked):
        serve(serving)
    assert admission.streams == 0


class EndedPermits(Permits):
    """Access that ends as soon as a stream has begun."""

    @contextmanager
    def hold(self, principal: Principal) -> Iterator[LastFrame]:
        with super().hold(principal) as last_frame:
            last_frame.set_result(closing_frame(StreamEnding.ACCESS_ENDED))
            yield last_frame


@pytest.mark.parametrize("permits", [EndedPermits(lambda principal: None)])
def test_client_that_does_not_read_the_last_frame_is_disconnected_immediately(serving: StreamServer, opened: Opened):
    opened.error = TooSlow()
    assert serve(serving).was_cut


def test_no_client_is_admitted_while_the_server_shuts_down(serving: StreamServer, broker: Broker):
    async def end() -> None:
        broker.attach(asyncio.get_running_loop())
        broker.close()

    asyncio.run(end())
    with pytest.raises(Unavailable):
        serve(serving)


def test_client_that_does_not_read_is_disconnected(
    serving: StreamServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "LAST_FRAME_SECONDS", 0.0)
    assert not serve(serving).was_cut
    opened.error = TooSlow()
    assert serve(serving).was_cut


def test_streams_up_to_the_limit_are_admitted():
    admission = Admission(3, 2)
    with admission.admit("a"), admission.admit("a"), admission.admit("b"):
        assert admission.streams == 3


def test_stream_above_the_total_limit_is_rejected():
    admission = Admission(2, 2)
    with admission.admit("a"), admission.admit("b"), pytest.raises(TooManyStreams) as refused, admission.admit("c"):
        pass
    assert refused.value.headers["Retry-After"]
    assert admission.refused == 1


def test_stream_above_the_clients_limit_is_rejected_and_others_are_not():
    admission = Admission(9, 1)
    with admission.admit("a"):
        with pytest.raises(TooManyStreams), admission.admit("a"):
            pass
        with admission.admit("b"):
            assert admission.streams == 2


def test_closed_stream_frees_its_slot():
    admission = Admission(1, 1)
    for _ in range(3):
        with admission.admit("a"):
            pass
    assert admission.streams == 0


def test_clients_without_streams_are_forgotten():
    admission = Admission(9, 9)
    for client in range(100):
        with admission.admit(str(client)):
            pass
    assert not admission._open
