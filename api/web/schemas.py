"""What requests may hold and what answers look like, for validation and for the OpenAPI document."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.domain.event import EventType, GPUEvent, NodeGPUEvent, Severity
from api.domain.gpu import (
    AvailableGPUResponse,
    FleetStatusResponse,
    GPUDetails,
    GPUProcesses,
    GPUStatusResponse,
    GPUSummary,
    NodeGPUDetails,
    NodeGPUProcesses,
)
from api.domain.history import GPUHistoryResponse, Metric, NodeGPUHistoryResponse
from api.domain.model_memory import ModelType
from api.domain.reading import MAX_GPUS, MAX_MEMORY_MB
from api.domain.stray import Stray
from api.domain.system import Health, Readiness, SystemOverview
from api.domain.task import TaskType, TaskView
from api.util.masking import mask_secrets
from api.util.pagination import CURSOR, DEFAULT_LIMIT, PageRequest, Pagination
from api.util.validation import ONE_LINE, Strict

T = TypeVar("T")


class Change(Strict):
    """What is to be changed of something: what is not given stays, and something is given."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            *names, last = type(self).model_fields
            raise ValueError(f"give {', '.join(names)} or {last}")
        return self


class NamedChange(Change):
    """What is to be changed of something that has a name and tags."""

    def changes(self) -> dict[str, Any]:
        """What is given; null takes all tags away, and no name."""
        given = self.model_dump(exclude_unset=True)
        if "tags" in given:
            given["tags"] = given["tags"] or []
        return {name: value for name, value in given.items() if name != "name" or value is not None}


class Shown(BaseModel):
    """A part of an answer."""

    # Only the OpenAPI document needs these: until it is asked for, 16 MB are not taken.
    model_config = ConfigDict(defer_build=True)


class Envelope(Shown, Generic[T]):
    """The shape of every success."""

    code: int
    message: str
    data: T
    timestamp: int = Field(description="Unix seconds")


class FailureMistake(BaseModel):
    """One mistake in the request."""

    pointer: str = Field(description="JSON pointer, or the parameter's name after a slash")
    message: str
    remedy: str | None = Field(None, description="what to do about it")


class FailureError(BaseModel):
    """What went wrong."""

    code: str = Field(description="a stable snake_case word")
    detail: str
    errors: list[FailureMistake]
    request_id: str


class Failure(BaseModel):
    """The shape of every failure."""

    code: int = Field(description="the HTTP status")
    message: str
    data: Any = Field(description="what helps the caller to go on, or null")
    timestamp: int = Field(description="Unix seconds")
    error: FailureError


def file_responses(whole: str, missing: str, *types: str) -> dict[int | str, Any]:
    """The answers of a download that takes ranges; `types` are the media types that it may have."""
    content = {each: {"schema": {"type": "string", "format": "binary"}} for each in types}
    return {
        200: {"description": whole, "content": content},
        206: {"description": "The part that Range asks for.", "content": content},
        404: missing,
        416: "No such part.",
    }


def picture_responses(picture: str, missing: str, type_: str) -> dict[int | str, Any]:
    """The answers of a picture."""
    content = {type_: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": picture, "content": content},
        304: "The client has it.",
        404: missing,
        422: "",
        503: "",
    }


def export_responses(whole: str, missing: str) -> dict[int | str, Any]:
    """The answers of an archive that is made while it is sent."""
    content = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": whole, "content": content}, 404: missing, 422: "Unprocessable entity"}


