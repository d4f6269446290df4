from api.alerts.stream import create_alerts_stream
from api.domain.sight import Sight, seeing
from api.streaming.addresses import Asked
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from tests.unit.streaming.builders import play, settle, system


def alert(name: str, owner: str | None = None) -> Message:
    json = f'{{"type":"alert","data":"{name}"}}'.encode()
    return Message(Topic.ALERT, MessageType.ALERT, json, owner=owner, is_personal=owner is not None)


def ask(last_id: str | None = None) -> Asked:
    return Asked({}, "", last_id)


def test_each_change_is_told_and_nothing_else():
    async def scene(broker: Broker) -> list[bytes]:
        async with create_alerts_stream(broker)(ask()) as frames:
            broker.publish(system())
            broker.publish(alert("a"))
            await settle()
            return [frame.json for frame in await anext(frames)]

    assert play(scene) == [b'{"type":"alert","data":"a"}']


def test_who_comes_back_gets_what_was_missed_or_is_told_to_begin_anew():
    async def scene(broker: Broker) -> tuple[list[str], list[str]]:
        async with create_alerts_stream(broker)(ask()) as frames:
            broker.publish(alert("a"))
            await settle()
            last = (await anext(frames))[-1].id
        broker.publish(alert("b"))
        async with create_alerts_stream(broker)(ask(last)) as frames:
            missed = [frame.json.decode()[-4:-2] for frame in await anext(frames)]
        async with create_alerts_stream(broker)(ask("unknown-1")) as frames:
            return missed, [frame.type.value for frame in await anext(frames)]

    assert play(scene) == (['"b'], ["reset"])


def test_what_is_anothers_is_not_told():
    async def scene(broker: Broker) -> list[bytes]:
        with seeing(Sight("bob", sees_all=False)):
            async with create_alerts_stream(broker)(ask()) as frames:
                for message in (alert("a", "ann"), alert("b", "bob"), alert("c")):
                    broker.publish(message)
                await settle()
                return [frame.json[-4:-2] for frame in await anext(frames)]

    assert play(scene) == [b'"b', b'"c']
