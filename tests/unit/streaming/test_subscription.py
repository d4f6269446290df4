"""The queue of one subscriber."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from api.domain.access.read_scope import WHOLE, ReadScope
from api.streaming.models import Message, MessageType, StreamEnding, Topic
from api.streaming.subscription import TOGETHER_BYTES, Published, Subscription
from tests.unit.streaming.builders import drain, progress, snapshot, system


def published(number: int, message: Message | None = None) -> Published:
    return Published(number, message or system(), "boot")


def test_queued_messages_are_taken_once_in_order():
    subscription = Subscription()
    for number in (1, 2, 3):
        assert subscription.put(published(number))
    assert drain(subscription) == [1, 2, 3]
    assert drain(subscription) == []


def test_subscriber_that_is_too_far_behind_is_dropped_with_its_queue():
    subscription = Subscription(capacity=2)
    assert [subscription.put(published(number)) for number in (1, 2, 3)] == [True, True, False]
    assert subscription.drop() == {Topic.SYSTEM: 2}
    assert (subscription.ending, drain(subscription)) == (StreamEnding.TOO_SLOW, [])


def test_new_snapshot_replaces_a_queued_one():
    latest, every = Subscription(capacity=2, keeps_latest_snapshot=True), Subscription(capacity=9)
    for subscription in (latest, every):
        subscription.put(published(1, snapshot(1)))
        subscription.put(published(2))
        subscription.put(published(3, snapshot(2)))
    assert (drain(latest), drain(every)) == ([2, 3], [1, 2, 3])


def test_size_of_messages_taken_together_is_limited():
    large = Message(Topic.SYSTEM, MessageType.SYSTEM, b"x" * (TOGETHER_BYTES // 2 + 1))
    subscription = Subscription()
    for number in range(5):
        subscription.put(published(number, large))
    assert [len(subscription.take()) for _ in range(4)] == [2, 2, 1, 0]


def test_first_reason_to_end_counts():
    subscription = Subscription()
    subscription.end()
    subscription.drop()
    assert subscription.ending is StreamEnding.SERVER_ENDING


def test_messages_are_yielded_until_the_queue_is_empty_at_the_end():
    async def scene() -> list[list[int]]:
        subscription = Subscription()
        subscription.put(published(1))
        subscription.put(published(2))
        seen: list[list[int]] = []
        frames: AsyncGenerator[list[Published], None] = subscription.after(1)
        seen.append([each.number for each in await anext(frames)])
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        assert not waiting.done()
        subscription.put(published(3))
        seen.append([each.number for each in await waiting])
        subscription.put(published(4))
        subscription.end()
        seen += [[each.number for each in some] async for some in frames]
        return seen

    assert asyncio.run(asyncio.wait_for(scene(), 5)) == [[2], [3], [4]]


def test_message_is_encoded_once_with_an_id_of_boot_and_number():
    made = published(7, snapshot(3))
    assert (made.frame().id, made.snapshot_frame().id) == ("boot-7", "3")


def test_each_scope_has_its_own_bytes_encoded_once():
    made: list[ReadScope] = []

    def show(scope: ReadScope) -> bytes:
        made.append(scope)
        return b'{"for":"%b"}' % (scope.owner or "").encode()

    ann, bob = (ReadScope(name, sees_all=False) for name in ("ann", "bob"))
    published = Published(1, replace(snapshot(), show=show), "boot")
    assert published.frame(ann) is published.frame(ReadScope("ann", sees_all=False))
    assert published.snapshot_frame(bob).json == b'{"for":"bob"}'
    assert published.frame().json == snapshot().json
    assert made == [ann, bob]


def test_reader_who_may_not_see_everything_gets_the_restricted_json():
    ann, message = ReadScope("ann", sees_all=False), progress()
    assert message.shown_to(ann) == message.json
    assert replace(message, restricted=b"{}").shown_to(ann) == b"{}"
    assert replace(message, restricted=b"{}").shown_to(WHOLE) == message.json
