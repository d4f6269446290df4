"""Schemas of requests and responses, for validation and for the OpenAPI document."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.domain.datasets.upload import UploadStatus, UploadView
from api.domain.machines.gpu_event import EventType, GPUEvent, NodeGPUEvent, Severity
from api.domain.machines.history import Metric
from api.domain.machines.reading import MAX_GPUS, MAX_MEMORY_MB
from api.domain.reason import ReasonCode
from api.domain.tasks.orphan import Orphan
from api.domain.tasks.task import TaskType, TaskView
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.http.pagination import CURSOR, DEFAULT_LIMIT, PageRequest, Pagination
from api.util.http.validation import ONE_LINE, Strict
from api.util.text.masking import mask_secrets

T = TypeVar("T")


class Change(Strict):
    """Changes of a resource: fields that are not given stay; at least one is given."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            *names, last = type(self).model_fields
            raise PydanticCustomError(
                "value_change_missing", "give {names} or {last}", {"names": ", ".join(names), "last": last}
            )
        return self


class NamedChange(Change):
    """Changes of a resource that has a name and tags."""

    def changes(self) -> dict[str, Any]:
        """Return the given fields. null as tags removes all of them; null as the name is ignored."""
        given = self.model_dump(exclude_unset=True)
        if "tags" in given:
            given["tags"] = given["tags"] or []
        return {name: value for name, value in given.items() if name != "name" or value is not None}


class Shown(BaseModel):
    """A part of a response."""

    # Only the OpenAPI document needs these models; building them takes 16 MB.
    model_config = ConfigDict(defer_build=True)


class Envelope(Shown, Generic[T]):
    """The shape of every successful response."""

    code: int
    message: str
    data: T
    timestamp: int = Field(description="Unix seconds")


@cache
def envelope_of(kind: Any, name: str | None = None) -> type[Envelope[Any]]:
    """Return the schema of a response with data of this kind, for the route's `output`.

    The OpenAPI document calls it `<name>Answer`; by default the name is that of the kind without `View`.
    """
    called = f"{name or kind.__name__.removesuffix('View')}Answer"
    return create_model(called, __base__=Envelope[kind])


class FailureMistake(BaseModel):
    """One mistake in the request."""

    pointer: str = Field(description="JSON pointer, or the parameter's name after a slash")
    message: str  #: what is invalid there
    remedy: str | None = Field(None, description="how to fix it")
    message_code: ReasonCode | None = Field(None, description="the code of the message, for translations")
    remedy_code: ReasonCode | None = Field(None, description="the code of the remedy")


class FailureError(BaseModel):
    """The error of a failed request."""

    code: str = Field(description="a stable snake_case identifier")
    detail: str  #: what happened and what to do, as text for people
    errors: list[FailureMistake]  #: every mistake that was found; empty if the request's fields are not the cause
    request_id: str  #: id of the request in the server's log; also the header X-Request-ID


class Failure(BaseModel):
    """The shape of every error response."""

    code: int = Field(description="the HTTP status")
    message: str  #: the error as a sentence for people; programs use `error.code`
    data: Any = Field(description="details for the caller, or null")
    timestamp: int = Field(description="Unix seconds")
    error: FailureError  #: the code, every mistake, and the id of the request


def file_responses(whole: str, missing: str, *types: str) -> dict[int | str, Any]:
    """Return the OpenAPI responses of a download that supports ranges; `types` are its possible media types."""
    content = {each: {"schema": {"type": "string", "format": "binary"}} for each in types}
    return {
        200: {"description": whole, "content": content},
        206: {"description": "The part that Range requests.", "content": content},
        404: missing,
        416: "The range is outside of the file.",
    }


def picture_responses(picture: str, missing: str, type_: str) -> dict[int | str, Any]:
    """Return the OpenAPI responses of a picture."""
    content = {type_: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": picture, "content": content},
        304: "Not modified: the client has the current version.",
        404: missing,
        422: "",
        503: "",
    }


def export_responses(whole: str, missing: str) -> dict[int | str, Any]:
    """Return the OpenAPI responses of an archive that is generated while it is sent."""
    content = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": whole, "content": content}, 404: missing, 422: "Unprocessable entity"}


