"""Alerts, rules, silences and channels as the API returns them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from api.domain.alert import Alert, AlertHistoryRow, Matcher, ShownState, Silence
from api.domain.alert_action import ActionKind, ActionView
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.channel import Channel, ChannelKind, ChannelSettings, DeliveryView
from api.domain.event import Severity


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert. `value` and `peak` belong to the first metric of its rule."""

    alert_id: str
    rule_id: str
    scope: RuleScope
    target: str
    labels: Mapping[str, str]
    severity: Severity
    state: ShownState
    title: str
    summary: str
    remedy: str
    link: str | None
    since: datetime  #: when its condition became true
    fired_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    value: float | None
    peak: float | None
    is_unknown: bool  #: whether its condition is true is unknown at present
    is_flapping: bool
    owner: str | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    acknowledged_until: datetime | None
    muted_by: str | None  #: id of the silence or alert that suppresses its notifications
    told_at: datetime | None  #: when a message about it was last delivered
    updated_at: datetime


def show_alert(alert: Alert) -> AlertView:
    """Return the view of an alert."""
    return AlertView(
        alert_id=alert.alert_id,
        rule_id=alert.rule_id,
        scope=alert.scope,
        target=alert.target,
        labels=alert.labels,
        severity=alert.severity,
        state=alert.shown_state,
        title=alert.title,
        summary=alert.summary,
        remedy=alert.remedy,
        link=alert.link,
        since=alert.since,
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        resolution=alert.resolution,
        value=alert.value,
        peak=alert.peak,
        is_unknown=alert.is_unknown,
        is_flapping=alert.flapping_since is not None,
        owner=alert.owner,
        acknowledged_by=alert.acknowledged_by,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_until=alert.acknowledged_until,
        muted_by=alert.muted_by,
        told_at=alert.delivered_at,
        updated_at=alert.updated_at,
    )


@dataclass(frozen=True, slots=True)
class AlertDetailView:
    """An alert with its history. `deliveries` is null for users who may not see channels."""

    alert: AlertView
    history: tuple[AlertHistoryRow, ...]
    deliveries: tuple[DeliveryView, ...] | None
    actions: tuple[ActionView, ...]  #: actions of its rule


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule. Conditions look like `temperature_gpu >= temperature_slowdown - 5`.

    `metric`, `comparison` and `value` form its threshold; they are null for a rule without a threshold.
    """

    rule_id: str
    title: str
    scope: RuleScope
    when: tuple[str, ...]
    match: str  #: whether `all` or `any` of `when` must be true
    metric: str | None
    comparison: str | None
    value: float | None
    for_seconds: float
    clear: tuple[str, ...]
    clear_seconds: float
    severity: Severity
    critical_when: tuple[str, ...]
    summary: str
    remedy: str
    link: str | None
    labels: Mapping[str, str]
    enabled: bool
    is_builtin: bool
    is_changed: bool  #: whether a built-in rule was changed
    is_event: bool
    is_opt_in: bool
    actions: tuple[ActionKind, ...]  #: what is done when it fires
    acts_for: str | None  #: the only user on whose tasks it may act; null: all users
    actions_by: str | None  #: the user who set its actions
    updated_at: datetime | None
    updated_by: str | None


def show_rule(rule: AlertRule) -> RuleView:
    """Return the view of a rule."""
    threshold = rule.threshold
    return RuleView(
        rule_id=rule.rule_id,
        title=rule.title,
        scope=rule.scope,
        when=tuple(clause.text for clause in rule.when),
        match="any" if rule.any_of else "all",
        metric=None if threshold is None else threshold.metric,
        comparison=None if threshold is None else threshold.compare.name.lower(),
        value=None if threshold is None else threshold.value,
        for_seconds=rule.for_seconds,
        clear=tuple(clause.text for clause in rule.clear),
        clear_seconds=rule.clear_seconds,
        severity=rule.severity,
        critical_when=tuple(clause.text for clause in rule.critical_when),
        summary=rule.summary,
        remedy=rule.remedy,
        link=rule.link,
        labels=rule.labels,
        enabled=rule.enabled,
        is_builtin=rule.is_builtin,
        is_changed=rule.is_builtin and rule.updated_at is not None,
        is_event=rule.is_event,
        is_opt_in=rule.is_opt_in,
        actions=rule.actions,
        acts_for=rule.acts_for,
        actions_by=rule.actions_by,
        updated_at=rule.updated_at,
        updated_by=rule.updated_by,
    )


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence."""

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    is_active: bool
    author: str
    comment: str
    created_at: datetime
    owner: str | None  #: the only user whose alerts it silences; null: all users


def show_silence(silence: Silence, now: datetime) -> SilenceView:
    """Return the view of a silence."""
    return SilenceView(
        silence.silence_id,
        silence.matchers,
        silence.starts_at,
        silence.ends_at,
        silence.is_active(now),
        silence.author,
        silence.comment,
        silence.created_at,
        silence.owner,
    )


@dataclass(frozen=True, slots=True)
class QuietHoursView:
    """A time of day in which only critical alerts are sent."""

    zone: str
    begins: str
    ends: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel. Its address is masked and never returned in full."""

    channel_id: str
    name: str
    kind: ChannelKind
    address: str
    fingerprint: str  #: distinguishes addresses
    enabled: bool
    disabled_reason: str | None
    min_severity: Severity
    matchers: tuple[Matcher, ...]
    send_resolved: bool
    only_opted_in: bool
    group_wait_seconds: float
    critical_wait_seconds: float
    per_minute: int
    per_hour: int
    repeat_critical_seconds: float | None
    repeat_warning_seconds: float | None
    quiet_hours: QuietHoursView | None
    webhook_format: str
    from_environment: bool  #: created by the setting NOTIFY_URL: requests cannot change or delete it
    failures: int
    last_error: str | None  #: null for users who may not manage channels
    last_success_at: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime


def show_channel(channel: Channel, with_errors: bool) -> ChannelView:
    """Return the view of a channel. Only administrators see its receiver's responses."""
    settings: ChannelSettings = channel.settings
    quiet = settings.quiet_hours
    return ChannelView(
        channel_id=channel.channel_id,
        name=channel.name,
        kind=channel.kind,
        address=channel.shown,
        fingerprint=channel.mark,
        enabled=channel.enabled,
        disabled_reason=channel.disabled_reason if with_errors else None,
        min_severity=settings.min_severity,
        matchers=settings.matchers,
        send_resolved=settings.send_resolved,
        only_opted_in=settings.only_opted_in,
        group_wait_seconds=settings.group_wait_seconds,
        critical_wait_seconds=settings.critical_wait_seconds,
        per_minute=settings.per_minute,
        per_hour=settings.per_hour,
        repeat_critical_seconds=settings.repeat_critical_seconds,
        repeat_warning_seconds=settings.repeat_warning_seconds,
        quiet_hours=None
        if quiet is None
        else QuietHoursView(quiet.zone, quiet.begins.isoformat("minutes"), quiet.ends.isoformat("minutes")),
        webhook_format=settings.webhook_format,
        from_environment=channel.is_from_environment,
        failures=channel.failures,
        last_error=channel.last_error if with_errors else None,
        last_success_at=channel.last_success_at,
        created_at=channel.created_at,
        created_by=channel.created_by,
        updated_at=channel.updated_at,
    )
