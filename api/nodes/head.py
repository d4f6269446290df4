"""The seam to a node's head: where reports are sent, and a fake for tests."""

from collections.abc import Mapping
from typing import Any, Protocol


class HeadSilent(Exception):
    """The head gave no answer that could be read: why."""


class HeadRefuses(Exception):
    """The head does not take the report: the status, the word of the error, and what it says."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class HeadLink(Protocol):
    """Who is told of a node's GPUs."""

    address: str  #: for people

    def tell(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        """Sends a report as JSON, and returns the receipt. Raises HeadSilent, HeadRefuses."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class FakeHead:
    """Keeps what it is told; a test says what it answers."""

    def __init__(self, address: str = "http://head") -> None:
        self.address = address
        self.told: list[bytes] = []
        self.answer: Mapping[str, Any] | Exception = {}

    def tell(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        self.told.append(report)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        """Has nothing to close."""
