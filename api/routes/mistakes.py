"""What pydantic found wrong with a request, as mistakes."""

import difflib
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from api.errors import Mistake
from api.routes.schemas import Strict


def mistakes_in(error: ValidationError) -> list[Mistake]:
    """Each with its JSON pointer; what is said about one value is said once."""
    known = _fields_of(error.title)
    found: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        # Where a value may be of several types, the names of the types follow; they are no part of the request.
        location = [part for at, part in enumerate(detail["loc"]) if at == 0 or isinstance(part, int)]
        if detail["type"] == "extra_forbidden":
            message = _unknown_field(str(location[-1]), known)
        else:
            message = detail["msg"].removeprefix("Value error, ")
        messages = found.setdefault("".join(f"/{_pointer_part(part)}" for part in location), [])
        if message not in messages:
            messages.append(message)
    # Several messages about one value are what each of its possible types asks for.
    return [Mistake(pointer, "; or: ".join(messages)) for pointer, messages in found.items()]


def _pointer_part(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _unknown_field(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'unknown field; did you mean "{close[0]}"?' if close else f"unknown field; known are: {', '.join(known)}"


def _fields_of(title: str) -> Sequence[str]:
    return next(list(model.model_fields) for model in _requests(Strict) if model.__name__ == title)


def _requests(model: type[Strict]) -> Iterator[type[Strict]]:
    for below in model.__subclasses__():
        yield below
        yield from _requests(below)
