from api.alerts.stream import create_alerts_stream
from api.domain.access.read_scope import ReadScope, seeing
from api.streaming.addresses import StreamRequest
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from tests.unit.streaming.builders import play, settle, system


def alert(name: str, owner: str | None = None) -> Message:
    json = f'{{"type":"alert","data":"{name}"}}'.encode()
    return Message(Topic.ALERT, MessageType.ALERT, json, owner=owner, is_personal=owner is not None)


def request(last_id: str | None = None) -> StreamRequest:
    return StreamRequest({}, "", last_id)


def test_each_change_is_sent_and_nothing_else():
    async def scene(broker: Broker) -> list[bytes]:
        async with create_alerts_stream(broker)(request()) as frames:
            broker.publish(system())
            broker.publish(alert("a"))
            await settle()
            return [frame.json for frame in await anext(frames)]

    assert play(scene) == [b'{"type":"alert","data":"a"}']


def test_reconnecting_client_gets_missed_changes_or_a_reset():
    async def scene(broker: Broker) -> tuple[list[str], list[str]]:
        async with create_alerts_stream(broker)(request()) as frames:
            broker.publish(alert("a"))
            await settle()
            last = (await anext(frames))[-1].id
        broker.publish(alert("b"))
        async with create_alerts_stream(broker)(request(last)) as frames:
            missed = [frame.json.decode()[-4:-2] for frame in await anext(frames)]
        async with create_alerts_stream(broker)(request("unknown-1")) as frames:
            return missed, [frame.type.value for frame in await anext(frames)]

    assert play(scene) == (['"b'], ["reset"])


def test_alerts_of_other_users_are_not_sent():
    async def scene(broker: Broker) -> list[bytes]:
        with seeing(ReadScope("bob", sees_all=False)):
            async with create_alerts_stream(broker)(request()) as frames:
                for message in (alert("a", "ann"), alert("b", "bob"), alert("c")):
                    broker.publish(message)
                await settle()
                return [frame.json[-4:-2] for frame in await anext(frames)]

    assert play(scene) == [b'"b', b'"c']
