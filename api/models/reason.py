"""A sentence that a program can tell from others, and a page can say in another language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """What a sentence says: a stable word, and what stands in the sentence, by name."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence in English with what it says."""

    text: str
    said: ReasonCode

    @classmethod
    def of(cls, text: str, code: str, **params: Any) -> "Reason":
        """The text, its code, and what stands in it."""
        return cls(text, ReasonCode(code, params))
