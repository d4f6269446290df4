"""How long each action has waited, by a monotonic clock: one that is set neither hurries an action nor ends it."""

from dataclasses import dataclass

from api.domain.alert_action import GRACE_SECONDS, AlertAction
from api.util.clock import Clock

#: Actions that are remembered; the oldest are forgotten first.
_MOST = 1_000


@dataclass(slots=True)
class _Seen:
    at: float
    grace: float


class ActionAges:
    """Remembers when this process first saw each action. After a restart an action counts as new."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def of(self, action: AlertAction) -> float:
        """Return for how many seconds this process has known the action."""
        return self._clock.monotonic() - self._find(action).at

    def has_had_grace(self, action: AlertAction) -> bool:
        """Return whether people have had their time to object."""
        return self.of(action) >= self._find(action).grace

    def _find(self, action: AlertAction) -> _Seen:
        seen = self._seen.get(action.action_id)
        if seen is None:
            planned = (action.not_before - action.created_at).total_seconds()
            # One that was looked at before has lost what was left of its time with the process that counted it.
            grace = planned if action.attempts == 0 else GRACE_SECONDS
            seen = self._seen[action.action_id] = _Seen(self._clock.monotonic(), min(max(grace, 0.0), GRACE_SECONDS))
            if len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        return seen
