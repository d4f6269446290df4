"""The connection of a node to its head, and a fake for tests."""

from collections.abc import Mapping
from typing import Any, Protocol


class HeadUnreachable(Exception):
    """The head gave no readable answer."""


class HeadRejected(Exception):
    """The head rejected the report with this status, error code and message."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class HeadLink(Protocol):
    """A connection to one head."""

    address: str  #: for people

    def send_report(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        """Send a report as JSON and return the receipt. Raises HeadUnreachable, HeadRejected."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class FakeHead:
    """A head that records the reports and gives the answer that a test sets."""

    def __init__(self, address: str = "http://head") -> None:
        self.address = address
        self.reports: list[bytes] = []
        self.answer: Mapping[str, Any] | Exception = {}

    def send_report(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        self.reports.append(report)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        """Do nothing."""
