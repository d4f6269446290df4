"""Sentences that a program can tell from others, and a page can say in another language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PLACE = re.compile(r"\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}")


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """What a sentence says, for programs: a stable word, and by name the values that stand in the sentence.

    A parameter that is itself a sentence of ours is an object with `text`, `code` and `params`; several are a list.
    """

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """An English sentence together with its code."""

    text: str
    said: ReasonCode

    @classmethod
    def of(cls, sentence: str, code: str, /, **params: Any) -> "Reason":
        """The reason whose text is this sentence, with each `{name}` in it replaced by the parameter of that name, and
        each `{name|one|many}` by the one word or the other as that parameter is 1 or not.
        """
        return cls(fill(sentence, params), ReasonCode(code, {name: _dump(value) for name, value in params.items()}))


def fill(sentence: str, params: Mapping[str, Any]) -> str:
    """A sentence with its parameters in the places of their names; places without a parameter stay."""

    def replace(place: re.Match[str]) -> str:
        if place[1] not in params:
            return place[0]
        value = params[place[1]]
        if place[2] is None:
            return _show(value)
        return place[2] if value == 1 else place[3]

    return _PLACE.sub(replace, sentence)


@dataclass(frozen=True, slots=True)
class ToldWords:
    """A sentence as it is sent: its text, and its code where it is one of ours."""

    text: str
    said: ReasonCode | None = None


#: A sentence of ours; or what a driver, a trainer or a person said, which is passed on as it is and has no code.
Words = Reason | str


def text_of(words: Words) -> str:
    """The text of the words: English where they are ours, else as they were said."""
    return words.text if isinstance(words, Reason) else words


def code_of(words: Words | None) -> ReasonCode | None:
    """The code of a sentence of ours; None for None and for what somebody else said."""
    return words.said if isinstance(words, Reason) else None


def words_of(text: str, said: ReasonCode | None) -> Words:
    """Puts a text and its code, stored apart, together again; a text without a code stays a plain string."""
    return text if said is None else Reason(text, said)


def load_words(value: Any) -> Words:
    """The words in a parameter of a code: a sentence of ours, or any other value as text."""
    if isinstance(value, Mapping):
        return Reason(value["text"], ReasonCode(value["code"], value["params"]))
    return str(value)


def _show(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_show, value))
    return value.text if isinstance(value, Reason) else str(value)


def _dump(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_dump(each) for each in value]
    if isinstance(value, Reason):
        return {"text": value.text, "code": value.said.code, "params": value.said.params}
    return value
