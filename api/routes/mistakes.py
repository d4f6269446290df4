"""What pydantic found wrong with a request, as mistakes."""

import difflib
from collections.abc import Iterator, Sequence
from typing import get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.errors import Mistake
from api.routes.schemas import Strict
from api.utils.bounds import MAX_MISTAKES, capped

#: Characters of a name that an answer repeats.
LONGEST_NAME = 200


def mistakes_in(error: ValidationError) -> list[Mistake]:
    """Each with its JSON pointer; what is said about one value is said once."""
    model = next(model for model in _requests(Strict) if model.__name__ == error.title)
    found: dict[str, list[str]] = {}
    details = details_of(error)
    for detail in details[:MAX_MISTAKES]:
        location = _location(model, detail["loc"])
        if detail["type"] == "extra_forbidden":
            message = _unknown_field(str(location[-1]), list(model.model_fields))
        elif detail["type"] == "model_type":
            # Pydantic names the class, which means nothing to a client.
            message = "Input should be an object"
        else:
            message = detail["msg"].removeprefix("Value error, ")
        messages = found.setdefault("".join(f"/{_pointer_part(part)}" for part in location), [])
        if message not in messages:
            messages.append(message)
    # Several messages about one value are what each of its possible types asks for.
    mistakes = [Mistake(pointer, "; or: ".join(messages)) for pointer, messages in found.items()]
    return capped(mistakes, dropped=max(len(details) - MAX_MISTAKES, 0))


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic found, without the values that were sent."""
    return error.errors(include_url=False, include_context=False, include_input=False)


def _location(model: type[Strict], parts: Sequence[int | str]) -> list[int | str]:
    # Where a value may be of several types, the names of the types follow; they are no part of the request.
    names = 2 if parts and _is_mapping(model, str(parts[0])) else 1
    return [part for at, part in enumerate(parts) if at < names or isinstance(part, int)]


def _is_mapping(model: type[Strict], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and any(get_origin(kind) is dict for kind in get_args(field.annotation))


def _pointer_part(part: int | str) -> str:
    text = str(part)
    shown = text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…"
    return shown.replace("~", "~0").replace("/", "~1")


def _unknown_field(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1)
    return f'unknown field; did you mean "{close[0]}"?' if close else f"unknown field; known are: {', '.join(known)}"


def _requests(model: type[Strict]) -> Iterator[type[Strict]]:
    for below in model.__subclasses__():
        yield below
        yield from _requests(below)
