"""The brokers of two processes, with a real Redis between them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from redis import Redis

from api.domain.access.read_scope import WHOLE, ReadScope
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from api.streaming.redis_link import CAPACITY, LONGEST_MESSAGE, RedisLink, _encode
from tests.redis_servers import OwnRedis, private_channel, require_redis
from tests.unit.streaming.builders import end, metrics, progress, snapshot, status

PATIENCE = 10.0


class Server:
    """The objects of one server process."""

    def __init__(self, url: str, channel: str) -> None:
        self.broker = Broker()
        self.messages: list[Message] = []
        publish = self.broker.publish

        def keep(message: Message) -> None:
            self.messages.append(message)
            publish(message)

        self.broker.publish = keep  # type: ignore[method-assign]
        self.announced = 0
        self.link = RedisLink(url, channel, self.broker, self._note)

    def _note(self) -> None:
        self.announced += 1

    def types(self) -> list[str]:
        return [message.type.value for message in self.messages]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def serve(stack: ExitStack, url: str, channel: str) -> Server:
    server = Server(url, channel)
    server.link.start()
    stack.callback(server.link.stop)
    return server


@pytest.fixture
def two(stack: ExitStack) -> tuple[Server, Server]:
    url, channel = require_redis(), private_channel()
    first, second = serve(stack, url, channel), serve(stack, url, channel)
    until(lambda: first.link.is_listening and second.link.is_listening)
    return first, second


def test_message_reaches_the_other_server_once(two: tuple[Server, Server]):
    first, second = two
    message = progress()
    first.link.publish(message)
    first.link.publish(metrics())
    until(lambda: len(second.messages) == 2)
    assert second.messages[0] == message
    assert second.messages[1].is_detail
    assert first.types() == ["progress", "metrics"]


def test_messages_that_are_in_the_database_are_only_announced(two: tuple[Server, Server]):
    first, second = two
    announced = second.announced
    for message in (status(), end(), snapshot()):
        first.link.publish(message)
    first.link.announce_events()
    until(lambda: second.announced > announced)
    assert second.messages == []


def test_servers_of_other_storages_receive_nothing(two: tuple[Server, Server], stack: ExitStack):
    other = serve(stack, require_redis(), private_channel())
    until(lambda: other.link.is_listening)
    two[0].link.publish(progress())
    until(lambda: two[1].messages)
    assert other.messages == []


def packet(**changes: object) -> bytes:
    good = {
        "from": "other",
        "topic": "task",
        "type": "progress",
        "task_id": "t",
        "status": "running",
        "is_detail": False,
        "message": {"type": "progress", "timestamp": "2026-01-01T00:00:00Z", "data": {}},
    }
    return orjson.dumps({**good, **changes})


def test_packet_is_passed_on():
    server = Server("redis://127.0.0.1:1/0", "channel")
    server.link.receive(packet())
    assert server.types() == ["progress"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"[" * 5000,
        packet(type="end"),
        packet(type="nonsense"),
        packet(topic="nonsense"),
        packet(status="nonsense"),
        packet(status=7),
        packet(task_id="../x"),
        packet(task_id=7),
        packet(message="text"),
        packet(message=None),
        packet(message={"type": "progress"}),
        packet(message={"type": "closing", "data": {}}),
        packet(message={"type": "progress", "data": []}),
        packet(message={"type": "progress", "data": {"x": "y" * LONGEST_MESSAGE}}),
    ],
)
def test_invalid_packet_is_rejected_and_counted(content: bytes):
    server = Server("redis://127.0.0.1:1/0", "channel")
    server.link.receive(content)
    assert (server.messages, server.link.refused) == ([], 1)


def test_garbage_on_the_channel_does_not_end_the_listener(stack: ExitStack):
    url, channel = require_redis(), private_channel()
    server = serve(stack, url, channel)
    until(lambda: server.link.is_listening)
    with Redis.from_url(url) as client:
        for content in (b"\xff", b"{", packet()):
            client.publish(channel, content)
    until(lambda: server.messages)
    assert server.link.refused == 2


def test_without_redis_messages_stay_here_and_count_as_lost(stack: ExitStack, caplog: pytest.LogCaptureFixture):
    server = serve(stack, "redis://127.0.0.1:1/0", "channel")
    for number in range(1, 6):
        server.link.publish(progress())
        until(lambda lost=number: server.link.lost == lost)
    assert server.types() == ["progress"] * 5
    assert not server.link.is_listening
    assert [record.message for record in caplog.records if "Redis" in record.message] == [
        "Redis is unavailable: live messages stay in this process"
    ]


def test_queue_is_bounded():
    server = Server("redis://127.0.0.1:1/0", "channel")
    for _ in range(CAPACITY + 10):
        server.link.publish(progress())
    assert server.link.lost == 10


def test_password_is_in_no_log_line(stack: ExitStack, caplog: pytest.LogCaptureFixture):
    server = serve(stack, "redis://user:s3cret@127.0.0.1:1/0", "channel")
    server.link.publish(progress())
    until(lambda: caplog.records)
    assert "s3cret" not in caplog.text


@pytest.mark.slow
def test_link_recovers_when_redis_is_back(tmp_path: Path, stack: ExitStack, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    own, channel = stack.enter_context(OwnRedis(tmp_path)), private_channel()
    own.start()
    first, second = serve(stack, own.url, channel), serve(stack, own.url, channel)
    for _ in range(2):
        until(lambda: first.link.is_listening and second.link.is_listening)
        own.kill()
        until(lambda: not first.link.is_listening and not second.link.is_listening)
        first.link.publish(progress())
        announced = second.announced
        own.start()
        until(lambda: first.link.is_listening and second.link.is_listening)
        # Events in the meantime were not announced: they are read.
        assert second.announced > announced
        second.messages.clear()
        first.link.publish(metrics())
        until(second.types)
        assert second.types() == ["metrics"]
    logged = [record.message for record in caplog.records if "Redis" in record.message]
    assert logged.count("Redis is available again") == 4
    assert len(logged) == 8


def test_hanging_redis_blocks_nothing(tmp_path: Path, stack: ExitStack):
    own = stack.enter_context(OwnRedis(tmp_path))
    own.start()
    server = serve(stack, own.url, private_channel())
    until(lambda: server.link.is_listening)
    own.freeze()
    for _ in range(100):
        server.link.publish(progress())
    assert len(server.messages) == 100
    until(lambda: server.link.lost)
    own.thaw()
    until(lambda: server.link.is_listening)


def test_system_messages_are_forwarded(two: tuple[Server, Server]):
    message = Message(
        Topic.SYSTEM, MessageType.SYSTEM, b'{"type":"system","timestamp":"2026-01-01T00:00:00Z","data":{}}'
    )
    two[0].link.publish(message)
    until(lambda: two[1].messages)
    assert two[1].messages == [message]


def test_owner_and_restricted_json_are_forwarded():
    sender, receiver = (Server("redis://127.0.0.1:1", "unused") for _ in range(2))
    message = replace(progress("hers"), owner="ann", restricted=orjson.dumps({"type": "progress", "data": {}}))
    receiver.link.receive(_encode(sender.broker.boot, message))
    (got,) = receiver.messages
    assert (got.owner, got.restricted) == ("ann", message.restricted)


def test_message_without_an_owner_is_only_for_those_who_see_everything():
    sender, receiver = (Server("redis://127.0.0.1:1", "unused") for _ in range(2))
    packet = orjson.loads(_encode(sender.broker.boot, progress("hers")))
    receiver.link.receive(orjson.dumps({name: value for name, value in packet.items() if name != "owner"}))
    (got,) = receiver.messages
    assert not got.concerns(ReadScope("ann", sees_all=False))
    assert got.concerns(WHOLE)
