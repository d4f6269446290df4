"""A stored response, which a retry of the same request receives again."""

from collections.abc import Mapping
from dataclasses import dataclass

KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Status, body and headers of the first response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """What a request with an Idempotency-Key created before its server failed without a response."""

    about: str  #: the id or name of the created object, as in the audit
    numbers: Mapping[str, int]  #: numbers that the audit stored with it, such as its version

    @property
    def version(self) -> int | None:
        """The number of the created version, or None."""
        return self.numbers.get("version")
