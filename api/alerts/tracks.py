"""What the evaluation remembers of each alert between two rounds, and what a round makes of it."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from api.domain.alert import Alert, AlertChange, AlertNotification, AlertTarget, NotificationKind
from api.domain.alert_action import PlannedAction
from api.domain.alert_rule import AlertRule

#: A rule and what it is held against.
TrackKey = tuple[str, str]


@dataclass(slots=True)
class Track:
    """One alert that is open, or has ended not long ago. Times are monotonic; None: not at present."""

    alert: Alert
    breaching_since: float | None = None
    clear_since: float | None = None
    seen_at: float | None = None  #: when it was last looked at
    fired_at: float | None = None  #: when it first fired
    target: AlertTarget | None = None  #: as it was last seen; None after a restart, until it is seen

    def now(self, monotonic: float, wall: datetime) -> datetime:
        """Return the present time as the alert counts it: from when it fired, whatever the wall clock did since."""
        if self.fired_at is None or self.alert.fired_at is None:
            return wall
        return self.alert.fired_at + timedelta(seconds=monotonic - self.fired_at)

    def freeze(self, passed: float) -> None:
        """Time in which nobody knows counts neither for the condition nor for its end."""
        if self.breaching_since is not None:
            self.breaching_since += passed
        if self.clear_since is not None:
            self.clear_since += passed


@dataclass(slots=True)
class Draft:
    """A change in the making: it counts once it is kept."""

    key: TrackKey
    track: Track
    before: Alert | None
    after: Alert
    messages: list[str] = field(default_factory=list)
    kinds: list[NotificationKind] = field(default_factory=list)  #: what is to be told
    notifications: list[AlertNotification] = field(default_factory=list)
    actions: list[PlannedAction] = field(default_factory=list)

    def change(self, message: str | None = None, **values: Any) -> None:
        """Changes the alert, and says so in its history."""
        self.after = replace(self.after, **values)
        if message:
            self.messages.append(message)

    def finished(self, now: datetime) -> AlertChange:
        """The change as it is kept."""
        number = 1 if self.before is None else self.before.number + 1
        self.after = replace(self.after, number=number, updated_at=now)
        told = tuple(replace(each, number=number) for each in self.notifications)
        message = "; ".join(self.messages) or None
        return AlertChange(self.before, self.after, message, notifications=told, actions=tuple(self.actions))


class Drafts:
    """The changes of one round: one for each alert at most."""

    def __init__(self) -> None:
        self._drafts: dict[TrackKey, Draft] = {}
        self.is_partial = False  #: there is more to be looked at

    def __len__(self) -> int:
        return len(self._drafts)

    def of(self, key: TrackKey, track: Track) -> Draft:
        """The draft of an alert that is there already; made on first use."""
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = Draft(key, track, track.alert, track.alert)
        return draft

    def begin(self, key: TrackKey, track: Track) -> Draft:
        """The draft of a new alert."""
        draft = self._drafts[key] = Draft(key, track, None, track.alert)
        return draft

    def get(self, key: TrackKey) -> Draft | None:
        """The draft of an alert; None when nothing of it changes."""
        return self._drafts.get(key)

    def current(self, key: TrackKey, track: Track) -> Alert:
        """An alert as it will be after this round."""
        draft = self._drafts.get(key)
        return track.alert if draft is None else draft.after

    @property
    def all(self) -> list[Draft]:
        """Every draft, in the order in which they were begun."""
        return list(self._drafts.values())


def fingerprint(rule: AlertRule, target: AlertTarget) -> str:
    """The identity of an alert: its rule and what it is about."""
    about = json.dumps([rule.rule_id, target.key, sorted(rule.labels.items())], ensure_ascii=True)
    return hashlib.sha256(about.encode()).hexdigest()[:16]
