"""Rows of tasks: which columns store the fields of a task, its labels and its request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Column, Row

from api.db.rows import conversions_of, dump, maybe_time, to_seconds
from api.db.tables import tasks
from api.domain.tasks.labels import CLASS_OF_RANK, RANK_OF_CLASS, Labels, ListedLabels
from api.domain.tasks.training import GPURequest, TaskSummary, TrainingPlan, TrainingRequest, TrainingTask

T = TypeVar("T", bound=TaskSummary)


def dump_tags(tags: Sequence[str]) -> str | None:
    """Return tags as stored: each between line breaks, which no tag contains, so that whole tags can be found."""
    return "\n{}\n".format("\n".join(tags)) if tags else None


def read_tags(stored: str | None) -> tuple[str, ...]:
    """Return stored tags."""
    return () if stored is None else tuple(stored.strip("\n").split("\n"))


class _Stored(NamedTuple):
    """How a label is stored."""

    column: str
    dump: Callable[[Any], Any]
    read: Callable[[Any], Any]


#: Labels that are stored in columns with other names, or as other values.
_LABELS: Mapping[str, _Stored] = {
    "tags": _Stored("tags", dump_tags, read_tags),
    "priority_class": _Stored("priority_class", RANK_OF_CLASS.__getitem__, CLASS_OF_RANK.__getitem__),
    "not_before": _Stored("start_not_before", lambda value: None if value is None else to_seconds(value), maybe_time),
}

#: The columns of fields with other names.
_COLUMNS = {"retry_not_before": "not_before"} | {name: stored.column for name, stored in _LABELS.items()}

#: Columns that only the details of a task need, and columns of a task that are no fields of it.
_DETAILS = ({each.name for each in fields(Labels)} - {each.name for each in fields(ListedLabels)}) | {
    "retention",
    "request",
    "plan",
    "idempotency_key",
}
SUMMARY_COLUMNS = [column for column in tasks.c if column.name not in _DETAILS]

LABEL_COLUMNS = [tasks.c[_COLUMNS.get(each.name, each.name)] for each in fields(Labels)]


def dump_labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the columns that store these labels."""
    plain = {name: value for name, value in labels.items() if name not in _LABELS}
    return plain | {_LABELS[name].column: _LABELS[name].dump(labels[name]) for name in labels.keys() - plain.keys()}


def read_labels(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return all labels from a row with LABEL_COLUMNS."""
    return {
        each.name: _LABELS[each.name].read(row[_LABELS[each.name].column]) if each.name in _LABELS else row[each.name]
        for each in fields(Labels)
    }


def dump_request(request: TrainingRequest, plan: TrainingPlan) -> dict[str, Any]:
    """Return the values of the columns that store what a task requests, without its labels."""
    return {
        "gpu_count": request.gpu_count,
        "min_memory": request.gpus.min_memory,
        "gpu_references": list(request.gpus.references),
        "caches": list(plan.caches),
        "request": dump(request),
        "plan": dump(plan),
    }


def _reader(kind: Callable[..., T], columns: Sequence[Column[Any]]) -> Callable[[Row[Any]], T]:
    """Return the function that reads a `kind` from rows with exactly these columns.

    It is fast, as a new leader reads up to 100,000 rows: it takes the values by their positions.
    """
    conversions = conversions_of(kind) | {name: stored.read for name, stored in _LABELS.items()}
    names = [name for name in conversions if name not in _COMPUTED]
    places = [column.name for column in columns]
    values_of = itemgetter(*[places.index(_COLUMNS.get(name, name)) for name in names])
    converted = [(name, convert) for name in names if (convert := conversions[name]) is not None]

    def read(row: Row[Any]) -> T:
        found = dict(zip(names, values_of(row), strict=True))
        for name, convert in converted:
            value = found[name]
            if value is not None or name in _LABELS:
                found[name] = convert(value)
        for name, compute in _COMPUTED.items():
            found[name] = compute(row)
        return kind(**found)

    return read


def queue_rank_of(row: Row[*tuple[Any, ...]]) -> float:
    """Return a task's rank among queued tasks of equal class and priority: its own if a user has moved it."""
    return cast("float", row.queued_at if row.queue_rank is None else row.queue_rank)


#: Fields that several columns store.
_COMPUTED: Mapping[str, Callable[[Row[Any]], Any]] = {
    "gpus": lambda row: GPURequest(tuple(row.gpu_references), row.gpu_count, row.min_memory),
    "queue_rank": queue_rank_of,
}

#: Returns a task from a row with SUMMARY_COLUMNS.
read_summary = _reader(TaskSummary, SUMMARY_COLUMNS)

#: Returns a task from a complete row.
read_task = _reader(TrainingTask, list(tasks.c))
