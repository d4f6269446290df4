"""Append-only events about GPUs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode


class EventType(StrEnum):
    """The kind of an event."""

    XID = "xid"  #: the driver reported an error of the GPU or of a program on it
    STATUS = "status"  #: a GPU's status changed
    HEALTH = "health"  #: a GPU's health verdict changed
    SOURCE = "source"  #: the driver became available, stopped or failed
    TASK = "task"  #: the registry released a task by itself
    NODE = "node"  #: a node joined, left, stopped reporting or was drained


class Severity(StrEnum):
    """How serious an event is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class GPUEvent:
    """One event. Ids increase by one."""

    id: int
    timestamp: datetime
    type: EventType
    severity: Severity
    gpu_id: int | None
    uuid: str | None
    message: str
    previous: str | None = None
    current: str | None = None
    xid: int | None = None
    message_code: ReasonCode | None = None  #: code of the message if it is the reason of a status


@dataclass(frozen=True, slots=True)
class NodeGPUEvent(GPUEvent):
    """One event in a fleet of several nodes."""

    node: str | None = None  #: the node that the event concerns
