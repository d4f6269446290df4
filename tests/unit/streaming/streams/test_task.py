"""The stream of one task, with a log and a database that a test simulates."""

import pytest

from api.errors import Invalid, TaskNotFound
from api.events.stream import create_task_stream, read_options
from api.logs.stream_output import FakeTaskOutput
from api.streaming.addresses import StreamRequest
from api.streaming.blocking_reads import BlockingReads
from api.streaming.broker import Broker
from api.streaming.subscription import TooSlow
from tests.unit.streaming.builders import end, metrics, play, progress, status
from tests.unit.streaming.streams.following import COMPLETED, QUEUED, RUNNING, Following, follow


def test_stream_starts_with_the_current_status_and_progress():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, QUEUED), (2, RUNNING), (3, None))) as stream:
            assert await stream.some(2) == [("status", "2:"), ("progress", "3:")]

    play(scene)


def test_messages_are_sent_in_order():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING))) as stream:
            await stream.some(2)
            for message in (status(position=2), metrics(), progress(), status(position=3, current=None)):
                broker.publish(message)
            assert await stream.some(4) == [("status", "2:"), ("metrics", "2:"), ("progress", "2:"), ("status", "3:")]

    play(scene)


def test_only_selected_types_are_sent():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=metrics") as stream:
            for message in (status(position=2), progress(), metrics()):
                broker.publish(message)
            assert await stream.next() == ("metrics", "2:")

    play(scene)


def test_messages_that_are_not_selected_block_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.streaming.subscription.TOGETHER_BYTES", 1)

    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=metrics") as stream:
            for message in (progress(), progress(), metrics()):
                broker.publish(message)
            assert await stream.next() == ("metrics", "1:")

    play(scene)


def test_reconnecting_client_gets_every_missed_event():
    async def scene(broker: Broker) -> None:
        events = [(number, RUNNING) for number in range(1, 8)]
        async with follow(broker, Following(*events, immediately=2), "types=status", last_id="2:") as stream:
            assert await stream.some(5) == [("status", f"{number}:") for number in range(3, 8)]

    play(scene)


def test_event_that_was_read_from_the_database_is_not_sent_again():
    async def scene(broker: Broker) -> None:
        following = Following((1, RUNNING), (2, RUNNING))
        async with follow(broker, following, "types=status", last_id="1:") as stream:
            for position in (1, 2, 3):
                broker.publish(status(position=position))
            assert await stream.some(2) == [("status", "2:"), ("status", "3:")]
            assert await stream.is_silent()

    play(scene)


@pytest.mark.parametrize("last_id", ["garbage", "1-2", ":", "1", "99999999999999999999:0", "-1:0", "9:", "٣:1"])
def test_invalid_id_gets_a_reset_and_the_current_state(last_id: str):
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=status", last_id=last_id) as stream:
            assert await stream.some(2) == [("reset", None), ("status", "1:")]

    play(scene)


def test_unknown_task_is_not_found_before_anything_is_sent():
    async def scene(broker: Broker) -> None:
        reads = BlockingReads()
        opener = create_task_stream(broker, Following((1, RUNNING)), reads, FakeTaskOutput().follow)  # type: ignore[arg-type]
        with pytest.raises(TaskNotFound):
            async with opener(StreamRequest({"task_id": "other"}, "", None)):
                pass
        assert broker.subscribers == 0
        reads.stop()

    play(scene)


def test_stream_ends_when_the_task_has_finished():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING))) as stream:
            await stream.some(2)
            for message in (
                metrics(),
                progress(status=COMPLETED),
                status(position=2, current=COMPLETED),
                end(position=2),
            ):
                broker.publish(message)
            assert [type_ for type_, _ in await stream.rest()] == ["metrics", "progress", "status", "end"]

    play(scene)


def test_stream_of_a_finished_task_gets_its_end_immediately():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED))) as stream:
            assert await stream.rest() == [("status", "2:"), ("progress", "2:"), ("end", "2:")]

    play(scene)


def test_client_that_reconnects_after_the_end_gets_the_end_again():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED)), "types=status", "2:") as stream:
            assert await stream.rest() == [("end", "2:")]

    play(scene)


def test_stream_continues_if_the_task_is_resumed_during_its_end():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED)), "types=status", "1:") as stream:
            assert await stream.next() == ("status", "2:")
            for message in (status(position=3, current=QUEUED), status(position=4, current=RUNNING)):
                broker.publish(message)
            assert await stream.some(2) == [("status", "3:"), ("status", "4:")]
            assert await stream.is_silent()

    play(scene)


def test_end_of_an_earlier_run_does_not_end_the_stream_of_a_resumed_task():
    async def scene(broker: Broker) -> None:
        following = Following((1, RUNNING), (2, COMPLETED), (3, QUEUED))
        async with follow(broker, following, "types=status") as stream:
            for message in (status(position=2, current=COMPLETED), end(position=2), status(position=3, current=QUEUED)):
                broker.publish(message)
            assert await stream.next() == ("status", "3:")
            assert await stream.is_silent()

    play(scene)


def test_change_of_a_finished_task_does_not_prevent_the_end():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput()
        following = Following((1, RUNNING), (2, COMPLETED))
        async with follow(broker, following, "types=status,log", "1:0", log) as stream:
            assert await stream.next() == ("status", "2:0")
            broker.publish(status(position=3, current=None))
            assert await stream.next() == ("status", "3:0")
            log.ended.set()
            assert await stream.rest() == [("end", "3:0")]

    play(scene)


def test_stream_is_closed_when_the_server_ends():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=log,status") as stream:
            await stream.next()
            broker.close()
            assert await stream.rest() == [("closing", None)]

    play(scene)


def test_slow_reader_is_notified_and_dropped():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=status") as stream:
            await stream.next()
            for position in range(2, 500):
                broker.publish(status(position=position))
            assert await stream.next() == ("closing", None)
            with pytest.raises(TooSlow):
                await stream.next()

    play(scene)


def test_all_mistakes_are_reported_together():
    with pytest.raises(Invalid) as refused:
        read_options(StreamRequest({}, "types=x&offset=1&tail=2&level=info", None))
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/types", "", "/level"}
