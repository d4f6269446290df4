import pytest

from api.composition.live import create_events_stream
from api.errors import Invalid
from api.streaming.addresses import StreamRequest
from api.streaming.broker import Broker
from tests.unit.streaming.builders import metrics, play, progress, settle, snapshot, status, system


def request(query: str = "", last_id: str | None = None) -> StreamRequest:
    return StreamRequest({}, query, last_id)


def test_current_state_comes_first_and_its_last_frame_has_the_id():
    async def scene(broker: Broker) -> list[tuple[str, bool]]:
        broker.publish(snapshot())
        broker.publish(progress())
        await settle()
        async with create_events_stream(broker)(request()) as frames:
            return [(frame.type.value, frame.id is not None) for frame in await anext(frames)]

    assert play(scene) == [("snapshot", False), ("progress", True)]


def test_new_messages_follow_without_details_of_one_task():
    async def scene(broker: Broker) -> list[str]:
        async with create_events_stream(broker)(request()) as frames:
            await anext(frames)
            for message in (status(), metrics(), system()):
                broker.publish(message)
            await settle()
            return [frame.type.value for frame in await anext(frames)]

    assert play(scene) == ["status", "system"]


def test_only_selected_topics_are_sent():
    async def scene(broker: Broker) -> list[str]:
        async with create_events_stream(broker)(request("topics=system")) as frames:
            await anext(frames)
            for message in (snapshot(), status(), system()):
                broker.publish(message)
            await settle()
            return [frame.type.value for frame in await anext(frames)]

    assert play(scene) == ["system"]


@pytest.mark.parametrize("by_header", [True, False])
def test_reconnecting_client_gets_missed_messages_once(by_header: bool):
    async def scene(broker: Broker) -> tuple[list[str], list[str]]:
        async with create_events_stream(broker)(request()) as frames:
            await anext(frames)
            broker.publish(status(position=1))
            await settle()
            last = (await anext(frames))[-1].id
        broker.publish(status(position=2))
        await settle()
        back = request("", last) if by_header else request(f"last_event_id={last}")
        async with create_events_stream(broker)(back) as frames:
            return [last or ""], [frame.json.decode() for frame in await anext(frames)]

    _, missed = play(scene)
    assert missed == ['{"type":"status","data":2}']


def test_id_of_an_earlier_process_gets_a_reset():
    async def scene(broker: Broker) -> list[str]:
        broker.publish(snapshot())
        await settle()
        async with create_events_stream(broker)(request("", "elsewhere-7")) as frames:
            return [frame.type.value for frame in await anext(frames)]

    assert play(scene) == ["reset", "snapshot"]


def test_invalid_query_opens_nothing():
    async def scene(broker: Broker) -> None:
        with pytest.raises(Invalid):
            async with create_events_stream(broker)(request("topics=weather")):
                pass
        assert not broker.subscribers

    play(scene)
