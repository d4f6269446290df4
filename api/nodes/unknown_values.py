"""Enum values of a newer version in reports and receipts: each is replaced by the value for "unknown".

Otherwise a head would reject every report of a newer node because of a single value.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from api.domain.machines.reading import FaultKind, ProcessKind, SourceName
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType

#: The replacement of an unknown value, by its enum. None of these makes a GPU count as free.
COUNTS_AS: Mapping[type[StrEnum], StrEnum] = {
    SourceName: SourceName.UNKNOWN,
    FaultKind: FaultKind.UNREADABLE,
    ProcessKind: ProcessKind.UNKNOWN,
    TaskType: TaskType.EXTERNAL,
}

#: The longest value in characters.
_MAX_LENGTH = 64

_T = TypeVar("_T")


def validate(adapter: TypeAdapter[_T], kind: Any, data: Any) -> _T:
    """Validate data of this type with unknown enum values replaced. Raises ValidationError for other mistakes."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        paths = [mistake["loc"] for mistake in error.errors(include_url=False) if mistake["type"] == "enum"]
        if not paths:
            raise
        # A copy, because the original may be passed on unchanged.
        known = copy.deepcopy(data)
        for path in paths:
            _replace(kind, known, path)
        return adapter.validate_python(known)


def _replace(whole: Any, data: Any, path: tuple[int | str, ...]) -> None:
    *parents, last = path
    holder = functools.reduce(lambda value, step: value[step], parents, data)
    word, kind = holder[last], _kind_at(whole, path)
    is_name = isinstance(word, str) and 0 < len(word) <= _MAX_LENGTH and word.isprintable()
    if kind not in COUNTS_AS or not is_name:
        return
    holder[last] = COUNTS_AS[kind].value
    if kind is FaultKind and holder.get("fault_reason") is None:
        why = Reason.of(
            'its node reports "{word}", which this head does not know: update the head', "unknown_fault", word=word
        )
        holder["fault_reason"] = {"text": why.text, "said": {"code": why.said.code, "params": {"word": word}}}


def _kind_at(kind: Any, path: Sequence[int | str]) -> Any:
    """Return the type of the value at a path in a value of this type."""
    for step in path:
        kind = _without_none(kind)
        # The elements of a list, the values of a mapping.
        inner = get_args(kind)[-1 if isinstance(step, str) else 0 :]
        kind = _hints(kind)[str(step)] if isinstance(kind, type) and is_dataclass(kind) else inner[0]
    return _without_none(kind)


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(each for each in get_args(kind) if each is not NoneType)
    return kind


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)
