"""Captions from a vision model: what is asked of it, and what that would take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class PromptTemplate(StrEnum):
    """A ready prompt."""

    SHORT = "short"
    DETAILED = "detailed"
    TAGS = "tags"


#: What the templates ask for.
PROMPTS: Mapping[PromptTemplate, str] = {
    PromptTemplate.SHORT: "Describe this in one sentence. Answer with the sentence alone.",
    PromptTemplate.DETAILED: (
        "Describe this for training an image or video model: the subject, what it does, clothing, surroundings, light, "
        "camera and style. Two to four plain sentences, and nothing else."
    ),
    PromptTemplate.TAGS: "List what is to be seen as short tags, separated by commas. Answer with the tags alone.",
}


#: Stands in a command's arguments for the path of the file.
FILE_PLACEHOLDER = "{file}"


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """How a model is asked. The key is no part of it: it comes by the environment."""

    endpoint: str  #: the address that /chat/completions is below; empty with a command
    model: str
    prompt: str
    max_tokens: int = 300
    temperature: float = 0.2
    frames: int = 4  #: pictures of a video that are shown
    parallel: int = 2  #: questions at a time
    per_minute: int = 0  #: questions a minute at most; 0: any number
    timeout_seconds: float = 120.0
    command: tuple[str, ...] = ()  #: the arguments of a program that is started in place of asking an endpoint

    def as_json(self) -> dict[str, Any]:
        """What `CaptionSettings(**…)` takes."""
        return asdict(self)
