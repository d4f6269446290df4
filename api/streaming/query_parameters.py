"""The query parameters of streams.

Each stream has a model of its parameters, and all mistakes are reported together.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar, TypeVar
from urllib.parse import parse_qsl

from pydantic import ValidationError

from api.errors import Finding, Invalid, MalformedRequest
from api.util.http.validation import Strict, mistakes_in

Choice = TypeVar("Choice", bound=StrEnum)
Query = TypeVar("Query", bound="StreamQuery")

#: Maximum number of parameters; more than any stream has.
_MOST = 32


class StreamQuery(Strict):
    """The base of the query parameters of a stream."""

    alternatives: ClassVar[tuple[str, ...]] = ()  #: parameters of which only one may be set


def read_query(kind: type[Query], text: str) -> Query:
    """Return the parameters in this query string.

    Raises MalformedRequest if it is not a query string, and Invalid with every mistake.
    """
    if not text.isascii():
        raise MalformedRequest("The query string must be percent-encoded.")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST)
    except ValueError:
        raise MalformedRequest(f"The query string has more than {_MOST} parameters.") from None
    values = dict(pairs)
    mistakes = [*_check_duplicates(kind, pairs), *_check_alternatives(kind, values)]
    try:
        query = kind.model_validate(values)
    except ValidationError as error:
        raise Invalid(mistakes=[*mistakes, *mistakes_in(error, "parameter")]) from error
    if mistakes:
        raise Invalid(mistakes=mistakes)
    return query


def _check_duplicates(kind: type[StreamQuery], pairs: Sequence[tuple[str, str]]) -> list[Finding]:
    names = [name for name, _ in pairs]
    return [Finding(f"/{name}", "is given more than once") for name in kind.model_fields if names.count(name) > 1]


def _check_alternatives(kind: type[StreamQuery], values: dict[str, str]) -> list[Finding]:
    conflicting = [name for name in kind.alternatives if name in values]
    if len(conflicting) < 2:
        return []
    return [Finding("", f"set only one of {' and '.join(kind.alternatives)}, not {' and '.join(conflicting)}")]


def up_to(most: int) -> Callable[[str], int]:
    """Return a validator of a whole number from 0 to `most`."""

    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most:
            return int(text)
        raise ValueError(f"must be a whole number from 0 to {most:,}")

    return read


def one_of(allowed: type[Choice]) -> Callable[[str], Choice]:
    """Return a validator of one of these values."""

    def read(text: str) -> Choice:
        try:
            return allowed(text)
        except ValueError:
            raise ValueError(f"must be one of {', '.join(allowed)}") from None

    return read


def some_of(allowed: Sequence[Choice]) -> Callable[[str], tuple[Choice, ...]]:
    """Return a validator of some of these values, separated by commas."""

    def read(text: str) -> tuple[Choice, ...]:
        named = [value.strip() for value in text.split(",")]
        invalid = [value for value in named if value not in list(allowed)]
        if invalid:
            raise ValueError(f'"{invalid[0][:80]}" is not one of {", ".join(allowed)}')
        return tuple(choice for choice in allowed if choice in named)

    return read
