"""Words of a newer version in what machines tell each other: each counts as the word for what is not known.

A node that is newer than its head would else be unheard for a single word, and its GPUs with it.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from api.domain.reading import FaultKind, ProcessKind, SourceName
from api.domain.reason import Reason
from api.domain.task import TaskType

#: What a word that this version does not know counts as, by what it is of. None of these lets a GPU count as free.
COUNTS_AS: Mapping[type[StrEnum], StrEnum] = {
    SourceName: SourceName.UNKNOWN,
    FaultKind: FaultKind.UNREADABLE,
    ProcessKind: ProcessKind.UNKNOWN,
    TaskType: TaskType.EXTERNAL,
}

#: The most characters of a word.
_LONGEST = 64

_T = TypeVar("_T")


def validate(adapter: TypeAdapter[_T], kind: Any, told: Any) -> _T:
    """What was told, by the adapter of this type, with unknown words as what they count as.

    Raises ValidationError for all else that is wrong.
    """
    try:
        return adapter.validate_python(told)
    except ValidationError as error:
        places = [mistake["loc"] for mistake in error.errors(include_url=False) if mistake["type"] == "enum"]
        if not places:
            raise
        # A copy: what was told may be told to others as it is.
        known = copy.deepcopy(told)
        for place in places:
            _replace(kind, known, place)
        return adapter.validate_python(known)


def _replace(whole: Any, told: Any, place: tuple[int | str, ...]) -> None:
    *way, last = place
    holder = functools.reduce(lambda value, step: value[step], way, told)
    word, kind = holder[last], _kind_at(whole, place)
    is_word = isinstance(word, str) and 0 < len(word) <= _LONGEST and word.isprintable()
    if kind not in COUNTS_AS or not is_word:
        return
    holder[last] = COUNTS_AS[kind].value
    if kind is FaultKind and holder.get("fault_reason") is None:
        why = Reason.of(
            'its node tells of "{word}", which this head does not know: update the head', "unknown_fault", word=word
        )
        holder["fault_reason"] = {"text": why.text, "said": {"code": why.said.code, "params": {"word": word}}}


def _kind_at(kind: Any, place: Sequence[int | str]) -> Any:
    """The type of what stands at a place of what is of this type."""
    for step in place:
        kind = _without_none(kind)
        # Of a list its elements, of a mapping its values.
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
