"""The content of live streams, independent of the transport. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from api.domain.access.read_scope import ReadScope
from api.domain.tasks.cause import Cause
from api.domain.tasks.training import TaskEvent, TaskStatus


class Topic(StrEnum):
    """The subject of a message."""

    GPU = "gpu"  #: snapshots of this machine's GPUs; only the latest matters
    TASK = "task"  #: events and progress of trainings
    LOG = "log"  #: logs of trainings and of this server: read from files, at each reader's own pace
    SYSTEM = "system"  #: the service itself
    ALERT = "alert"  #: changes of alerts


class MessageType(StrEnum):
    """The type of a message, as clients see it."""

    SNAPSHOT = "snapshot"
    STATUS = "status"
    PROGRESS = "progress"
    METRICS = "metrics"
    LOG = "log"
    PARTIAL = "partial"
    DROPPED = "dropped"
    END = "end"
    SYSTEM = "system"
    ALERT = "alert"
    RESET = "reset"
    CLOSING = "closing"


class StreamEnding(StrEnum):
    """The reasons why the server ends a stream."""

    TOO_SLOW = "too_slow"
    SERVER_ENDING = "server_ending"
    ACCESS_ENDED = "access_ended"  #: the subscriber's access has ended
    NODE_GONE = "node_gone"  #: the only requested machine was deleted


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its complete JSON `{"type", "timestamp", "data"}`, and the fields that decide who receives it."""

    topic: Topic
    type: MessageType
    json: bytes
    task_id: str | None = None
    position: int | None = None  #: the number of the snapshot, or the id of the task's (latest) event
    status: TaskStatus | None = None  #: the task's status after this message; None if the message does not report it
    is_detail: bool = False  #: whether only subscribers of this one task receive it
    owner: str | None = None  #: owner of the task
    is_personal: bool = False  #: whether it is about another resource of the owner than a task
    restricted: bytes | None = None  #: the JSON for users who may not see everything; None: the same
    show: Callable[[ReadScope], bytes] | None = None  #: returns that JSON, if it differs between readers
    show_node: Callable[[ReadScope, str], bytes] | None = None  #: returns the JSON about one node; raises NodeNotFound

    def shown_to(self, scope: ReadScope, node: str | None = None) -> bytes:
        """Return the JSON for a reader with this scope; with `node`, only about this machine. Raises NodeNotFound."""
        if node is not None and self.show_node is not None:
            return self.show_node(scope, node)
        if scope.is_whole:
            return self.json
        return self.show(scope) if self.show is not None else self.restricted or self.json

    def concerns(self, scope: ReadScope) -> bool:
        """Return whether a reader with this scope receives the message."""
        return (self.task_id is None and not self.is_personal) or scope.sees(self.owner)


@dataclass(frozen=True, slots=True)
class EventWithStatus:
    """An event, and the status of its task after it."""

    event: TaskEvent
    status: TaskStatus


@dataclass(frozen=True, slots=True)
class EventPosition:
    """Events of a task up to `last_id`, and the task's current status, read together."""

    status: TaskStatus
    events: tuple[EventWithStatus, ...]
    last_id: int  #: id of the latest event in `events`
    has_more: bool  #: whether later events exist


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended."""

    task_id: str
    status: TaskStatus
    failure: Cause | None
    exit_code: int | None
    next_offset: int | None = None  #: where its log continues if the task is resumed; None if the log was not followed
