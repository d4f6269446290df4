"""The request of a push, which the service writes for the program. Secrets are in the environment instead."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

#: The name of a repository's model card, and the line that marks cards of this service.
CARD = "README.md"
CARD_MARK = "<!-- written by Diffusion-Pipe API -->"

#: The limit of an existing card that is read, in bytes.
MOST_CARD_BYTES = 1024 * 1024


class CardRule(StrEnum):
    """When to write the model card."""

    OWN = "own"  #: unless the repository has a foreign one
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PushedFile:
    """A file of the task's output directory, and its path in the repository."""

    local: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class PushRequest:
    """The files and the commit of one push."""

    endpoint: str  #: of the hub
    repository: str
    revision: str  #: the branch
    is_private: bool  #: whether a new repository is private
    creates: bool  #: whether to create a missing repository
    message: str
    card: CardRule
    files: tuple[PushedFile, ...]
    allowed_hosts: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PushRequest":
        """Return the request from its JSON. Raise ValueError."""
        return TypeAdapter(cls).validate_python(values)
