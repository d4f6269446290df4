"""The texts of notifications.

The first line is the complete message. The remedy and a link follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from api.alerts.delivery.notifiers.notifier import OutboundMessage, page_link
from api.alerts.evaluation import show_number
from api.alerts.records.outbox_store import SHOWN_ALERTS
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.measurable import METRICS
from api.domain.alerts.alert import IS_OVER, RULE_GONE, TARGET_GONE, AlertState, NotificationKind
from api.domain.alerts.channel import AlertSnapshot, Channel, ClaimedDelivery, DeliveryKind
from api.domain.machines.gpu_event import Severity
from api.util.text.formatting import as_sentence, format_long_duration

#: Maximum number of alerts that a text lists.
_LISTED = 20

_RANK = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

_OVER = "✅"
_SIGNS = {Severity.CRITICAL: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}

#: Rules whose alerts have their own sign, whatever their severity.
_SIGNS_OF_RULES = {"training_failed": "❌", "training_finished": _OVER}

_NOTES = {
    NotificationKind.REPEAT: "The alert is still active.",
    NotificationKind.FLAPPING: "The alert is flapping: the next message follows when it has been stable for an hour.",
    NotificationKind.CALM: "The alert is no longer flapping.",
}

_UNITS = {metric.name: metric.unit for metric in METRICS}

#: Units of metrics whose peak is worth showing.
_SHOWN_UNITS = ("°C", "%", "GB")


@dataclass(frozen=True, slots=True)
class _Style:
    """The settings for formatting a message."""

    now: datetime
    zone: tzinfo | None  #: None: the zone of this machine
    public_url: str


def compose(claimed: ClaimedDelivery, now: datetime, public_url: str = "") -> OutboundMessage:
    """Return the message of a delivery. `public_url` is the address of the page, for links."""
    delivery = claimed.delivery
    alerts = _latest(claimed.alerts)
    total = max(delivery.count - (len(claimed.alerts) - len(alerts)), len(alerts))
    message = write(delivery.delivery_id, claimed.channel, alerts, total, now, public_url)
    is_test = delivery.kind is DeliveryKind.TEST
    return replace(
        message,
        severity=delivery.severity,
        group_key=delivery.group_key,
        is_test=is_test,
        is_resolved=message.is_resolved and not is_test,
    )


def write(
    message_id: str, channel: Channel, alerts: Sequence[AlertSnapshot], total: int, now: datetime, public_url: str
) -> OutboundMessage:
    """Return the message about these alerts, the most severe first.

    `total` also counts alerts that are not listed.
    """
    quiet = channel.settings.quiet_hours
    style = _Style(now, None if quiet is None else ZoneInfo(quiet.zone), public_url)
    shown = tuple(alerts[:SHOWN_ALERTS])
    parts = tuple(_write(f"{message_id}.{alert.alert_id}", channel, (alert,), 1, style) for alert in shown)
    return replace(_write(message_id, channel, shown, total, style), parts=parts if len(parts) > 1 else ())


def _write(
    message_id: str, channel: Channel, alerts: tuple[AlertSnapshot, ...], total: int, style: _Style
) -> OutboundMessage:
    is_one = total == 1 and len(alerts) == 1
    link = page_link(alerts[0] if is_one else None, style.public_url)
    return OutboundMessage(
        id=message_id,
        title=_title(alerts, total, style),
        body="\n".join(_detail(alerts[0], style) if is_one else _list(alerts, total, style)),
        severity=min((alert.severity for alert in alerts), key=_RANK.index, default=Severity.INFO),
        is_resolved=bool(alerts) and all(_is_over(alert) for alert in alerts),
        alerts=alerts,
        total=total,
        group_key=alerts[0].rule_id if alerts else "",
        channel_name=channel.name,
        sent_at=style.now,
        link=link,
        public_url=style.public_url,
    )


def _latest(alerts: Sequence[AlertSnapshot]) -> tuple[AlertSnapshot, ...]:
    """Return each alert once, by its latest change, the most severe first."""
    latest: dict[str, AlertSnapshot] = {}
    for alert in alerts:
        before = latest.get(alert.alert_id)
        if before is not None and before.number > alert.number:
            continue
        latest[alert.alert_id] = alert if before is None else replace(alert, severity=_higher_severity(before, alert))
    return tuple(sorted(latest.values(), key=lambda alert: (_is_over(alert), _RANK.index(alert.severity))))


def _higher_severity(one: AlertSnapshot, other: AlertSnapshot) -> Severity:
    return min(one.severity, other.severity, key=_RANK.index)


def _is_over(alert: AlertSnapshot) -> bool:
    return alert.state is AlertState.RESOLVED


def _title(alerts: Sequence[AlertSnapshot], total: int, style: _Style) -> str:
    if not alerts:
        return "Alerts"
    line = _line(alerts[0], style)
    if total <= 1:
        return line
    return f"{line.rstrip('.')}, and {total - 1:,} more {'alert' if total == 2 else 'alerts'}."


def _line(alert: AlertSnapshot, style: _Style) -> str:
    """Return the first line of an alert, with its sign."""
    if alert.kind is NotificationKind.TEST:
        return alert.title
    if _is_over(alert):
        return f"{_OVER} {_describe_end(alert)}"
    return f"{_SIGNS_OF_RULES.get(alert.rule_id, _SIGNS[alert.severity])} {_with_full_stop(alert.summary)}"


def _with_full_stop(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _describe_end(alert: AlertSnapshot) -> str:
    since, until = alert.fired_at or alert.since, alert.resolved_at
    took = "" if until is None else f", after {format_long_duration((until - since).total_seconds())}"
    if alert.resolution in (None, IS_OVER):
        return f"{alert.title}: it is over{took}."
    if alert.resolution in (TARGET_GONE, RULE_GONE):
        return f"{alert.title}: {alert.resolution}{took}."
    return f"{alert.resolution}{took}."


def _detail(alert: AlertSnapshot, style: _Style) -> list[str]:
    """Return the lines below the first one."""
    lines = [_remedy(alert), _NOTES.get(alert.kind, "")]
    if alert.kind is NotificationKind.TEST:
        return [alert.summary]
    lines.append(" · ".join(part for part in (_when(alert, style), *_describe_context(alert)) if part))
    lines += [alert.link or "", page_link(alert, style.public_url) or alert.labels.get("task_id") or alert.alert_id]
    return [line for line in lines if line]


def _remedy(alert: AlertSnapshot) -> str:
    return "" if _is_over(alert) or alert.kind is NotificationKind.TEST else as_sentence(alert.remedy)


def _when(alert: AlertSnapshot, style: _Style) -> str:
    since = alert.fired_at or alert.since
    if _is_over(alert) and alert.resolved_at is not None:
        return f"{_time(since, style)} to {_time(alert.resolved_at, style)}{_worst(alert)}"
    rule = BUILTIN_RULES.get(alert.rule_id)
    lasted = (style.now - since).total_seconds()
    if lasted < 60 or (rule is not None and rule.is_event):
        return _time(since, style)
    return f"Since {_time(since, style)}, for {format_long_duration(lasted)}"


def _worst(alert: AlertSnapshot) -> str:
    rule = BUILTIN_RULES.get(alert.rule_id)
    unit = "" if rule is None else _UNITS.get(rule.when[0].metric, "")
    if alert.peak is None or (rule is not None and unit not in _SHOWN_UNITS):
        return ""
    return f", at worst {show_number(alert.peak)} {unit}".rstrip()


def _describe_context(alert: AlertSnapshot) -> list[str]:
    """Return the machine and the owner if the first line does not contain them."""
    text = f"{alert.summary} {alert.resolution or ''}"
    node, owner = alert.labels.get("node", ""), alert.labels.get("owner", "")
    return [node if node not in text else "", f"owner {owner}" if owner and owner not in text else ""]


def _list(alerts: Sequence[AlertSnapshot], total: int, style: _Style) -> list[str]:
    """Return one line for each alert.

    A remedy that several alerts share is listed once, below them.
    """
    lines: list[str] = []
    listed = alerts[:_LISTED]
    for index, alert in enumerate(listed):
        lines.append(f"{_line(alert, style)} ({_time(alert.resolved_at or alert.fired_at or alert.since, style)})")
        following = listed[index + 1] if index + 1 < len(listed) else None
        remedy = _remedy(alert)
        if remedy and (following is None or _remedy(following) != remedy):
            lines.append(f"   {remedy}")
    if total > len(listed):
        lines.append(f"{total - len(listed):,} more: GET /api/v1/alerts lists them.")
    return [*lines, *filter(None, [page_link(None, style.public_url)])]


def _time(moment: datetime, style: _Style) -> str:
    local, today = moment.astimezone(style.zone), style.now.astimezone(style.zone).date()
    return f"{local:%H:%M %Z}" if local.date() == today else f"{local:%d %b %H:%M %Z}"
