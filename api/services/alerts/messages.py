"""What is told of alerts, as people read it. The first 60 characters carry all."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from api.models.alert import AlertState, NotificationKind
from api.models.channel import ClaimedDelivery, DeliveryKind, ToldAlert
from api.models.event import Severity
from api.notifiers.notifier import OutboundMessage
from api.services.alerts.evaluation import show_number
from api.storage.outbox import SHOWN_ALERTS
from api.utils.formatting import format_duration

#: Alerts that a text tells of one by one.
_WRITTEN = 20

_RANK = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

_SAID = {
    NotificationKind.REPEAT: "still fires",
    NotificationKind.ESCALATION: "nobody has acknowledged it",
    NotificationKind.FLAPPING: "comes and goes; nothing more is told until it is calm for an hour",
    NotificationKind.CALM: "has stopped coming and going",
}


def compose(claimed: ClaimedDelivery, now: datetime) -> OutboundMessage:
    """The message of a delivery."""
    delivery = claimed.delivery
    alerts = _latest(claimed.alerts)
    total = max(delivery.count - (len(claimed.alerts) - len(alerts)), len(alerts))
    is_test = delivery.kind is DeliveryKind.TEST
    is_resolved = bool(alerts) and not is_test and all(told.state is AlertState.RESOLVED for told in alerts)
    return OutboundMessage(
        id=delivery.delivery_id,
        title=_title(alerts, total, is_resolved),
        body=_body(alerts, total, now),
        severity=delivery.severity,
        is_resolved=is_resolved,
        alerts=alerts[:SHOWN_ALERTS],
        total=total,
        group_key=delivery.group_key,
        channel_name=claimed.channel.name,
        sent_at=now,
        is_test=is_test,
    )


def _latest(alerts: Sequence[ToldAlert]) -> tuple[ToldAlert, ...]:
    """One line an alert: what began and ended while it waited is told together; the gravest first."""
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


def _title(alerts: Sequence[ToldAlert], total: int, is_resolved: bool) -> str:
    if not alerts:
        return "Alerts"
    first = alerts[0]
    if first.kind is NotificationKind.TEST:
        return first.title
    sign = "[OK]" if is_resolved else f"[{first.severity[:1].upper()}]"
    return f"{sign} {first.title}" + (f", and {total - 1:,} more" if total > 1 else "")


def _body(alerts: Sequence[ToldAlert], total: int, now: datetime) -> str:
    parts = [_tell(told, now) for told in alerts[:_WRITTEN]]
    if total > _WRITTEN:
        parts.append(f"{total - min(len(alerts), _WRITTEN):,} more: GET /api/v1/alerts lists them.")
    return "\n\n".join(parts)


def _tell(told: ToldAlert, now: datetime) -> str:
    lines = [told.title if told.kind is NotificationKind.TEST else f"[{told.severity}] {told.title}", told.summary]
    if told.kind in _SAID:
        lines.append(f"It {_SAID[told.kind]}." if told.kind is not NotificationKind.ESCALATION else "Nobody has "
                     "acknowledged it.")  # fmt: skip
    since = told.fired_at or told.since
    if told.state is AlertState.RESOLVED and told.resolved_at is not None:
        took = format_duration((told.resolved_at - since).total_seconds())
        peak = "" if told.peak is None else f", at worst {show_number(told.peak)}"
        lines.append(f"It is over: {_time(since)} to {_time(told.resolved_at)}, {took}{peak}.")
    elif told.kind is not NotificationKind.TEST:
        lines.append(f"Since {_time(since)}, {format_duration((now - since).total_seconds())}.")
        if told.remedy:
            lines.append(f"What to do: {told.remedy}")
    owner = told.labels.get("owner")
    if owner:
        lines.append(f"It belongs to {owner}.")
    if told.link:
        lines.append(told.link)
    lines.append(f"({told.alert_id})")
    return "\n".join(line for line in lines if line)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
