"""The power limits that this service wants its GPUs to have, and what became of them. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.reason import ReasonOrText

#: Seconds before a refused limit is tried again, and before a limit that someone else has changed is set again.
REFUSED_SECONDS, AGAIN_SECONDS = 600.0, 60.0

#: Difference in W within which two limits are equal: drivers round.
TOLERANCE_WATTS = 1.0


class LimitRefused(Exception):
    """The driver does not accept a power limit."""

    def __init__(self, reason: ReasonOrText) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LimitOutcome:
    """The last attempt to set a GPU's limit."""

    watts: float
    problem: ReasonOrText | None  #: why it was refused; None: it was set
    at: float  #: monotonic


def is_same_limit(one: float | None, other: float | None) -> bool:
    """Return whether both limits are known and equal."""
    return one is not None and other is not None and abs(one - other) <= TOLERANCE_WATTS


class WantedLimits:
    """Wanted limits in W by UUID, and their outcomes. Both are replaced as a whole: any thread may read them."""

    def __init__(self) -> None:
        self.wanted: Mapping[str, float] = {}
        self._outcomes: dict[str, LimitOutcome] = {}

    def find_due(self, uuid: str, current: float | None, now: float) -> float | None:
        """Return the limit to set now, or None."""
        watts, last = self.wanted.get(uuid), self._outcomes.get(uuid)
        if watts is None or is_same_limit(watts, current):
            return None
        if last is None or last.watts != watts:
            return watts
        wait = AGAIN_SECONDS if last.problem is None else REFUSED_SECONDS
        return watts if now - last.at >= wait else None

    def note(self, uuid: str, outcome: LimitOutcome) -> None:
        """Store the outcome of an attempt."""
        self._outcomes = {**self._outcomes, uuid: outcome}

    def find_problem(self, uuid: str) -> ReasonOrText | None:
        """Return why the wanted limit was refused, or None."""
        last = self._outcomes.get(uuid)
        return last.problem if last is not None and last.watts == self.wanted.get(uuid) else None

    def find_own(self, uuid: str) -> float | None:
        """Return the limit that this service has set last, or None."""
        last = self._outcomes.get(uuid)
        return None if last is None or last.problem is not None else last.watts

    def forget_refusal(self, uuid: str) -> None:
        """Try a refused limit again immediately, since a user asks for it."""
        last = self._outcomes.get(uuid)
        if last is not None and last.problem is not None:
            self._outcomes = {name: each for name, each in self._outcomes.items() if name != uuid}
