"""Settings and prompts for captioning with a vision model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class PromptTemplate(StrEnum):
    """A predefined prompt."""

    SHORT = "short"
    DETAILED = "detailed"
    TAGS = "tags"


#: Text of each predefined prompt.
PROMPTS: Mapping[PromptTemplate, str] = {
    PromptTemplate.SHORT: "Describe this in one sentence. Answer with the sentence alone.",
    PromptTemplate.DETAILED: (
        "Describe this for training an image or video model: the subject, what it does, clothing, surroundings, light, "
        "camera and style. Two to four plain sentences, and nothing else."
    ),
    PromptTemplate.TAGS: "List what is to be seen as short tags, separated by commas. Answer with the tags alone.",
}


#: Placeholder for the file's path in a command's arguments.
FILE_PLACEHOLDER = "{file}"


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """Options for one captioning run. The API key is not part of them; it comes from the environment."""

    endpoint: str  #: base URL of the API, below which is /chat/completions; empty if a command is used
    model: str
    prompt: str
    max_tokens: int = 300
    temperature: float = 0.2
    frames: int = 4  #: number of frames of a video that are sent
    parallel: int = 2  #: concurrent requests
    per_minute: int = 0  #: limit of requests per minute; 0: no limit
    timeout_seconds: float = 120.0
    command: tuple[str, ...] = ()  #: program and arguments to run instead of calling an endpoint

    def as_json(self) -> dict[str, Any]:
        """Return the keyword arguments for `CaptionSettings`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """A request for captions of one dataset."""

    prompt: str
    model: str | None = None
    version: str | None = None
    only_missing: bool = True
    frames: int = 4
    max_tokens: int = 300
    message: str | None = None
