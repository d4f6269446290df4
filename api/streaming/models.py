"""What live streams carry, before it is framed for a transport. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from api.domain.cause import Cause
from api.domain.sight import Sight
from api.domain.training import TaskEvent, TaskStatus


class Topic(StrEnum):
    """What a message is about."""

    GPU = "gpu"  #: snapshots of this machine's GPUs: only the latest matters
    TASK = "task"  #: what happens to trainings
    LOG = "log"  #: what trainings, and this server, print: from files, at each reader's own pace
    SYSTEM = "system"  #: the service itself
    ALERT = "alert"  #: what fires, and what becomes of it


class MessageType(StrEnum):
    """What a message says; the word that clients compare."""

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
    """Why the server ends a stream by itself."""

    TOO_SLOW = "too_slow"
    SERVER_ENDING = "server_ending"
    ACCESS_ENDED = "access_ended"  #: the subscriber may no longer have it
    NODE_GONE = "node_gone"  #: the machine that alone was asked for is known no more


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its whole JSON `{"type", "timestamp", "data"}`, and what decides who gets it."""

    topic: Topic
    type: MessageType
    json: bytes
    task_id: str | None = None
    position: int | None = None  #: the number of the snapshot, or the id of the task's (latest) event
    status: TaskStatus | None = None  #: the task's status after this message; None where it tells of something else
    is_detail: bool = False  #: only for those who follow this one task
    owner: str | None = None  #: the user that the task belongs to
    is_personal: bool = False  #: about something of the owner's that is no task
    restricted: bytes | None = None  #: the JSON for those who may not see everything; None: the same
    show: Callable[[Sight], bytes] | None = None  #: makes that JSON, where it is another one for each sight
    show_node: Callable[[Sight, str], bytes] | None = None  #: makes the JSON about this node alone; raises NodeNotFound

    def shown_to(self, sight: Sight, node: str | None = None) -> bytes:
        """The JSON that a reader with this sight gets; with `node` about this machine alone. Raises NodeNotFound."""
        if node is not None and self.show_node is not None:
            return self.show_node(sight, node)
        if sight.is_whole:
            return self.json
        return self.show(sight) if self.show is not None else self.restricted or self.json

    def concerns(self, sight: Sight) -> bool:
        """Whether a reader with this sight gets it at all."""
        return (self.task_id is None and not self.is_personal) or sight.sees(self.owner)


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event, and the status that its task had by then."""

    event: TaskEvent
    status: TaskStatus


@dataclass(frozen=True, slots=True)
class EventPosition:
    """Events of a task up to `last_id`, and the status that it has now, all read in one moment."""

    status: TaskStatus
    events: tuple[ToldEvent, ...]
    last_id: int  #: the id of the latest event in `events`
    has_more: bool  #: whether later events exist already


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended."""

    task_id: str
    status: TaskStatus
    failure: Cause | None
    exit_code: int | None
    next_offset: int | None = None  #: where its log goes on, should it be resumed; None where the log was not followed
