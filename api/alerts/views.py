"""Alerts, rules, silences and channels as the API returns them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.domain.alerts.alert import Alert, AlertHistoryRow, Matcher, ShownState, Silence
from api.domain.alerts.alert_action import ActionKind, ActionView
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import Channel, ChannelKind, ChannelSettings, DeliveryView
from api.domain.machines.gpu_event import Severity
from api.util.copying import copy_fields


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert. `value` and `peak` belong to the first metric of its rule."""

    alert_id: str
    rule_id: str  #: the rule whose condition is true
    scope: RuleScope  #: kind of thing that it is about
    target: str  #: GPU, task, disk or other thing that it is about
    labels: Mapping[str, str]  #: for matchers and receivers
    severity: Severity  #: how urgent it is
    state: ShownState  #: as in the filter `state`
    title: str  #: short name of the problem
    summary: str  #: what happens, with the current values
    remedy: str
    #: values in summary and remedy of a built-in rule by placeholder, for translations: text, a number (durations in
    #: seconds), null if unknown, or a coded message with `text`, `code` and `params`, or a list of these; `actions`
    #: announces what the rule does. null: the rule is not built-in, or the alert is from an earlier version
    values: Mapping[str, Any] | None
    link: str | None  #: page with more; null if none
    since: datetime  #: when its condition became true
    fired_at: datetime | None  #: when it became active; null while it is pending
    resolved_at: datetime | None  #: when it ended; null while it has not
    resolution: str | None  #: why it ended; null while it has not
    value: float | None  #: latest value; null if unknown
    peak: float | None  #: worst value so far; null if unknown
    is_unknown: bool  #: whether its condition is true is unknown at present
    is_flapping: bool  #: whether it fires so often that it is not reported each time
    owner: str | None  #: user to whom the target belongs; null: no user
    acknowledged_by: str | None  #: null: not acknowledged
    acknowledged_at: datetime | None  #: null: not acknowledged
    acknowledged_until: datetime | None  #: end of the acknowledgement; null: until the alert ends
    muted_by: str | None  #: id of the silence or alert that suppresses its notifications
    told_at: datetime | None  #: when a message about it was last delivered
    updated_at: datetime


def show_alert(alert: Alert) -> AlertView:
    """Return the view of an alert."""
    return copy_fields(
        AlertView,
        alert,
        state=alert.shown_state,
        is_flapping=alert.flapping_since is not None,
        told_at=alert.delivered_at,
    )


@dataclass(frozen=True, slots=True)
class AlertDetailView:
    """An alert with its history. `deliveries` is null for users who may not see channels."""

    alert: AlertView  #: the alert itself
    history: tuple[AlertHistoryRow, ...]  #: its changes
    deliveries: tuple[DeliveryView, ...] | None  #: messages about it; null: the caller may not see them
    actions: tuple[ActionView, ...]  #: actions of its rule


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule. Conditions look like `temperature_gpu >= temperature_slowdown - 5`.

    `metric`, `comparison` and `value` form its threshold; they are null for a rule without a threshold.
    """

    rule_id: str
    title: str  #: short name of the problem
    scope: RuleScope  #: kind of thing that it is evaluated for
    when: tuple[str, ...]  #: conditions under which it fires
    match: str  #: whether `all` or `any` of `when` must be true
    metric: str | None  #: metric of the threshold; null without one
    comparison: str | None  #: how it is compared; null without a threshold
    value: float | None  #: the threshold; null without one
    for_seconds: float  #: how long the conditions must be true
    clear: tuple[str, ...]  #: conditions under which it ends; empty: when `when` is no longer true
    clear_seconds: float  #: how long they must be true
    severity: Severity  #: how urgent its alerts are
    critical_when: tuple[str, ...]  #: conditions that make it critical; empty: none
    summary: str  #: text of its alerts, with metrics and labels in braces
    remedy: str
    link: str | None  #: page with more; null if none
    labels: Mapping[str, str]  #: labels of its alerts besides the usual ones
    enabled: bool  #: whether it is evaluated
    is_builtin: bool  #: whether it belongs to the service
    is_changed: bool  #: whether a built-in rule was changed
    is_event: bool  #: whether it is about something that happened once, whose end is not sent
    is_opt_in: bool  #: whether it is sent only if a training's own `notify` requests it
    actions: tuple[ActionKind, ...]  #: what is done when it fires
    acts_for: str | None  #: the only user on whose tasks it may act; null: all users
    actions_by: str | None  #: the user who set its actions
    updated_at: datetime | None
    updated_by: str | None  #: who changed it; null: it was not changed


def show_rule(rule: AlertRule) -> RuleView:
    """Return the view of a rule."""
    threshold = rule.threshold
    return copy_fields(
        RuleView,
        rule,
        when=tuple(clause.text for clause in rule.when),
        match="any" if rule.any_of else "all",
        metric=None if threshold is None else threshold.metric,
        comparison=None if threshold is None else threshold.compare.name.lower(),
        value=None if threshold is None else threshold.value,
        clear=tuple(clause.text for clause in rule.clear),
        critical_when=tuple(clause.text for clause in rule.critical_when),
        is_changed=rule.is_builtin and rule.updated_at is not None,
    )


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence."""

    silence_id: str
    matchers: tuple[Matcher, ...]  #: labels of the alerts that it silences
    starts_at: datetime  #: start of the silence
    ends_at: datetime  #: end of the silence
    is_active: bool  #: whether it is in force now
    author: str  #: who created it
    comment: str  #: why
    created_at: datetime
    owner: str | None  #: the only user whose alerts it silences; null: all users


