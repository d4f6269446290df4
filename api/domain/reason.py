"""Messages with stable codes, so that programs can recognise and the page can translate them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PLACE = re.compile(r"\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}")


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """The code of a message and the values in its text, by name.

    A parameter that is itself a coded message is an object with `text`, `code` and `params`. Several are a list.
    """

    code: str  #: stable identifier of the message
    params: Mapping[str, Any] = field(default_factory=dict)  #: values in the text by name, for translations


@dataclass(frozen=True, slots=True)
class Reason:
    """An English message together with its code."""

    text: str
    said: ReasonCode

    @classmethod
    def of(cls, sentence: str, code: str, /, **params: Any) -> "Reason":
        """Return the message with its placeholders filled in.

        `{name}` becomes the parameter of that name. `{name|one|many}` becomes `one` if that parameter is 1, else
        `many`.
        """
        return cls(
            fill(sentence, params), ReasonCode(code, {name: dump_value(value) for name, value in params.items()})
        )


def fill(sentence: str, params: Mapping[str, Any]) -> str:
    """Return a sentence with its placeholders filled in. Placeholders without a parameter stay."""

    def replace(place: re.Match[str]) -> str:
        if place[1] not in params:
            return place[0]
        value = params[place[1]]
        if place[2] is None:
            return _show(value)
        return place[2] if value == 1 else place[3]

    return _PLACE.sub(replace, sentence)


@dataclass(frozen=True, slots=True)
class ReportedMessage:
    """A message as it is sent: its text, and its code if it has one."""

    text: str
    said: ReasonCode | None = None


#: A coded message, or a text of a driver, trainer or user, which is passed on unchanged and has no code.
ReasonOrText = Reason | str


def text_of(message: ReasonOrText) -> str:
    """Return the text of a message."""
    return message.text if isinstance(message, Reason) else message


def code_of(message: ReasonOrText | None) -> ReasonCode | None:
    """Return the code of a message, or None if it has none."""
    return message.said if isinstance(message, Reason) else None


def message_of(text: str, code: ReasonCode | None) -> ReasonOrText:
    """Return the message for a text and code that were stored separately. A text without code stays a string."""
    return text if code is None else Reason(text, code)


def load_message(value: Any) -> ReasonOrText:
    """Return the message in a parameter of a code. Other values become text."""
    if isinstance(value, Mapping):
        return Reason(value["text"], ReasonCode(value["code"], value["params"]))
    return str(value)


def _show(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_show, value))
    return value.text if isinstance(value, Reason) else str(value)


def dump_value(value: Any) -> Any:
    """Return a parameter as JSON can contain it; see `ReasonCode`."""
    if isinstance(value, (list, tuple)):
        return [dump_value(each) for each in value]
    if isinstance(value, Reason):
        return {"text": value.text, "code": value.said.code, "params": value.said.params}
    return value
