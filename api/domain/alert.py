"""Alerts: what fires, since when, who has seen it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from api.domain.alert_action import PlannedAction
from api.domain.alert_rule import RuleScope
from api.domain.event import Severity


class AlertState(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"  #: its condition is true, and not yet for long enough
    FIRING = "firing"
    RESOLVED = "resolved"


#: Why an alert ended, where its rule has no sentence for that.
IS_OVER = "it is over"
NOT_RUNNING = "{task} is no longer running"
TARGET_GONE = "what it was about no longer exists"
RULE_GONE = "its rule was deleted or switched off"


class ShownState(StrEnum):
    """The states by which people look for alerts."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  #: it fires, and somebody has said that they know
    SILENCED = "silenced"  #: it fires, and nobody is told
    RESOLVED = "resolved"


class NotificationKind(StrEnum):
    """What a notification says of its alert."""

    FIRING = "firing"
    REPEAT = "repeat"  #: it fires still
    FLAPPING = "flapping"  #: it comes and goes: nothing more is told until it is calm
    CALM = "calm"  #: it has stopped coming and going
    RESOLVED = "resolved"
    TEST = "test"

    @property
    def says_firing(self) -> bool:
        """Whether whoever got it believes that the alert fires."""
        return self not in (NotificationKind.RESOLVED, NotificationKind.TEST)


@dataclass(frozen=True, slots=True)
class Subject:
    """The task that an alert's actions are done to."""

    task_id: str
    owner: str | None
    attempt: int | None = None  #: None: not known


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident of one rule at one target."""

    alert_id: str
    fingerprint: str  #: of the rule and what it is about; one incident of it is open at a time
    rule_id: str
    scope: RuleScope
    target: str
    labels: Mapping[str, str]
    severity: Severity
    state: AlertState
    number: int  #: of its latest change
    title: str
    summary: str
    remedy: str
    link: str | None
    since: datetime  #: when its condition became true
    updated_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None  #: why it ended
    value: float | None = None  #: of the first metric of its rule, now or at the end
    peak: float | None = None
    is_unknown: bool = False  #: nobody can say at present whether its condition is true
    owner: str | None = None  #: whom the thing that it is about belongs to
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_until: datetime | None = None
    acknowledged_severity: Severity | None = None  #: what it was then: a graver one is to be acknowledged anew
    muted_by: str | None = None  #: the silence, or the alert, because of which nobody is told
    flips: tuple[float, ...] = ()  #: when it fired or ended within the last hour, in Unix seconds
    flapping_since: datetime | None = None
    told: tuple[str, ...] = ()  #: channels that were told that it fires, and not yet that it has ended
    told_at: datetime | None = None  #: when a message was last planned, as the alert counts its time
    delivered_at: datetime | None = None  #: when one was last delivered; None where that was not looked up
    bound: Subject | None = None  #: the task that it was about when its condition began

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state is not AlertState.RESOLVED

    @property
    def shown_state(self) -> ShownState:
        """The state as people look for it."""
        if self.state is AlertState.FIRING and self.muted_by is not None:
            return ShownState.SILENCED
        if self.state is AlertState.FIRING and self.acknowledged_by is not None:
            return ShownState.ACKNOWLEDGED
        return ShownState(self.state.value)


@dataclass(frozen=True, slots=True)
class AlertNotification:
    """What a channel is to be told of a change of an alert: appended together with that change."""

    alert_id: str
    number: int
    kind: NotificationKind
    channel_id: str
    severity: Severity
    group_key: str
    not_before: datetime


@dataclass(frozen=True, slots=True)
class AlertChange:
    """A change of an alert with its notifications: all of it is kept in one transaction, or nothing."""

    before: Alert | None
    after: Alert
    message: str | None = None  #: for its history; None: nothing that anybody would look for
    actor: str = "service"
    notifications: tuple[AlertNotification, ...] = ()
    actions: tuple[PlannedAction, ...] = ()

    @property
    def is_forgotten(self) -> bool:
        """Whether it was pending and ended without a word: then it is as if it had never been."""
        return self.after.state is AlertState.RESOLVED and self.after.fired_at is None


@dataclass(frozen=True, slots=True)
class AlertHistoryRow:
    """A change of an alert, as it is kept."""

    id: int
    alert_id: str
    number: int
    at: datetime
    state: ShownState
    severity: Severity
    actor: str
    message: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label must be. With `is_glob` the value may hold `*`."""

    label: str
    value: str
    is_glob: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """For how long nobody is told of which alerts, and why."""

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime
    owner: str | None = None  #: the user whose alerts alone it silences; None: everybody's
    ended_at: datetime | None = None  #: when a request ended it: no clock that is set revives it

    def is_active(self, now: datetime) -> bool:
        """Whether it holds at this time."""
        return self.ended_at is None and self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts a list shows."""

    states: tuple[ShownState, ...] = ()
    severity: Severity | None = None
    rule_id: str | None = None
    task_id: str | None = None
    seen_by: str | None = None  #: the user whose own alone may be seen, besides what is nobody's
    gpu_uuid: str | None = None  #: only about this GPU
    is_open: bool | None = None  #: only what has not ended, or only what has
    since: datetime | None = None  #: only what went on at this time, or later
    until: datetime | None = None  #: only what had begun by this time


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """How many alerts are open."""

    firing: int = 0
    pending: int = 0
    acknowledged: int = 0
    silenced: int = 0
    critical: int = 0  #: of those that fire, neither acknowledged nor silenced


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Something that rules are held against."""

    key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)  #: more that a summary may name
    owner: str | None = None
    channels: tuple[str, ...] = ()  #: names of channels that are told besides those by rule
    told_of: tuple[str, ...] = ()  #: ids of the rules that these are told of
    subject: Subject | None = None  #: the task that it is, or that runs on it
    has_failed: bool = False  #: it is a task that has failed: no end of an alert about it is good news
