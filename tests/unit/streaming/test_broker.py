import asyncio
import contextlib
import threading
from dataclasses import replace

import pytest

from api.domain.access.read_scope import ReadScope
from api.domain.tasks.training import TaskStatus
from api.errors import Unavailable
from api.streaming import broker as broker_module
from api.streaming.broker import Broker
from api.streaming.models import StreamEnding, Topic
from api.streaming.subscription import TooSlow
from tests.unit.streaming.builders import drain, end, metrics, play, progress, settle, snapshot, status, system

CAPACITY = 4


def numbers(broker: Broker, topics: list[Topic], last_id: str | None) -> list[int]:
    return [published.number for published in broker.catch_up(topics, last_id).messages]


def test_every_subscriber_gets_every_message():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.GPU]) as first, broker.subscribe([Topic.GPU]) as second:
            for position in (1, 2, 3):
                broker.publish(snapshot(position))
            await settle()
            assert drain(first) == drain(second) == [1, 2, 3]

    play(scene)


def test_subscriber_gets_only_its_topics():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.TASK, Topic.SYSTEM]) as subscription:
            for message in (snapshot(), status(), system()):
                broker.publish(message)
            await settle()
            assert drain(subscription) == [2, 3]

    play(scene)


def test_subscriber_of_a_task_gets_only_its_messages_and_its_details():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.TASK], "mine") as mine, broker.subscribe([Topic.TASK]) as all_:
            for message in (status("mine"), status("other"), metrics("mine"), metrics("other"), end("mine")):
                broker.publish(message)
            await settle()
            assert drain(mine) == [1, 3, 5]
            assert drain(all_) == [1, 2]

    play(scene)


def test_latest_snapshot_and_progress_are_stored_for_later_subscribers():
    async def scene(broker: Broker) -> None:
        for message in (snapshot(1), snapshot(2), progress("a"), progress("b"), progress("a")):
            broker.publish(message)
        latest, of_a = broker.latest_snapshot(), broker.latest_progress("a")
        assert latest is not None
        assert of_a is not None
        assert (latest.number, of_a.number) == (2, 5)
        assert numbers(broker, [Topic.GPU, Topic.TASK], None) == [2, 4, 5]

    play(scene)


@pytest.mark.parametrize(
    "message", [end("a"), status("a", current=TaskStatus.FAILED), progress("a", TaskStatus.COMPLETED)]
)
def test_progress_of_an_inactive_task_is_forgotten(message):
    async def scene(broker: Broker) -> None:
        broker.publish(progress("a"))
        broker.publish(message)
        assert broker.latest_progress("a") is None

    play(scene)


def test_progress_of_tasks_without_a_reported_end_is_forgotten_on_request():
    async def scene(broker: Broker) -> None:
        broker.publish(progress("a"))
        broker.publish(progress("b"))
        broker.retain_progress({"b"})
        assert broker.latest_progress("a") is None
        assert broker.latest_progress("b") is not None

    play(scene)


def test_reconnecting_subscriber_gets_missed_messages_in_order():
    async def scene(broker: Broker) -> None:
        for message in (status("a", 1), system("b"), status("a", 2), snapshot(), metrics("a"), system("c")):
            broker.publish(message)
        missed = broker.catch_up([Topic.TASK, Topic.SYSTEM], f"{broker.boot}-1")
        assert [published.number for published in missed.messages] == [2, 3, 6]
        assert (missed.is_continued, missed.is_reset, missed.number) == (True, False, 6)

    play(scene)


def test_subscriber_that_missed_nothing_gets_nothing_again():
    async def scene(broker: Broker) -> None:
        broker.publish(progress("a"))
        missed = broker.catch_up([Topic.TASK], f"{broker.boot}-1")
        assert (missed.messages, missed.is_continued) == ((), True)

    play(scene)


@pytest.mark.parametrize(
    "last_id", ["other-1", "1", "", "-", "x" * 500, "{boot}-", "{boot}--1", "{boot}-2", "{boot}-1.0", "{boot}-٣"]
)
def test_unknown_id_gets_the_current_state_and_a_reset(last_id):
    async def scene(broker: Broker) -> None:
        broker.publish(progress("a"))
        missed = broker.catch_up([Topic.TASK], last_id.replace("{boot}", broker.boot))
        assert (len(missed.messages), missed.is_continued, missed.is_reset) == (1, False, True)

    play(scene)


def test_id_from_before_the_history_is_unknown(monkeypatch):
    monkeypatch.setattr(broker_module, "HISTORY", dict.fromkeys(Topic, 2))

    async def scene(broker: Broker) -> None:
        for position in range(1, 5):
            broker.publish(status("a", position))
        assert broker.catch_up([Topic.TASK], f"{broker.boot}-1").is_reset
        assert numbers(broker, [Topic.TASK], f"{broker.boot}-2") == [3, 4]

    play(scene)


def test_missed_snapshots_are_no_gap():
    async def scene(broker: Broker) -> None:
        for position in range(1, 10):
            broker.publish(snapshot(position))
        missed = broker.catch_up([Topic.GPU], f"{broker.boot}-3")
        assert ([published.number for published in missed.messages], missed.is_reset) == ([9], False)

    play(scene)


def test_message_before_the_loop_exists_is_stored():
    broker = Broker()
    broker.publish(snapshot())
    assert broker.latest_snapshot() is not None


def test_message_after_the_loop_has_ended_is_ignored():
    broker = Broker()

    async def scene() -> None:
        broker.attach(asyncio.get_running_loop())
        broker.subscribe([Topic.GPU]).__enter__()

    asyncio.run(scene())
    broker.publish(snapshot())
    assert broker.latest_snapshot() is not None