def at_most_one(*names: str) -> dict[str, Any]:
    """Return the JSON Schema rule that at most one of these fields has a value."""
    given = _given(names)
    pairs = [{"allOf": [one, other]} for place, one in enumerate(given) for other in given[place + 1 :]]
    return {"not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}}


def at_least_one(*names: str) -> dict[str, Any]:
    """Return the JSON Schema rule that at least one of these fields has a value."""
    return {"anyOf": _given(names)}


def needs(name: str, other: str) -> dict[str, Any]:
    """Return the JSON Schema rule that the other field has a value if this one has."""
    [has_name, has_other] = _given((name, other))
    return {"anyOf": [{"not": has_name}, has_other]}


def _given(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


class PageQuery(Strict):
    """The query parameters of a paged list."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, description="rows per page; values above 500 count as 500")
    offset: int | None = Field(None, ge=0, le=10**9, description="rows to skip; ignored when a cursor is given")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the previous page")

    def page(self) -> PageRequest:
        """Return the requested page."""
        return PageRequest(limit=self.limit, offset=self.offset, cursor=self.cursor)


NodeName = Annotated[str, Field(max_length=255, description="only the GPUs of this machine")]


class NodeQuery(Strict):
    """A query that may be limited to one node."""

    # These addresses have always accepted unknown parameters.
    model_config = ConfigDict(extra="ignore")

    node: NodeName | None = None


class AvailableQuery(Strict):
    """Filters for available GPUs."""

    min_memory: int = Field(0, ge=0, le=MAX_MEMORY_MB, description="free memory in MB that a GPU must have")
    task_type: TaskType | None = Field(None, description="the kind of task that would use them")
    model_type: ModelType | None = Field(None, description="only GPUs with enough free memory to train this model")
    count: int | None = Field(None, ge=1, le=MAX_GPUS, description="maximum number of GPUs to return, best first")
    node: NodeName | None = None


# RFC 3339 only: pydantic would also accept "0.5" as a time in 1970. An unencoded + arrives as a space.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:([Zz])|[ +](\d\d:\d\d)|(-\d\d:\d\d))")


def _time(text: object) -> object:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a time such as 2026-11-24T07:00:00Z")
    time, zulu, east, west = match.groups()
    return time + ("Z" if zulu else west or f"+{east}")


# These texts are stored and displayed in many places, so a key that was pasted into them is masked.
Tag = Annotated[str, Field(min_length=1, max_length=60, pattern=ONE_LINE)]
Tags = Annotated[list[Tag], Field(max_length=50)]
Name = Annotated[str, Field(max_length=200, pattern=ONE_LINE), AfterValidator(mask_secrets)]

Time = Annotated[AwareDatetime, BeforeValidator(_time)]
Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smhd]$", description="a duration before now: 15m, 6h, 1d")]


class HistoryQuery(Strict):
    """The period and metric of a GPU's history."""

    metric: Metric = Field(Metric.UTILIZATION_GPU, description="the metric to return")
    since: Time | Duration = Field("1h", description="the start: a time, or a duration before now; 24 h are stored")
    until: Time | None = Field(None, description="the end; now by default")
    step: float | None = Field(None, ge=1, le=86_400, description="seconds per point; chosen automatically by default")

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end in UTC."""
        return moment(self.since, now), utc(self.until or now)


def moment(since: datetime | str, now: datetime) -> datetime:
    """Return a time in UTC; a duration counts back from `now`."""
    return utc(now - _seconds(since) if isinstance(since, str) else since)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=min(int(text[:-1]) * _UNITS[text[-1]], 366 * 86_400))


def utc(time: datetime) -> datetime:
    """Return the same moment in UTC."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # Year 1 or 9999 in a far time zone; it is before or after everything anyway.
        return time.replace(tzinfo=UTC)


class EventQuery(PageQuery):
    """Filters for GPU events."""

    type: EventType | None = Field(None, description="only events of this type")
    severity: Severity | None = Field(None, description="only events of this severity")
    gpu_id: str | None = Field(None, max_length=80, description="only events of this GPU, by index or UUID")
    since: Time | None = Field(None, description="only events since this time")
    node: Annotated[str, Field(max_length=255)] | None = Field(None, description="only events of this machine")

    def selects(self, event: GPUEvent, node: str) -> bool:
        """Return whether this event of this node matches."""
        return (
            (self.type is None or event.type is self.type)
            and (self.severity is None or event.severity is self.severity)
            and (self.gpu_id is None or self.gpu_id in (event.uuid, str(event.gpu_id), f"{node}:{event.gpu_id}"))
            and (self.since is None or event.timestamp >= utc(self.since))
        )


def whole(value: object) -> object:
    """Return JSON's 5.0 as the integer 5. Other values, such as true and "5", are unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Pid = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
GPUIndex = Annotated[int, Field(ge=0, le=65_535), BeforeValidator(whole)]
GPUReference = GPUIndex | Annotated[str, Field(pattern=r"^[0-9A-Za-z:.\-]{1,80}$")]


class RegisterTask(Strict):
    """A program outside of this service that uses GPUs."""

    model_config = ConfigDict(
        strict=True,  # true is not a number, and neither is "5"
        json_schema_extra={"example": {"gpu_ids": [0], "task_type": "training", "description": "kohya on GPU 0"}},
    )

    gpu_ids: list[GPUReference] = Field(min_length=1, max_length=MAX_GPUS, description="indices or UUIDs")
    task_type: TaskType = Field(strict=False)
    task_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$", description="generated by the service when not given"
    )
    description: Annotated[str, AfterValidator(mask_secrets)] | None = Field(None, max_length=1000)
    pid: Pid | None = Field(None, description="the task is released when this process ends")


class TaskProgress(Strict):
    """A task's progress; at least one of the two fields. null means unknown."""

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


# Each envelope needs a class of its own, or the document's schemas would get invalid names.


class StopOrphan(Strict):
    """How to stop an orphan."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"force": False}})

    force: bool = Field(False, description="stop without a checkpoint")


class OrphanList(Shown):
    """Orphans: attempts that run on this machine but are not in the database."""

    strays: list[Orphan]  #: the orphaned attempts


class UploadsQuery(PageQuery):
    """Filters for uploads."""

    status: UploadStatus | None = Field(None, description="only uploads with this status")


class UploadPage(Shown):
    """A page of uploads."""

    uploads: list[UploadView]
    pagination: Pagination
