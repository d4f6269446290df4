"""The parameters of a request for a stream: each stream has a model of them, and all mistakes are told at once."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar, TypeVar
from urllib.parse import parse_qsl

from pydantic import ValidationError

from api.errors import Invalid, MalformedRequest, Mistake
from api.util.validation import Strict, mistakes_in

Choice = TypeVar("Choice", bound=StrEnum)
Query = TypeVar("Query", bound="StreamQuery")

#: More parameters than any stream has.
_MOST = 32


class StreamQuery(Strict):
    """What a stream can be asked."""

    alternatives: ClassVar[tuple[str, ...]] = ()  #: parameters of which only one may be given


def read_query(kind: type[Query], text: str) -> Query:
    """The parameters in this query string.

    Raises MalformedRequest when it is no query string, and Invalid with every mistake in it.
    """
    if not text.isascii():
        raise MalformedRequest("The query string must be percent-encoded.")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST)
    except ValueError:
        raise MalformedRequest(f"The query string has more than {_MOST} parameters.") from None
    given = dict(pairs)
    mistakes = [*_doubles(kind, pairs), *_rivals(kind, given)]
    try:
        query = kind.model_validate(given)
    except ValidationError as error:
        raise Invalid(mistakes=[*mistakes, *mistakes_in(error, "parameter")]) from error
    if mistakes:
        raise Invalid(mistakes=mistakes)
    return query


def _doubles(kind: type[StreamQuery], pairs: Sequence[tuple[str, str]]) -> list[Mistake]:
    names = [name for name, _ in pairs]
    return [Mistake(f"/{name}", "is given more than once") for name in kind.model_fields if names.count(name) > 1]


def _rivals(kind: type[StreamQuery], given: dict[str, str]) -> list[Mistake]:
    rivals = [name for name in kind.alternatives if name in given]
    if len(rivals) < 2:
        return []
    return [Mistake("", f"give one of {' and '.join(kind.alternatives)}, not {' and '.join(rivals)}")]


def up_to(most: int) -> Callable[[str], int]:
    """A validator that reads a whole number from 0 to `most`."""

    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most:
            return int(text)
        raise ValueError(f"must be a whole number from 0 to {most:,}")

    return read


def one_of(allowed: type[Choice]) -> Callable[[str], Choice]:
    """A validator that reads one of these words."""

    def read(text: str) -> Choice:
        try:
            return allowed(text)
        except ValueError:
            raise ValueError(f"must be one of {', '.join(allowed)}") from None

    return read


def some_of(allowed: Sequence[Choice]) -> Callable[[str], tuple[Choice, ...]]:
    """A validator that reads some of these words, separated by commas."""

    def read(text: str) -> tuple[Choice, ...]:
        named = [word.strip() for word in text.split(",")]
        wrong = [word for word in named if word not in list(allowed)]
        if wrong:
            raise ValueError(f'"{wrong[0][:80]}" is none of {", ".join(allowed)}')
        return tuple(choice for choice in allowed if choice in named)

    return read
