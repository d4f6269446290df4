"""The urgency of messages for each service: priorities, and the key of an incident, by which its end closes it."""

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from api.alerts.notifiers.notifier import OutboundMessage
from api.domain.event import Severity

#: Services that keep an incident open until its end is sent, or that merge messages with the same key.
INCIDENT_SCHEMES = frozenset({"pagerduty", "opsgenie"})

#: By plugin, the priorities of critical, warning and info; resolved alerts use the last. Pushover's emergency (2) and
#: ntfy's lowest are not used: the former rings until a user responds, the latter is hidden.
_PRIORITIES: dict[str, tuple[str | int, str | int, str | int]] = {
    "NotifyNtfy": ("max", "high", "default"),
    "NotifyOpsgenie": (1, 3, 5),
    "NotifyPushover": (1, 0, -1),
    "NotifyGotify": (10, 8, 3),
}

_LEVELS = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def add_urgency(plugin: Any, message: OutboundMessage, url: str) -> None:
    """Set the priority, the link and the incident of a message in an Apprise plugin, unless its address sets them."""
    kind = type(plugin).__name__
    given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if kind in _PRIORITIES and "priority" not in given:
        level = len(_LEVELS) - 1 if message.is_resolved else _LEVELS.index(message.severity)
        plugin.priority = _PRIORITIES[kind][level]
    if message.link is not None and "click" not in given and hasattr(plugin, "click"):
        plugin.click = message.link
    if kind == "NotifyPagerDuty" and message.alerts and "dedup" not in given:
        plugin.dedup = message.alerts[0].alert_id
        plugin.action = "resolve" if message.is_resolved else "trigger"
    elif kind == "NotifyOpsgenie" and message.alerts and "alias" not in given:
        _name_incident(plugin, message.alerts[0].alert_id)


def _name_incident(plugin: Any, alert_id: str) -> None:
    """Set the alias of an Opsgenie alert, by which it is closed.

    The plugin itself closes only alerts that it has created.
    """
    plugin.alias = alert_id
    fetch = plugin._fetch  # noqa: SLF001 - it has no other place for the kind of an id

    def fetch_by_alias(method: Any, at: str, payload: Any, params: Any = None) -> Any:
        return fetch(method, at, payload, {**params, "identifierType": "alias"} if params else params)

    plugin._fetch = fetch_by_alias  # noqa: SLF001
    plugin.store.set(hashlib.sha1(alert_id.encode()).hexdigest()[:10], [alert_id])  # noqa: S324 - the plugin's own key
