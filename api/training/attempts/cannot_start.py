"""The error of an attempt that cannot be started."""

from api.domain.cause import Cause
from api.domain.reason import ReasonOrText, text_of


class CannotStart(Exception):
    """An attempt cannot be started, with the reason, and the cause if it has a remedy of its own."""

    def __init__(self, reason: ReasonOrText, cause: Cause | None = None) -> None:
        super().__init__(text_of(reason))
        self.reason = reason
        self.cause = cause
