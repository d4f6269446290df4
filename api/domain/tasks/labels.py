"""The labels of a task: what its user says about it and may change at any time.

Requests, rows, answers, events, the search and the audit derive from the fields here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import Reason


class PriorityClass(StrEnum):
    """The class of a task, which orders the queue before its priority."""

    URGENT = "urgent"  #: starts first, and takes GPUs from background trainings
    NORMAL = "normal"
    BACKGROUND = "background"  #: starts last, and leaves its GPUs to urgent tasks


#: The classes in the order of rising rank, which the database stores.
CLASS_OF_RANK = {-1: PriorityClass.BACKGROUND, 0: PriorityClass.NORMAL, 1: PriorityClass.URGENT}
RANK_OF_CLASS = {each: rank for rank, each in CLASS_OF_RANK.items()}


def _label(default: Any, say: Callable[[Any], Reason], *, is_searched: bool = False) -> Any:
    """Return a field. `say` tells of its change; `is_searched`: a search for tasks finds its text."""
    return field(default=default, metadata={"say": say, "is_searched": is_searched})


def _say_not_before(value: str | None) -> Reason:
    if value is None:
        return Reason.of("it may start at any time", "not_before_removed")
    return Reason.of("it starts at {value} at the earliest", "not_before_is_now", value=value)


@dataclass(frozen=True, kw_only=True)
class ListedLabels:
    """The labels that lists of tasks show. The classes that have them are frozen dataclasses with slots."""

    __slots__ = ()

    name: str | None = _label(
        None, lambda value: Reason.of("name is now {value}", "name_is_now", value=repr(value)), is_searched=True
    )
    description: str | None = _label(
        None,
        lambda value: Reason.of("description is now {value}", "description_is_now", value=repr(value)),
        is_searched=True,
    )
    #: words by which it is found and filtered
    tags: tuple[str, ...] = _label(
        (),
        lambda value: Reason.of("tags are now {value}", "tags_are_now", value=", ".join(value) or "–"),
        is_searched=True,
    )
    #: from -1000 to 1000; higher ones of a class start first
    priority: int = _label(0, lambda value: Reason.of("priority is now {value}", "priority_is_now", value=value))
    #: urgent tasks start first, background tasks last
    priority_class: PriorityClass = _label(
        PriorityClass.NORMAL,
        lambda value: Reason.of("priority class is now {value}", "class_is_now", value=value),
    )
    #: it waits until this time; null: it starts anytime
    not_before: datetime | None = _label(None, _say_not_before)


@dataclass(frozen=True, kw_only=True)
class Labels(ListedLabels):
    """All labels of a task."""

    __slots__ = ()

    notes: str | None = _label(
        None, lambda value: Reason.of("the notes were changed", "notes_changed"), is_searched=True
    )
    #: the word in prompts that calls what is trained; null if it is not known
    trigger_word: str | None = _label(
        None, lambda value: Reason.of("trigger word is now {value}", "trigger_word_is_now", value=value or "–")
    )


#: The names of all labels.
LABELS = tuple(each.name for each in fields(Labels))

#: The names of the labels that a search for tasks looks into.
SEARCHED = tuple(each.name for each in fields(Labels) if each.metadata["is_searched"])

_SAY: Mapping[str, Callable[[Any], Reason]] = {each.name: each.metadata["say"] for each in fields(Labels)}


def labels_of(task: ListedLabels, kind: type[ListedLabels] = Labels) -> dict[str, Any]:
    """Return the labels of a task or request by name: all of them, or those of this `kind`."""
    return {each.name: getattr(task, each.name) for each in fields(kind)}


def show_labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return labels as messages and the audit show them."""
    return {
        name: f"{value:%Y-%m-%d %H:%M %Z}" if isinstance(value, datetime) else value for name, value in labels.items()
    }


def say_changes(labels: Mapping[str, Any]) -> list[Reason]:
    """Return a message for each of these new values."""
    return [_SAY[name](value) for name, value in show_labels(labels).items()]