def show_silence(silence: Silence, now: datetime) -> SilenceView:
    """Return the view of a silence."""
    return copy_fields(SilenceView, silence, is_active=silence.is_active(now))


@dataclass(frozen=True, slots=True)
class QuietHoursView:
    """A time of day in which only critical alerts are sent."""

    zone: str  #: time zone, such as Europe/Berlin
    begins: str  #: local time, HH:MM
    ends: str  #: local time, HH:MM; the next day if it is before `begins`


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel. Its address is masked and never returned in full."""

    channel_id: str
    name: str
    kind: ChannelKind  #: apprise: e-mail, SMS or chat; webhook: a POST
    address: str  #: masked address of the receiver
    fingerprint: str  #: distinguishes addresses
    enabled: bool  #: whether it sends
    disabled_reason: str | None  #: why the service disabled it; null if it did not
    min_severity: Severity  #: lowest severity that it sends
    matchers: tuple[Matcher, ...]  #: labels that alerts must have; empty: all alerts
    send_resolved: bool  #: whether it also sends that an alert has ended
    only_opted_in: bool  #: whether it sends only what a training's own `notify` requests
    group_wait_seconds: float  #: wait for more alerts of the same group
    critical_wait_seconds: float  #: the same for critical alerts
    per_minute: int  #: maximum number of messages per minute
    per_hour: int  #: maximum number of messages per hour
    repeat_critical_seconds: float | None  #: interval in which critical alerts are repeated; null: never
    repeat_warning_seconds: float | None  #: interval in which warnings are repeated; null: never
    quiet_hours: QuietHoursView | None  #: when only critical alerts are sent; null: never
    webhook_format: str  #: format of a webhook's body
    from_environment: bool  #: created by the setting NOTIFY_URL: requests cannot change or delete it
    failures: int  #: failed attempts since the last success
    last_error: str | None  #: null for users who may not manage channels
    last_success_at: datetime | None  #: null: nothing was sent yet
    created_at: datetime
    created_by: str
    updated_at: datetime


def show_channel(channel: Channel, with_errors: bool) -> ChannelView:
    """Return the view of a channel. Only administrators see its receiver's responses."""
    settings: ChannelSettings = channel.settings
    quiet = settings.quiet_hours
    return copy_fields(
        ChannelView,
        channel,
        settings,
        address=channel.shown,
        fingerprint=channel.mark,
        disabled_reason=channel.disabled_reason if with_errors else None,
        quiet_hours=None
        if quiet is None
        else QuietHoursView(quiet.zone, quiet.begins.isoformat("minutes"), quiet.ends.isoformat("minutes")),
        from_environment=channel.is_from_environment,
        last_error=channel.last_error if with_errors else None,
    )
