import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from api.domain.tasks.progress import Point
from api.domain.tasks.training import EventKind, TaskEvent, TaskStatus
from api.events.messages import end_message, points_message, status_message, system_message
from api.streaming.models import EventWithStatus, Message, MessageType, TaskEnd, Topic
from api.training.attempts.watch.series import EPOCH_LOSS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def data(message: Message) -> Any:
    whole = json.loads(message.json)
    assert (whole["type"], whole["timestamp"]) == (message.type, "2026-01-01T00:00:00Z")
    return whole["data"]


def event(kind: EventKind) -> TaskEvent:
    return TaskEvent(7, "a", "a.1", NOW, kind, "queued", "starting", "ann", "it has its GPUs")


def test_event_has_the_status_of_its_task_at_that_time():
    message = status_message(EventWithStatus(event(EventKind.STATUS), TaskStatus.STARTING))
    assert (message.task_id, message.position, message.status) == ("a", 7, TaskStatus.STARTING)
    shown = data(message)
    assert (shown["task_id"], shown["status"]) == ("a", "starting")
    assert (shown["event"]["id"], shown["event"]["previous"], shown["event"]["current"]) == (7, "queued", "starting")


def test_event_of_another_kind_has_no_status():
    message = status_message(EventWithStatus(event(EventKind.CHECKPOINT), TaskStatus.RUNNING))
    assert (message.status, data(message)["status"]) == (None, "running")


@pytest.mark.parametrize(
    ("point", "shown"),
    [
        (Point("train/loss", 3, 0.5, 0.0), ("loss", 3, None, 0.5)),
        (Point("train/loss", 3, math.nan, 0.0), ("loss", 3, None, None)),
        (Point("own/tag", 3, 1.0, 0.0), ("own/tag", 3, None, 1.0)),
        (Point(EPOCH_LOSS, 2, 0.5, 0.0), ("epoch_loss", None, 2, 0.5)),
    ],
)
def test_points_are_only_for_subscribers_of_the_task(point: Point, shown: tuple[Any, ...]):
    message = points_message("a", [point], NOW)
    assert (message.topic, message.type, message.is_detail) == (Topic.TASK, MessageType.METRICS, True)
    (point,) = data(message)["points"]
    assert tuple(point[name] for name in ("metric", "step", "epoch", "value")) == shown
    assert point["timestamp"] == "1970-01-01T00:00:00Z"


def test_end_has_the_outcome_and_its_event():
    message = end_message(TaskEnd("a", TaskStatus.FAILED, None, 3), 9, NOW)
    assert (message.position, message.status, message.is_detail) == (9, TaskStatus.FAILED, True)
    assert data(message) == {
        "task_id": "a",
        "status": "failed",
        "failure": None,
        "exit_code": 3,
        "next_offset": None,
    }


def test_system_message_belongs_to_no_task():
    message = system_message("warning", "Something.", NOW, dropped=3)
    assert (message.topic, message.task_id) == (Topic.SYSTEM, None)
    assert data(message) == {"level": "warning", "message": "Something.", "dropped": 3}