def at_most_one(*names: str) -> dict[str, Any]:
    """The rule, in JSON Schema's words, that at most one of these fields has a value."""
    given = _given(names)
    pairs = [{"allOf": [one, other]} for place, one in enumerate(given) for other in given[place + 1 :]]
    return {"not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}}


def at_least_one(*names: str) -> dict[str, Any]:
    """The rule, in JSON Schema's words, that at least one of these fields has a value."""
    return {"anyOf": _given(names)}


def needs(name: str, other: str) -> dict[str, Any]:
    """The rule, in JSON Schema's words, that the other field has a value where this one has."""
    [has_name, has_other] = _given((name, other))
    return {"anyOf": [{"not": has_name}, has_other]}


def _given(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


class PageQuery(Strict):
    """Says which page of a list is wanted."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, description="rows a page; more than 500 is taken as 500")
    offset: int | None = Field(None, ge=0, le=10**9, description="rows to skip; a cursor goes before it")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the page before")

    def page(self) -> PageRequest:
        """The page that is asked for."""
        return PageRequest(limit=self.limit, offset=self.offset, cursor=self.cursor)


NodeName = Annotated[str, Field(max_length=255, description="only the GPUs of this machine")]


class NodeQuery(Strict):
    """Says of which machine GPUs are wanted."""

    # These addresses have always taken any query.
    model_config = ConfigDict(extra="ignore")

    node: NodeName | None = None


class AvailableQuery(Strict):
    """Says which GPUs are wanted."""

    min_memory: int = Field(0, ge=0, le=MAX_MEMORY_MB, description="free memory in MB that a GPU must have")
    task_type: TaskType | None = Field(None, description="what they are wanted for")
    model_type: ModelType | None = Field(None, description="only GPUs in whose free memory this model can be trained")
    count: int | None = Field(None, ge=1, le=MAX_GPUS, description="how many at most, best first")
    node: NodeName | None = None


# RFC 3339 and nothing else: pydantic would also take "0.5" for a time in 1970. An unencoded + arrives as a space.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:([Zz])|[ +](\d\d:\d\d)|(-\d\d:\d\d))")


def _time(text: object) -> object:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a time such as 2026-11-24T07:00:00Z")
    time, zulu, east, west = match.groups()
    return time + ("Z" if zulu else west or f"+{east}")


# Words for people are kept and shown everywhere: a key that somebody has pasted into them is not.
Name = Annotated[str, Field(max_length=200, pattern=ONE_LINE), AfterValidator(mask_secrets)]

Time = Annotated[AwareDatetime, BeforeValidator(_time)]
Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smhd]$", description="such as 15m, 6h, 1d: so long ago")]


class HistoryQuery(Strict):
    """Which part of a GPU's history."""

    metric: Metric = Field(Metric.UTILIZATION_GPU, description="what to show")
    since: Time | Duration = Field("1h", description="the beginning: a time, or how long ago; 24 h are kept")
    until: Time | None = Field(None, description="the end; now by default")
    step: float | None = Field(None, ge=1, le=86_400, description="seconds a point; chosen by default")

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """The beginning and the end in UTC."""
        return moment(self.since, now), utc(self.until or now)


def moment(since: datetime | str, now: datetime) -> datetime:
    """A time, or so long ago, in UTC."""
    return utc(now - _seconds(since) if isinstance(since, str) else since)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=min(int(text[:-1]) * _UNITS[text[-1]], 366 * 86_400))


def utc(time: datetime) -> datetime:
    """The same moment in UTC."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # Year 1 or 9999 in a far time zone; before and after everything all the same.
        return time.replace(tzinfo=UTC)


class EventQuery(PageQuery):
    """Says which events are wanted."""

    type: EventType | None = Field(None, description="only this kind")
    severity: Severity | None = Field(None, description="only of this weight")
    gpu_id: str | None = Field(None, max_length=80, description="only of this GPU, by index or UUID")
    since: Time | None = Field(None, description="only from this time on")
    node: Annotated[str, Field(max_length=255)] | None = Field(None, description="only of this machine")

    def selects(self, event: GPUEvent, node: str) -> bool:
        """Whether this event, which is about this machine, is asked for."""
        return (
            (self.type is None or event.type is self.type)
            and (self.severity is None or event.severity is self.severity)
            and (self.gpu_id is None or self.gpu_id in (event.uuid, str(event.gpu_id), f"{node}:{event.gpu_id}"))
            and (self.since is None or event.timestamp >= utc(self.since))
        )


def whole(value: object) -> object:
    """JSON's 5.0 is the integer 5; its true and "5" are not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Pid = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
GPUIndex = Annotated[int, Field(ge=0, le=65_535), BeforeValidator(whole)]
GPUReference = GPUIndex | Annotated[str, Field(pattern=r"^[0-9A-Za-z:.\-]{1,80}$")]


class RegisterTask(Strict):
    """A program that holds GPUs."""

    model_config = ConfigDict(
        strict=True,  # JSON has types of its own: true is no number, "5" is none either
        json_schema_extra={"example": {"gpu_ids": [0], "task_type": "training", "description": "kohya on GPU 0"}},
    )

    gpu_ids: list[GPUReference] = Field(min_length=1, max_length=MAX_GPUS, description="indices or UUIDs")
    task_type: TaskType = Field(strict=False)
    task_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$", description="made by the service when not given"
    )
    description: Annotated[str, AfterValidator(mask_secrets)] | None = Field(None, max_length=1000)
    pid: Pid | None = Field(None, description="when this process ends, the task is released")


class TaskProgress(Strict):
    """How far a task is; at least one of the two. null says that it is no longer known."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"progress": 42.5}})

    progress: float | None = Field(None, ge=0, le=100, description="%")
    estimated_remaining_time: float | None = Field(None, ge=0, le=1e9, description="seconds")

    @model_validator(mode="after")
    def _something(self) -> "TaskProgress":
        if not self.model_fields_set:
            raise ValueError("give progress, estimated_remaining_time, or both")
        return self


class TaskList(Shown):
    """Registered tasks, oldest first."""

    tasks: list[TaskView]
    pagination: Pagination


class EventList(Shown):
    """Events, newest first."""

    events: list[NodeGPUEvent | GPUEvent]
    pagination: Pagination


# Each use of the envelope has a name of its own, or the document's schemas get invalid names.
class GPUStatusAnswer(Envelope[FleetStatusResponse | GPUStatusResponse]):
    """Every GPU."""


class GPUAvailableAnswer(Envelope[AvailableGPUResponse]):
    """The GPUs that can be had."""


class GPUDetailsAnswer(Envelope[NodeGPUDetails | GPUDetails]):
    """One GPU."""


class GPUSummaryAnswer(Envelope[GPUSummary]):
    """The machine's GPUs in figures."""


class GPUProcessesAnswer(Envelope[NodeGPUProcesses | GPUProcesses]):
    """Who holds a GPU's memory."""


class GPUHistoryAnswer(Envelope[NodeGPUHistoryResponse | GPUHistoryResponse]):
    """A metric over time."""


class GPUEventsAnswer(Envelope[EventList]):
    """What happened."""


class TaskAnswer(Envelope[TaskView]):
    """One registered task."""


class TaskListAnswer(Envelope[TaskList]):
    """Registered tasks."""


class SystemOverviewAnswer(Envelope[SystemOverview]):
    """The machine at a glance."""


class StopStray(Strict):
    """How to stop a stray attempt."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"force": False}})

    force: bool = Field(False, description="do not wait for a checkpoint")


class StrayList(Shown):
    """Attempts that live here although the database does not know them."""

    strays: list[Stray]


class StrayListAnswer(Envelope[StrayList]):
    """Attempts that live here although the database does not know them."""


class StrayAnswer(Envelope[Stray]):
    """A stray attempt."""


class HealthAnswer(Envelope[Health]):
    """The service is alive."""


class ReadinessAnswer(Envelope[Readiness]):
    """Whether answers can be relied on."""
