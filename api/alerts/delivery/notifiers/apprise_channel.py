"""E-mail, SMS and chat by Apprise, limited to permitted hosts, known options, and each service's limits."""

import hashlib
import logging
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from api.alerts.delivery.notifiers.addresses import AddressGuard, ConnectionWatch
from api.alerts.delivery.notifiers.notifier import (
    ADDRESS_UNREADABLE,
    PASSING_STATUSES,
    REFUSAL_STATUSES,
    AddressRefused,
    Delivered,
    OutboundMessage,
    Rejected,
    RetryLater,
    SendOutcome,
    ShownAddress,
)
from api.domain.alerts.channel import ChannelSecret, ChannelSettings
from api.domain.machines.gpu_event import Severity
from api.errors import FindingText

#: Seconds for the connection, for each read, and in total.
CONNECT_SECONDS, READ_SECONDS, SECONDS = 5.0, 10.0, 45.0

#: Schemes that reach no one from a server, run programs, read files, or connect in threads that cannot be checked.
#: Webhooks are a separate kind of channel.
REFUSED_SCHEMES = frozenset(
    (
        "dbus",
        "qt",
        "kde",
        "glib",
        "gio",
        "gnome",
        "macosx",
        "windows",
        "syslog",
        "rsyslog",
        "blink1",
        "growl",
        "apprise",
        "apprises",
        "json",
        "jsons",
        "xml",
        "xmls",
        "form",
        "forms",
        "mqtt",
        "mqtts",
        "amqp",
        "amqps",
        "xmpp",
        "xmpps",
        "irc",
        "ircs",
        "smpp",
        "smpps",
        "fcm",
        "vapid",
        "session",
        "sessions",
        "sogs",
        "deltachat",
        "deltachats",
        "nostr",
    )
)

#: Options that read files, follow redirects, or fetch keys from elsewhere.
REFUSED_OPTIONS = frozenset(
    ("attach", "attachment", "redirect", "template", "keyfile", "subfile", "pgp", "pgppub", "pgpprv", "wkd", "inline")
) | {"store", "config"}

#: Options of every service.
_COMMON_OPTIONS = frozenset(("overflow", "verify", "rto", "cto", "format"))

#: Maximum length of a title.
TITLE_CHARACTERS = 160

_STATUS = re.compile(r"error[=:]\s*(\d{3})\b")
#: Mentions by which a chat would notify everyone.
_MENTIONS = re.compile(r"@(?=everyone\b|here\b|channel\b|all\b)|<(?=[!@#])")

#: Length limit of services that send SMS, where one character outside of its alphabet halves the space.
_SMS_CHARACTERS = 160
_PLAIN = str.maketrans({"°": "", "–": "-", "—": "-", "…": "...", "’": "'", "“": '"', "”": '"', "×": "x", "\xa0": " "})


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


class AppriseNotifier:
    """Sends by Apprise's plugins: a new plugin for each message, in the calling thread."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._watch = ConnectionWatch(guard)

    def check(self, secret: ChannelSecret) -> ShownAddress:
        """Return the scheme, and the host if the address contains it. Raises AddressRefused."""
        plugin = _make(secret.url)
        host = _own_host(plugin)
        if host is None:
            return ShownAddress(f"{_scheme(secret.url)}://…")
        # The name may resolve by the time of the first message.
        with suppress(OSError):
            self._guard.resolve(host, 0)
        return ShownAddress(f"{_scheme(secret.url)}://…@{host}")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Send a message."""
        outcome: SendOutcome = Delivered()
        # An incident service gets one message for each alert, so that its end closes its own incident. If one of them
        # fails, all are sent again: their keys identify duplicates.
        parts = message.parts if _scheme(secret.url) in INCIDENT_SCHEMES else ()
        for part in parts or (message,):
            outcome = self._send(part, secret.url)
            if not isinstance(outcome, Delivered):
                break
        return outcome

    def _send(self, message: OutboundMessage, url: str) -> SendOutcome:
        try:
            plugin = _make(url)
        except AddressRefused as error:
            return Rejected(f"the address {error}")
        title, body = _fit(plugin, message)
        _mark(plugin, message)
        add_urgency(plugin, message, url)
        # Imported here, since it imports requests, as Apprise does.
        from api.alerts.delivery.notifiers.short_replies import short_replies  # noqa: PLC0415

        host = _own_host(plugin) or ""
        with _StatusCapture() as captured, self._watch.watching(host, SECONDS) as watched, short_replies():
            try:
                is_sent = plugin.notify(body=body, title=title, notify_type=_type(message))
            except Exception as error:
                # One of 170 plugins: whatever it raises, the message must be retried.
                return (
                    _forbidden() if watched.was_refused else RetryLater(f"its plugin failed ({type(error).__name__})")
                )
        if is_sent:
            return Delivered()
        return _forbidden() if watched.was_refused else _judge(captured)

    def end_overdue(self) -> None:
        """Shut down connections that are past their deadline."""
        self._watch.end_overdue()


