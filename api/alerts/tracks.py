"""The state of alerts between two rounds, and the changes of a round."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from api.domain.alerts.alert import Alert, AlertChange, AlertNotification, AlertTarget, NotificationKind
from api.domain.alerts.alert_action import PlannedAction
from api.domain.alerts.alert_rule import AlertRule
from api.domain.reason import Reason, ReasonOrText, text_of

#: The ids of a rule and of its target.
TrackKey = tuple[str, str]


@dataclass(slots=True)
class Track:
    """One alert that is open or has recently ended. Times are monotonic."""

    alert: Alert
    breaching_since: float | None = None
    clear_since: float | None = None
    seen_at: float | None = None  #: when it was last evaluated
    fired_at: float | None = None  #: when it first fired
    target: AlertTarget | None = None  #: as last seen; None after a restart, until it is seen

    def now(self, monotonic: float, wall: datetime) -> datetime:
        """Return the current time by the alert's own clock.

        It runs from when the alert fired, whatever happens to the wall clock.
        """
        if self.fired_at is None or self.alert.fired_at is None:
            return wall
        return self.alert.fired_at + timedelta(seconds=monotonic - self.fired_at)

    def freeze(self, passed: float) -> None:
        """Exclude the time of unknown facts from the durations of the condition and of its end."""
        if self.breaching_since is not None:
            self.breaching_since += passed
        if self.clear_since is not None:
            self.clear_since += passed


@dataclass(slots=True)
class Draft:
    """A planned change. It takes effect once it is stored."""

    key: TrackKey
    track: Track
    before: Alert | None
    after: Alert
    said: list[ReasonOrText] = field(default_factory=list)  #: entries for its history
    kinds: list[NotificationKind] = field(default_factory=list)  #: the notifications to plan
    notifications: list[AlertNotification] = field(default_factory=list)
    actions: list[PlannedAction] = field(default_factory=list)

    def change(self, message: ReasonOrText | None = None, **values: Any) -> None:
        """Change the alert, and add the message to its history."""
        self.after = replace(self.after, **values)
        if message:
            self.said.append(message)

    @property
    def messages(self) -> list[str]:
        return list(map(text_of, self.said))

    def finished(self, now: datetime) -> AlertChange:
        """Return the change for the store."""
        number = 1 if self.before is None else self.before.number + 1
        self.after = replace(self.after, number=number, updated_at=now)
        notifications = tuple(replace(each, number=number) for each in self.notifications)
        message: ReasonOrText | None = next(iter(self.said), None)
        if len(self.said) > 1:
            message = Reason.of("{changes}", "alert_changes", changes=self.said)
        return AlertChange(self.before, self.after, message, notifications=notifications, actions=tuple(self.actions))


class Drafts:
    """The changes of one round, at most one for each alert."""

    def __init__(self) -> None:
        self._drafts: dict[TrackKey, Draft] = {}
        self.is_partial = False  #: there is more to evaluate

    def __len__(self) -> int:
        return len(self._drafts)

    def of(self, key: TrackKey, track: Track) -> Draft:
        """Return the draft of an existing alert; create it on first use."""
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = Draft(key, track, track.alert, track.alert)
        return draft

    def begin(self, key: TrackKey, track: Track) -> Draft:
        """Create the draft of a new alert."""
        draft = self._drafts[key] = Draft(key, track, None, track.alert)
        return draft

    def get(self, key: TrackKey) -> Draft | None:
        """Return the draft of an alert; None if the alert does not change."""
        return self._drafts.get(key)

    def current(self, key: TrackKey, track: Track) -> Alert:
        """Return an alert as it will be after this round."""
        draft = self._drafts.get(key)
        return track.alert if draft is None else draft.after

    @property
    def all(self) -> list[Draft]:
        """Every draft, in the order of creation."""
        return list(self._drafts.values())


def fingerprint(rule: AlertRule, target: AlertTarget) -> str:
    """Return the identity of an alert, made of its rule and target."""
    about = json.dumps([rule.rule_id, target.key, sorted(rule.labels.items())], ensure_ascii=True)
    return hashlib.sha256(about.encode()).hexdigest()[:16]
