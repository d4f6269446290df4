"""The age of each action, by a monotonic clock: setting the wall clock neither hurries an action nor expires it."""

from dataclasses import dataclass

from api.domain.alert_action import GRACE_SECONDS, AlertAction
from api.util.clock import Clock

#: Number of remembered actions; the oldest are dropped first.
_MOST = 1_000


@dataclass(slots=True)
class _Seen:
    at: float
    grace: float


class ActionAges:
    """Remembers when this process first saw each action. After a restart every action counts as new."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def of(self, action: AlertAction) -> float:
        """Return the seconds for which this process has known the action."""
        return self._clock.monotonic() - self._find(action).at

    def has_had_grace(self, action: AlertAction) -> bool:
        """Return whether the grace period, in which users can object, is over."""
        return self.of(action) >= self._find(action).grace

    def _find(self, action: AlertAction) -> _Seen:
        seen = self._seen.get(action.action_id)
        if seen is None:
            planned = (action.not_before - action.created_at).total_seconds()
            # The elapsed part of a grace period is lost with the process that counted it: start it in full.
            grace = planned if action.attempts == 0 else GRACE_SECONDS
            seen = self._seen[action.action_id] = _Seen(self._clock.monotonic(), min(max(grace, 0.0), GRACE_SECONDS))
            if len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        return seen
