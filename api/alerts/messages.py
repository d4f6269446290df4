"""What messages say of alerts: a first line that says it all, then what to do, then a link."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from api.alerts.builtin_rules import BUILTIN_RULES
from api.alerts.evaluation import show_number
from api.alerts.metrics import METRICS
from api.alerts.notifiers.notifier import OutboundMessage, page_link
from api.alerts.outbox_store import SHOWN_ALERTS
from api.domain.alert import IS_OVER, RULE_GONE, TARGET_GONE, AlertState, NotificationKind
from api.domain.channel import Channel, ClaimedDelivery, DeliveryKind, ToldAlert
from api.domain.event import Severity
from api.util.formatting import as_sentence, say_duration

#: Alerts that a text lists one by one.
_LISTED = 20

_RANK = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

_OVER = "✅"
_SIGNS = {Severity.CRITICAL: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}

#: Rules whose alerts have a sign of their own, whatever their severity.
_SIGNS_OF_RULES = {"training_failed": "❌", "training_finished": _OVER}

_NOTES = {
    NotificationKind.REPEAT: "It is still so.",
    NotificationKind.FLAPPING: "It comes and goes: the next message comes when it has been calm for an hour.",
    NotificationKind.CALM: "It has stopped coming and going.",
}

_UNITS = {metric.name: metric.unit for metric in METRICS}

#: Units of metrics whose worst value says something.
_SHOWN_UNITS = ("°C", "%", "GB")


@dataclass(frozen=True, slots=True)
class _Style:
    """How a message is written."""

    now: datetime
    zone: tzinfo | None  #: None: this machine's
    public_url: str


def compose(claimed: ClaimedDelivery, now: datetime, public_url: str = "") -> OutboundMessage:
    """Return the message of a delivery; `public_url` is the address of the page, for links."""
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
    message_id: str, channel: Channel, alerts: Sequence[ToldAlert], total: int, now: datetime, public_url: str
) -> OutboundMessage:
    """Return the message about these alerts, the gravest first; `total` counts those too that are not listed."""
    quiet = channel.settings.quiet_hours
    style = _Style(now, None if quiet is None else ZoneInfo(quiet.zone), public_url)
    shown = tuple(alerts[:SHOWN_ALERTS])
    parts = tuple(_write(f"{message_id}.{told.alert_id}", channel, (told,), 1, style) for told in shown)
    return replace(_write(message_id, channel, shown, total, style), parts=parts if len(parts) > 1 else ())


def _write(
    message_id: str, channel: Channel, alerts: tuple[ToldAlert, ...], total: int, style: _Style
) -> OutboundMessage:
    is_one = total == 1 and len(alerts) == 1
    link = page_link(alerts[0] if is_one else None, style.public_url)
    return OutboundMessage(
        id=message_id,
        title=_title(alerts, total, style),
        body="\n".join(_detail(alerts[0], style) if is_one else _list(alerts, total, style)),
        severity=min((told.severity for told in alerts), key=_RANK.index, default=Severity.INFO),
        is_resolved=bool(alerts) and all(_is_over(told) for told in alerts),
        alerts=alerts,
        total=total,
        group_key=alerts[0].rule_id if alerts else "",
        channel_name=channel.name,
        sent_at=style.now,
        link=link,
        public_url=style.public_url,
    )


def _latest(alerts: Sequence[ToldAlert]) -> tuple[ToldAlert, ...]:
    """Return each alert once, by its latest change, the gravest first."""
    latest: dict[str, ToldAlert] = {}
    for told in alerts:
        before = latest.get(told.alert_id)
        if before is not None and before.number > told.number:
            continue
        latest[told.alert_id] = told if before is None else replace(told, severity=_graver(before, told))
    return tuple(sorted(latest.values(), key=lambda told: (_is_over(told), _RANK.index(told.severity))))


def _graver(one: ToldAlert, other: ToldAlert) -> Severity:
    return min(one.severity, other.severity, key=_RANK.index)


def _is_over(told: ToldAlert) -> bool:
    return told.state is AlertState.RESOLVED


def _title(alerts: Sequence[ToldAlert], total: int, style: _Style) -> str:
    if not alerts:
        return "Alerts"
    line = _line(alerts[0], style)
    if total <= 1:
        return line
    return f"{line.rstrip('.')}, and {total - 1:,} more {'alert' if total == 2 else 'alerts'}."


def _line(told: ToldAlert, style: _Style) -> str:
    """Return the sentence that says it all, with its sign."""
    if told.kind is NotificationKind.TEST:
        return told.title
    if _is_over(told):
        return f"{_OVER} {_end(told)}"
    return f"{_SIGNS_OF_RULES.get(told.rule_id, _SIGNS[told.severity])} {_stop(told.summary)}"


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _end(told: ToldAlert) -> str:
    since, until = told.fired_at or told.since, told.resolved_at
    took = "" if until is None else f", after {say_duration((until - since).total_seconds())}"
    if told.resolution in (None, IS_OVER):
        return f"{told.title}: it is over{took}."
    if told.resolution in (TARGET_GONE, RULE_GONE):
        return f"{told.title}: {told.resolution}{took}."
    return f"{told.resolution}{took}."


def _detail(told: ToldAlert, style: _Style) -> list[str]:
    """Return the lines below the first one."""
    lines = [_remedy(told), _NOTES.get(told.kind, "")]
    if told.kind is NotificationKind.TEST:
        return [told.summary]
    lines.append(" · ".join(part for part in (_when(told, style), *_about(told)) if part))
    lines += [told.link or "", page_link(told, style.public_url) or told.labels.get("task_id") or told.alert_id]
    return [line for line in lines if line]


def _remedy(told: ToldAlert) -> str:
    return "" if _is_over(told) or told.kind is NotificationKind.TEST else as_sentence(told.remedy)


def _when(told: ToldAlert, style: _Style) -> str:
    since = told.fired_at or told.since
    if _is_over(told) and told.resolved_at is not None:
        return f"{_time(since, style)} to {_time(told.resolved_at, style)}{_worst(told)}"
    rule = BUILTIN_RULES.get(told.rule_id)
    lasted = (style.now - since).total_seconds()
    if lasted < 60 or (rule is not None and rule.is_event):
        return _time(since, style)
    return f"Since {_time(since, style)}, for {say_duration(lasted)}"


def _worst(told: ToldAlert) -> str:
    rule = BUILTIN_RULES.get(told.rule_id)
    unit = "" if rule is None else _UNITS.get(rule.when[0].metric, "")
    if told.peak is None or (rule is not None and unit not in _SHOWN_UNITS):
        return ""
    return f", at worst {show_number(told.peak)} {unit}".rstrip()


def _about(told: ToldAlert) -> list[str]:
    """Return the machine and the owner, where the first line does not name them."""
    said = f"{told.summary} {told.resolution or ''}"
    node, owner = told.labels.get("node", ""), told.labels.get("owner", "")
    return [node if node not in said else "", f"owner {owner}" if owner and owner not in said else ""]


def _list(alerts: Sequence[ToldAlert], total: int, style: _Style) -> list[str]:
    """Return one line for each alert; what to do stands once below those that share it."""
    lines: list[str] = []
    listed = alerts[:_LISTED]
    for place, told in enumerate(listed):
        lines.append(f"{_line(told, style)} ({_time(told.resolved_at or told.fired_at or told.since, style)})")
        following = listed[place + 1] if place + 1 < len(listed) else None
        remedy = _remedy(told)
        if remedy and (following is None or _remedy(following) != remedy):
            lines.append(f"   {remedy}")
    if total > len(listed):
        lines.append(f"{total - len(listed):,} more: GET /api/v1/alerts lists them.")
    return [*lines, *filter(None, [page_link(None, style.public_url)])]


def _time(moment: datetime, style: _Style) -> str:
    local, today = moment.astimezone(style.zone), style.now.astimezone(style.zone).date()
    return f"{local:%H:%M %Z}" if local.date() == today else f"{local:%d %b %H:%M %Z}"
