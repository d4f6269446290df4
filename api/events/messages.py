"""The messages of live streams about trainings."""

import math
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from api.domain.tasks.progress import Point
from api.domain.tasks.training import EventKind
from api.streaming.models import EventWithStatus, Message, MessageType, TaskEnd, Topic
from api.training.attempts.watch.series import EPOCH_LOSS, TAGS
from api.training.views import TaskProgressView
from api.util.clock import time_of
from api.util.http.envelope import encode_message

_SHORT = {tag: name for name, tag in TAGS.items()}


def status_message(entry: EventWithStatus) -> Message:
    """Return the message about an event of a task."""
    event = entry.event
    shown = {each.name: getattr(event, each.name) for each in fields(event) if each.name != "task_id"}
    data = {"task_id": event.task_id, "status": entry.status, "event": shown}
    return Message(
        Topic.TASK,
        MessageType.STATUS,
        encode_message(MessageType.STATUS, data, event.timestamp),
        task_id=event.task_id,
        position=event.id,
        status=entry.status if event.type is EventKind.STATUS else None,
    )


def progress_message(view: TaskProgressView) -> Message:
    """Return the message about a task's progress."""
    json = encode_message(MessageType.PROGRESS, view, view.updated_at)
    return Message(Topic.TASK, MessageType.PROGRESS, json, task_id=view.task_id, status=view.status)


def points_message(task_id: str, points: Sequence[Point], now: datetime) -> Message:
    """Return the message about new points of a task's series."""
    json = encode_message(MessageType.METRICS, {"task_id": task_id, "points": [_show(p) for p in points]}, now)
    return Message(Topic.TASK, MessageType.METRICS, json, task_id=task_id, is_detail=True)


def _show(point: Point) -> dict[str, Any]:
    over_epochs = point.tag == EPOCH_LOSS
    return {
        "metric": _SHORT.get(point.tag, point.tag),
        "step": None if over_epochs else point.step,
        "epoch": point.step if over_epochs else None,
        "value": point.value if math.isfinite(point.value) else None,
        "timestamp": time_of(point.at),
    }


def end_message(end: TaskEnd, position: int, now: datetime) -> Message:
    """Return the message about how a task ended, with the id of its event."""
    json = encode_message(MessageType.END, end, now)
    return Message(Topic.TASK, MessageType.END, json, end.task_id, position, end.status, is_detail=True)


def system_message(level: str, message: str, now: datetime, **facts: Any) -> Message:
    """Return a message about the service itself."""
    json = encode_message(MessageType.SYSTEM, {"level": level, "message": message, **facts}, now)
    return Message(Topic.SYSTEM, MessageType.SYSTEM, json)
