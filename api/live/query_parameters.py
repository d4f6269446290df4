"""The parameters of a request for a stream: all mistakes at once."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from api.errors import Invalid, MalformedRequest, Mistake
from api.utils.suggestions import nearest

Choice = TypeVar("Choice", bound=StrEnum)

#: More parameters than any stream has.
_MOST = 32


class QueryParameters:
    """The parameters of a query by name. Ask for each once; `check` then raises everything that was wrong."""

    def __init__(self, text: str, known: Sequence[str]) -> None:
        """Raises MalformedRequest when `text` is no query string."""
        if not text.isascii():
            raise MalformedRequest("The query string must be percent-encoded.")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST)
        except ValueError:
            raise MalformedRequest(f"The query string has more than {_MOST} parameters.") from None
        self._given = dict(pairs)
        self._mistakes = [_unknown(name, known) for name in self._given if name not in known]
        self._mistakes += [Mistake(f"/{name}", "is given more than once") for name in _doubles(pairs) if name in known]

    def has(self, name: str) -> bool:
        """Whether the parameter is given."""
        return name in self._given

    def text(self, name: str) -> str | None:
        """The parameter as text; None when it is not given."""
        return self._given.get(name)

    def number(self, name: str, most: int) -> int | None:
        """The parameter as a whole number from 0 to `most`; None when it is not given or wrong."""
        text = self._given.get(name)
        if text is None:
            return None
        if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most:
            return int(text)
        self._refuse(name, f"must be a whole number from 0 to {most:,}")
        return None

    def choice(self, name: str, allowed: type[Choice]) -> Choice | None:
        """The parameter as one of these words; None when it is not given or wrong."""
        text = self._given.get(name)
        if text is None:
            return None
        try:
            return allowed(text)
        except ValueError:
            self._refuse(name, f"must be one of {', '.join(allowed)}")
            return None

    def choices(self, name: str, allowed: Sequence[Choice]) -> tuple[Choice, ...]:
        """The parameter as some of these words, separated by commas; all of them when it is not given."""
        text = self._given.get(name)
        if text is None:
            return tuple(allowed)
        named = [word.strip() for word in text.split(",")]
        wrong = [word for word in named if word not in list(allowed)]
        if wrong:
            self._refuse(name, f'"{wrong[0][:80]}" is none of {", ".join(allowed)}')
        return tuple(choice for choice in allowed if choice in named)

    def exclude(self, *names: str) -> None:
        """Notes a mistake when more than one of these parameters are given."""
        given = [name for name in names if name in self._given]
        if len(given) > 1:
            self._mistakes.append(Mistake("", f"give one of {' and '.join(names)}, not {' and '.join(given)}"))

    def _refuse(self, name: str, why: str) -> None:
        self._mistakes.append(Mistake(f"/{name}", why))

    def check(self) -> None:
        """Raises Invalid with every mistake that was found."""
        if self._mistakes:
            raise Invalid(mistakes=self._mistakes)


def _doubles(pairs: Sequence[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in pairs]
    return sorted({name for name in names if names.count(name) > 1})


def _unknown(name: str, known: Sequence[str]) -> Mistake:
    close = nearest(name, known)
    what = f'did you mean "{close}"?' if close else f"known are: {', '.join(known)}"
    return Mistake("/" + name[:80].replace("~", "~0").replace("/", "~1"), f"unknown parameter; {what}")
