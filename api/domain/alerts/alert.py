"""Alerts, their notifications and silences. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.alerts.alert_action import PlannedAction
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.gpu_event import Severity
from api.domain.reason import ReasonCode, ReasonOrText


class AlertState(StrEnum):
    """The state of an alert."""

    PENDING = "pending"  #: its condition is true, but not for long enough yet
    FIRING = "firing"
    RESOLVED = "resolved"


#: Why an alert ended, if its rule has no text for it.
IS_OVER = "it is over"
NOT_RUNNING = "{task} is no longer running"
TARGET_GONE = "its target no longer exists"
RULE_GONE = "its rule was deleted or switched off"


class ShownState(StrEnum):
    """The states by which users filter alerts."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  #: firing, and acknowledged by a user
    SILENCED = "silenced"  #: firing, but notifications are suppressed
    RESOLVED = "resolved"


class NotificationKind(StrEnum):
    """The kind of a notification."""

    FIRING = "firing"
    REPEAT = "repeat"  #: still firing
    FLAPPING = "flapping"  #: it fires and ends repeatedly: no more notifications until it is stable
    CALM = "calm"  #: it has become stable
    RESOLVED = "resolved"
    TEST = "test"

    @property
    def says_firing(self) -> bool:
        """Whether its recipient believes that the alert is firing."""
        return self not in (NotificationKind.RESOLVED, NotificationKind.TEST)


@dataclass(frozen=True, slots=True)
class Subject:
    """The task that an alert's actions apply to."""

    task_id: str
    owner: str | None
    attempt: int | None = None  #: None: unknown


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident of one rule for one target."""

    alert_id: str
    fingerprint: str  #: identifies rule and target; at most one incident of it is active
    rule_id: str
    scope: RuleScope
    target: str
    labels: Mapping[str, str]
    severity: Severity
    state: AlertState
    number: int  #: number of its latest change
    title: str
    summary: str
    remedy: str
    link: str | None
    since: datetime  #: when its condition became true
    updated_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None  #: why it ended
    value: float | None = None  #: value of its rule's first metric, now or at the end
    peak: float | None = None
    is_unknown: bool = False  #: whether its condition is true is unknown at present
    owner: str | None = None  #: owner of the target
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_until: datetime | None = None
    #: severity when acknowledged; a higher one must be acknowledged again
    acknowledged_severity: Severity | None = None
    muted_by: str | None = None  #: the silence or alert that suppresses notifications
    flips: tuple[float, ...] = ()  #: when it fired or ended within the last hour, in Unix seconds
    flapping_since: datetime | None = None
    notified: tuple[str, ...] = ()  #: channels notified that it fires, but not yet that it ended
    notified_at: datetime | None = None  #: when a notification was last planned, on the alert's own clock
    delivered_at: datetime | None = None  #: when one was last delivered; None if not looked up
    bound: Subject | None = None  #: the task that it concerned when its condition began
    #: the values in summary and remedy of a built-in rule, see `AlertView`; None: stored by an earlier version
    values: Mapping[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state is not AlertState.RESOLVED

    @property
    def shown_state(self) -> ShownState:
        """The state by which users filter alerts."""
        if self.state is AlertState.FIRING and self.muted_by is not None:
            return ShownState.SILENCED
        if self.state is AlertState.FIRING and self.acknowledged_by is not None:
            return ShownState.ACKNOWLEDGED
        return ShownState(self.state.value)


@dataclass(frozen=True, slots=True)
class AlertNotification:
    """A notification of a change, appended together with that change."""

    alert_id: str
    number: int
    kind: NotificationKind
    channel_id: str
    severity: Severity
    group_key: str
    not_before: datetime


@dataclass(frozen=True, slots=True)
class AlertChange:
    """A change of an alert with its notifications and actions, stored in one transaction."""

    before: Alert | None
    after: Alert
    message: ReasonOrText | None = None  #: history entry; None: not worth an entry
    actor: str = "service"
    notifications: tuple[AlertNotification, ...] = ()
    actions: tuple[PlannedAction, ...] = ()

    @property
    def is_forgotten(self) -> bool:
        """Whether the alert was pending and ended without firing. It is then deleted."""
        return self.after.state is AlertState.RESOLVED and self.after.fired_at is None


@dataclass(frozen=True, slots=True)
class AlertHistoryRow:
    """A stored change of an alert."""

    id: int  #: increases with each change
    alert_id: str
    number: int  #: number of the change in this alert, from 1
    at: datetime  #: time of the change
    state: ShownState  #: state after the change
    severity: Severity  #: severity after the change
    actor: str
    message: str
    value: float | None  #: value at that time; null if unknown
    message_code: ReasonCode | None = None  #: code and parameters of the message, for programs and translations


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label. With `is_glob` the value may contain `*`."""

    label: str  #: name of the label
    value: str  #: value that the label must have
    is_glob: bool = False  #: whether `*` in the value stands for any characters


@dataclass(frozen=True, slots=True)
class Silence:
    """Suppresses notifications of matching alerts for a time."""

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime
    owner: str | None = None  #: the only user whose alerts it applies to; None: all
    ended_at: datetime | None = None  #: when a request ended it; a later clock change does not revive it

    def is_active(self, now: datetime) -> bool:
        """Return whether it is in force at this time."""
        return self.ended_at is None and self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to list."""

    states: tuple[ShownState, ...] = ()
    severity: Severity | None = None
    rule_id: str | None = None
    task_id: str | None = None
    seen_by: str | None = None  #: the only user whose alerts are visible, besides those without an owner
    gpu_uuid: str | None = None  #: only alerts about this GPU
    is_open: bool | None = None  #: True: only active alerts; False: only ended ones
    since: datetime | None = None  #: only alerts that were active at this time or later
    until: datetime | None = None  #: only alerts that began by this time


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """The number of active alerts."""

    firing: int = 0  #: active, neither acknowledged nor silenced
    pending: int = 0  #: true, but not yet for long enough
    acknowledged: int = 0  #: acknowledged by a user
    silenced: int = 0  #: silenced, or explained by another alert
    critical: int = 0  #: critical alerts that are neither acknowledged nor silenced


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """A target that rules are evaluated for."""

    key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    summary_values: Mapping[str, str] = field(default_factory=dict)  #: additional values for summaries
    owner: str | None = None
    channels: tuple[str, ...] = ()  #: names of channels to notify besides those by rule
    notified_of: tuple[str, ...] = ()  #: ids of the rules for which these channels are notified
    subject: Subject | None = None  #: the task that it is, or that runs on it
    has_failed: bool = False  #: a failed task: the end of an alert about it is not good news
    #: those of `summary_values` that have a code, for translations
    coded_values: Mapping[str, ReasonOrText | Sequence[ReasonOrText]] = field(default_factory=dict)