def _forbidden() -> Rejected:
    return Rejected(
        "the address leads to a private address; "
        "if that is intended, an administrator can list it in PRIVATE_HOSTS_ALLOWED"
    )


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _make(url: str) -> Any:
    """Return the plugin of an address. Raises AddressRefused."""
    # Imported here, since Apprise is large and rarely needed.
    from apprise import Apprise, AppriseAsset, NotificationManager  # noqa: PLC0415

    scheme = _scheme(url)
    if not re.fullmatch(r"[a-z0-9]{1,20}", scheme):
        raise AddressRefused(
            FindingText("address_without_scheme", "must begin with a scheme such as mailtos:// or ntfys://")
        )
    if scheme in REFUSED_SCHEMES:
        raise AddressRefused(
            FindingText(
                "address_scheme_unsupported",
                "has the scheme {scheme}://, which is not supported here; for a webhook, use the channel kind webhook",
            ),
            scheme=scheme,
        )
    manager: Any = NotificationManager()  # type: ignore[no-untyped-call]
    if scheme not in manager.schemas():
        raise AddressRefused(
            FindingText("address_scheme_unknown", "has the scheme {scheme}://, which Apprise does not know"),
            scheme=scheme,
        )
    _check_options(url, manager[scheme])
    # The log messages of its plugins contain parts of addresses.
    logging.getLogger("apprise").propagate = False
    asset = AppriseAsset(async_mode=False, http_redirects=False, app_id="diffusion-pipe-api", app_desc="Alerts")
    plugin: Any = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if plugin is None:
        raise AddressRefused(
            FindingText(
                "address_invalid",
                "is not a valid {scheme}:// address; Apprise's page of this service describes its form",
            ),
            scheme=scheme,
        )
    plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    plugin.notify_format = "text"
    return plugin


def _check_options(url: str, kind: Any) -> None:
    known = _COMMON_OPTIONS | {name.lower() for name in getattr(kind, "template_args", {})} | {"to", "from", "name"}
    try:
        given = [name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    except ValueError:
        raise AddressRefused(ADDRESS_UNREADABLE) from None
    for name in given:
        option = name.strip().lstrip("+-: ")
        if option in REFUSED_OPTIONS or (name not in known and name[:1] not in "+ "):
            shown = option if re.fullmatch(r"[a-z_]{1,20}", option) else "…"
            raise AddressRefused(
                FindingText("address_option_unsupported", "has an option that is not supported: {option}"), option=shown
            )


def _own_host(plugin: Any) -> str | None:
    """Return the host in the address; None for a service with its own hosts."""
    templates: Iterable[str] = getattr(plugin, "templates", ())
    if not any("{host}" in template for template in templates):
        return None
    smtp = getattr(plugin, "smtp_host", None)
    return str(smtp or plugin.host or "")


def _fit(plugin: Any, message: OutboundMessage) -> tuple[str, str]:
    """Return title and body within the service's limits, without mentions that would notify everyone."""
    title, body = message.title, message.body
    if not _is_mail(plugin):
        title, body = (_MENTIONS.sub(lambda match: f"{match[0]}\u200b", text) for text in (title, body))
    most, most_of_title = int(plugin.body_maxlen), int(plugin.title_maxlen)
    if most <= _SMS_CHARACTERS:
        title, body = (text.translate(_PLAIN).encode("ascii", "replace").decode() for text in (title, body))
    if most_of_title <= 0:
        return "", cut(f"{title}\n{body}", most)
    line = " ".join(title.split())
    short = cut(line, min(most_of_title, TITLE_CHARACTERS))
    # A shortened title is repeated in full at the start of the body.
    return short, cut(body if short == line else f"{line}\n{body}", most)


def cut(text: str, most: int) -> str:
    """Return the text, cut to the maximum length with a mark at its end."""
    mark = "..." if most <= _SMS_CHARACTERS else "…"
    return text if len(text) <= most else text[: max(0, most - len(mark))] + mark


def _mark(plugin: Any, message: OutboundMessage) -> None:
    """Add to an e-mail its id, by which receivers detect duplicates, and mark it as generated."""
    if _is_mail(plugin):
        plugin.headers = {**plugin.headers, "X-Delivery-ID": message.id, "Auto-Submitted": "auto-generated"}
        if message.alerts:
            plugin.headers["X-Alert-ID"] = message.alerts[0].alert_id


def _is_mail(plugin: Any) -> bool:
    return type(plugin).__name__ == "NotifyEmail"


def _type(message: OutboundMessage) -> str:
    if message.is_resolved:
        return "success"
    return {Severity.CRITICAL: "failure", Severity.WARNING: "warning"}.get(message.severity, "info")


class _StatusCapture(logging.Handler):
    """Captures the statuses that Apprise logs in this thread. Nothing else of its messages is stored."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.statuses: list[int] = []
        self._thread = 0

    def __enter__(self) -> "_StatusCapture":
        self._thread = threading.get_ident()
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Extract the status of one log record."""
        if record.thread != self._thread:
            return
        match = _STATUS.search(record.getMessage())
        if match is not None:
            self.statuses.append(int(match[1]))


def _judge(captured: _StatusCapture) -> SendOutcome:
    if not captured.statuses:
        return RetryLater("the service did not accept it and gave no reason")
    status = captured.statuses[-1]
    if 300 <= status < 400:
        return Rejected(f"HTTP {status}: it redirects; use the address to which it redirects", status, is_refusal=True)
    if 400 <= status < 500 and status not in PASSING_STATUSES:
        return Rejected(f"the service rejected it: HTTP {status}", status, is_refusal=status in REFUSAL_STATUSES)
    return RetryLater(f"the service did not accept it: HTTP {status}", None, status)
