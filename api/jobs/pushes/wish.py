"""What is to be pushed, as the service lays it out for the program: no secrets, which come by the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

#: The name of a repository's model card, and a line of it by which one is known that the service wrote.
CARD = "README.md"
CARD_MARK = "<!-- written by Diffusion-Pipe API -->"

#: Bytes of a card that is there already which are looked at.
MOST_CARD_BYTES = 1024 * 1024


class CardRule(StrEnum):
    """When the card is written."""

    OWN = "own"  #: where the repository has none, or one that the service wrote
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PushedFile:
    """A file of the task's output directory, and what it is called in the repository."""

    local: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class PushWish:
    """All that one task pushes, as one commit."""

    endpoint: str  #: of the hub
    repository: str
    revision: str  #: the branch
    is_private: bool  #: of a repository that is made
    creates: bool  #: whether the repository is made where there is none
    message: str
    card: CardRule
    files: tuple[PushedFile, ...]
    allowed_hosts: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The wish as JSON, which `from_json` reads."""
        return {**asdict(self), "files": [asdict(file) for file in self.files], "card": self.card.value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PushWish":
        """The wish that `as_json` has written. Raises KeyError, TypeError, ValueError."""
        files: Sequence[Mapping[str, Any]] = values["files"]
        return cls(
            endpoint=str(values["endpoint"]),
            repository=str(values["repository"]),
            revision=str(values["revision"]),
            is_private=bool(values["is_private"]),
            creates=bool(values["creates"]),
            message=str(values["message"]),
            card=CardRule(values["card"]),
            files=tuple(PushedFile(str(each["local"]), str(each["path"]), int(each["size"])) for each in files),
            allowed_hosts=tuple(str(host) for host in values["allowed_hosts"]),
        )
