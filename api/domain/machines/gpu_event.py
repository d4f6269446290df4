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
    TASK = "task"  #: the registry released a task automatically
    NODE = "node"  #: a node joined, left, stopped reporting or was drained


class Severity(StrEnum):
    """How serious an event is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class GPUEvent:
    """One event. Ids increase by one."""

    id: int  #: increases by one
    timestamp: datetime  #: when it happened
    type: EventType  #: what happened
    severity: Severity  #: how urgent it is
    gpu_id: int | None
    uuid: str | None
    message: str
    previous: str | None = None  #: value before, such as the status; null if it has none
    current: str | None = None  #: value after; null if it has none
    xid: int | None = None  #: NVIDIA's error number; null for other events
    message_code: ReasonCode | None = None  #: code of the message if it is the reason of a status


@dataclass(frozen=True, slots=True)
class NodeGPUEvent(GPUEvent):
    """One event in a fleet of several nodes."""

    node: str | None = None  #: the node that the event concerns
