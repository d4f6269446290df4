"""An answer that is kept, to be given again to a retry of the same request."""

from collections.abc import Mapping
from dataclasses import dataclass

KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """Status, body and the headers that belong to it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AlreadyMade:
    """What a request with an Idempotency-Key had made when its server was killed or failed before the answer."""

    about: str  #: the id or name of it, as the audit has it
    numbers: Mapping[str, int]  #: what else the audit has of it, such as its version

    @property
    def version(self) -> int | None:
        """The number of the version that was made, if one was."""
        return self.numbers.get("version")