def test_lagging_subscriber_is_dropped_and_the_others_are_not():
    async def scene(broker: Broker) -> None:
        with (
            broker.subscribe([Topic.TASK], capacity=CAPACITY) as lagging,
            broker.subscribe([Topic.TASK], capacity=CAPACITY) as reading,
        ):
            seen: list[int] = []
            for position in range(CAPACITY + 5):
                broker.publish(status("a", position))
                await settle()
                seen += drain(reading)
            assert broker.subscribers == 1
            assert (lagging.ending, drain(lagging)) == (StreamEnding.TOO_SLOW, [])
            assert (seen, reading.ending) == (list(range(1, CAPACITY + 6)), None)
            assert (broker.dropped[Topic.TASK], broker.lost[Topic.TASK]) == (1, CAPACITY + 1)

    play(scene)


def test_subscriber_at_the_limit_of_its_queue_stays():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.TASK], capacity=CAPACITY) as slow:
            for position in range(CAPACITY):
                broker.publish(status("a", position))
            await settle()
            assert (broker.subscribers, slow.ending) == (1, None)

    play(scene)


def test_new_snapshot_replaces_one_that_was_not_fetched():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.GPU, Topic.TASK], capacity=CAPACITY, keeps_latest_snapshot=True) as slow:
            broker.publish(snapshot(1))
            broker.publish(status())
            for position in range(2, 20):
                broker.publish(snapshot(position))
            await settle()
            assert (slow.ending, drain(slow)) == (None, [2, 20])

    play(scene)


def test_subscriber_that_cannot_be_sent_to_counts_as_dropped():
    async def scene(broker: Broker) -> None:
        with contextlib.suppress(TooSlow), broker.subscribe([Topic.GPU]):
            raise TooSlow
        assert (broker.dropped[Topic.GPU], broker.subscribers) == (1, 0)

    play(scene)


def test_dropped_subscriber_is_counted_once():
    async def scene(broker: Broker) -> None:
        with contextlib.suppress(TooSlow), broker.subscribe([Topic.GPU], capacity=1):
            for position in range(3):
                broker.publish(snapshot(position))
            await settle()
            raise TooSlow
        assert broker.dropped[Topic.GPU] == 1

    play(scene)


def test_subscription_ends_with_its_block():
    async def scene(broker: Broker) -> None:
        with contextlib.suppress(ZeroDivisionError), broker.subscribe([Topic.GPU], "a"):
            assert broker.subscribers == 1
            raise ZeroDivisionError
        assert broker.subscribers == 0

    play(scene)


def test_close_ends_every_subscription_after_its_queue():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.GPU]) as subscription:
            broker.publish(snapshot())
            await settle()
            broker.close()
            assert [published.number async for some in subscription.after(0) for published in some] == [1]
            assert subscription.ending is StreamEnding.SERVER_ENDING
            with pytest.raises(Unavailable), broker.subscribe([Topic.GPU]):
                pass

    play(scene)


def test_close_can_be_requested_from_another_thread():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([]) as subscription:
            threading.Thread(target=broker.close_soon).start()
            assert [some async for some in subscription.after(0)] == []

    play(scene)


def test_dropped_subscriber_stays_dropped_when_the_server_shuts_down():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.GPU], capacity=1) as subscription:
            for position in range(3):
                broker.publish(snapshot(position))
            await settle()
            broker.close()
            assert subscription.ending is StreamEnding.TOO_SLOW

    play(scene)


LAST = 3000


async def follow(broker: Broker) -> list[int]:
    """What a subscriber sees that looks at the latest first, as the streams do."""
    with broker.subscribe([Topic.GPU]) as subscription:
        latest = broker.latest_snapshot()
        seen = [] if latest is None else [latest.number]
        async for some in subscription.after(seen[-1] if seen else 0):
            seen += [published.number for published in some]
            if seen[-1] == LAST:
                break
        return seen


def publish_all(broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
    # The loop frees slots, so that no subscriber is dropped for lagging.
    slots = threading.Semaphore(4)
    for position in range(1, LAST + 1):
        slots.acquire(timeout=20)
        broker.publish(snapshot(position))
        loop.call_soon_threadsafe(slots.release)


def test_no_message_is_lost_or_repeated_while_subscribing():
    async def scene(broker: Broker) -> list[list[int]]:
        thread = threading.Thread(target=publish_all, args=(broker, asyncio.get_running_loop()))
        thread.start()
        followers = []
        for _ in range(50):
            followers.append(asyncio.create_task(follow(broker)))
            await settle()
        found = await asyncio.gather(*followers)
        thread.join()
        return found

    for seen in play(scene):
        assert seen == list(range(seen[0], LAST + 1))


ANN = ReadScope("ann", sees_all=False)


def test_subscriber_of_all_tasks_gets_only_visible_ones():
    async def scene(broker: Broker) -> None:
        with broker.subscribe([Topic.TASK, Topic.SYSTEM], scope=ANN) as ann, broker.subscribe([Topic.TASK]) as every:
            for owner in ("ann", "bob", None):
                broker.publish(replace(status(), owner=owner))
            broker.publish(system())
            await settle()
            assert drain(ann) == [1, 4]
            assert drain(every) == [1, 2, 3]

    play(scene)


def test_missed_messages_and_current_state_contain_only_visible_ones():
    async def scene(broker: Broker) -> None:
        for task_id, owner in (("hers", "ann"), ("his", "bob")):
            broker.publish(replace(progress(task_id), owner=owner))
        for last_id in (None, f"{broker.boot}-0"):
            missed = broker.catch_up([Topic.TASK], last_id, ANN)
            assert [each.message.task_id for each in missed.messages] == ["hers"]
            assert missed.number == 2

    play(scene)
