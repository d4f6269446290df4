"""Messages for tests, and a loop to run a scene in."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from api.domain.tasks.training import TaskStatus
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from api.streaming.subscription import Subscription

Scene = Callable[[Broker], Coroutine[Any, Any, Any]]


def play(scene: Scene) -> Any:
    async def run() -> Any:
        broker = Broker()
        broker.attach(asyncio.get_running_loop())
        return await asyncio.wait_for(scene(broker), 20)

    return asyncio.run(run())


async def settle() -> None:
    # Twice: once for scheduled callbacks, once for what these wake.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def snapshot(position: int = 1) -> Message:
    return Message(Topic.GPU, MessageType.SNAPSHOT, b'{"type":"snapshot"}', position=position)


def system(text: str = "") -> Message:
    return Message(Topic.SYSTEM, MessageType.SYSTEM, b'{"type":"system","data":"%b"}' % text.encode())


def progress(task_id: str = "t", status: TaskStatus = TaskStatus.RUNNING) -> Message:
    return Message(Topic.TASK, MessageType.PROGRESS, b'{"type":"progress","data":{}}', task_id, status=status)


def status(
    task_id: str = "t", position: int = 1, current: TaskStatus | None = TaskStatus.RUNNING, json: bytes | None = None
) -> Message:
    json = json or b'{"type":"status","data":%d}' % position
    return Message(Topic.TASK, MessageType.STATUS, json, task_id, position, current)


def end(task_id: str = "t", position: int = 1) -> Message:
    json = b'{"type":"end","data":{"task_id":"t"}}'
    return Message(Topic.TASK, MessageType.END, json, task_id, position, TaskStatus.COMPLETED, is_detail=True)


def metrics(task_id: str = "t") -> Message:
    return Message(Topic.TASK, MessageType.METRICS, b'{"type":"metrics","data":{}}', task_id, is_detail=True)


def drain(subscription: Subscription) -> list[int]:
    """The numbers of what waits."""
    numbers: list[int] = []
    while taken := subscription.take():
        numbers += [published.number for published in taken]
    return numbers
