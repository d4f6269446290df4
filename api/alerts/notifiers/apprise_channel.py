"""E-mail, SMS, chat: by Apprise, held to permitted hosts, known options, and the limits of each service."""

import logging
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from api.alerts.notifiers.addresses import AddressGuard, ConnectionWatch
from api.alerts.notifiers.notifier import (
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
from api.alerts.notifiers.urgency import INCIDENT_SCHEMES, add_urgency
from api.domain.channel import ChannelSecret, ChannelSettings
from api.domain.event import Severity

#: Seconds for a connection, for each read, and for everything together.
CONNECT_SECONDS, READ_SECONDS, SECONDS = 5.0, 10.0, 45.0

#: Schemes that reach nobody from a server, run programs, read files, or connect in threads that nobody watches; and
#: those of webhooks, which are a kind of channel of their own.
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

#: Characters of a title: a phone shows fewer, a mail folds them.
TITLE_CHARACTERS = 160

_STATUS = re.compile(r"error[=:]\s*(\d{3})\b")
#: Words by which a chat would tell everybody.
_MENTIONS = re.compile(r"@(?=everyone\b|here\b|channel\b|all\b)|<(?=[!@#])")

#: A text this short goes by SMS, where one character outside of its alphabet halves what fits.
_SMS_CHARACTERS = 160
_PLAIN = str.maketrans({"°": "", "–": "-", "—": "-", "…": "...", "’": "'", "“": '"', "”": '"', "×": "x", "\xa0": " "})


class AppriseNotifier:
    """Sends by Apprise's plugins: a new one for each message, in the calling thread."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._watch = ConnectionWatch(guard)

    def check(self, secret: ChannelSecret) -> ShownAddress:
        """What may be shown of the address: scheme, and host where it names one. Raises AddressRefused."""
        plugin = _make(secret.url)
        host = _own_host(plugin)
        if host is None:
            return ShownAddress(f"{_scheme(secret.url)}://…")
        # It may have a name by the time that something is to be told.
        with suppress(OSError):
            self._guard.resolve(host, 0)
        return ShownAddress(f"{_scheme(secret.url)}://…@{host}")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Sends a message."""
        outcome: SendOutcome = Delivered()
        # A service that keeps incidents gets one message for each alert, so that its end closes its own incident. When
        # one of them fails all are sent again: their keys tell that they are the same.
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
        # It imports requests, as Apprise does.
        from api.alerts.notifiers.short_replies import short_replies  # noqa: PLC0415

        host = _own_host(plugin) or ""
        with _Overheard() as said, self._watch.watching(host, SECONDS) as watched, short_replies():
            try:
                is_sent = plugin.notify(body=body, title=title, notify_type=_type(message))
            except Exception as error:
                # One of 170 plugins: whatever it raises, the message is still to be sent.
                return (
                    _forbidden() if watched.was_refused else RetryLater(f"its plugin failed ({type(error).__name__})")
                )
        if is_sent:
            return Delivered()
        return _forbidden() if watched.was_refused else _judge(said)

    def end_overdue(self) -> None:
        """Ends connections whose time is over."""
        self._watch.end_overdue()


def _forbidden() -> Rejected:
    return Rejected(
        "the address leads to a private address; an administrator can list it in PRIVATE_HOSTS_ALLOWED if that is meant"
    )


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _make(url: str) -> Any:
    """The plugin of an address. Raises AddressRefused."""
    # Apprise is heavy, and used only where something is sent by it.
    from apprise import Apprise, AppriseAsset, NotificationManager  # noqa: PLC0415

    scheme = _scheme(url)
    if not re.fullmatch(r"[a-z0-9]{1,20}", scheme):
        raise AddressRefused("must begin with its scheme, as mailtos:// or ntfys://")
    if scheme in REFUSED_SCHEMES:
        raise AddressRefused(
            f"of the scheme {scheme}:// cannot be used from here; give a webhook its own kind of channel"
        )
    kinds: Any = NotificationManager()  # type: ignore[no-untyped-call]
    if scheme not in kinds.schemas():
        raise AddressRefused(f"has the scheme {scheme}://, which Apprise does not know")
    _check_options(url, kinds[scheme])
    # What its plugins say holds parts of addresses.
    logging.getLogger("apprise").propagate = False
    asset = AppriseAsset(async_mode=False, http_redirects=False, app_id="diffusion-pipe-api", app_desc="Alerts")
    plugin: Any = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if plugin is None:
        raise AddressRefused(f"cannot be read as one of {scheme}://; Apprise's page of the service says what it needs")
    plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    plugin.notify_format = "text"
    return plugin


def _check_options(url: str, kind: Any) -> None:
    known = _COMMON_OPTIONS | {name.lower() for name in getattr(kind, "template_args", {})} | {"to", "from", "name"}
    try:
        given = [name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    except ValueError:
        raise AddressRefused("cannot be read: percent-encode what is special in it") from None
    for name in given:
        bare = name.strip().lstrip("+-: ")
        if bare in REFUSED_OPTIONS or (name not in known and name[:1] not in "+ "):
            shown = bare if re.fullmatch(r"[a-z_]{1,20}", bare) else "of that name"
            raise AddressRefused(f"has an option that is not taken here: {shown}")


def _own_host(plugin: Any) -> str | None:
    """The host that its user has named; None for a service with hosts of its own."""
    templates: Iterable[str] = getattr(plugin, "templates", ())
    if not any("{host}" in template for template in templates):
        return None
    smtp = getattr(plugin, "smtp_host", None)
    return str(smtp or plugin.host or "")


def _fit(plugin: Any, message: OutboundMessage) -> tuple[str, str]:
    """Title and body within the service's limits, with nothing in them that would tell everybody."""
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
    # What the title has no room for, the text begins with.
    return short, cut(body if short == line else f"{line}\n{body}", most)


def cut(text: str, most: int) -> str:
    """The text, cut to so many characters with a mark at its end."""
    mark = "..." if most <= _SMS_CHARACTERS else "…"
    return text if len(text) <= most else text[: max(0, most - len(mark))] + mark


def _mark(plugin: Any, message: OutboundMessage) -> None:
    """Gives an e-mail its id, by which a receiver knows a double, and says that nobody wrote it."""
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


class _Overheard(logging.Handler):
    """The statuses that Apprise names while this thread sends; nothing else of its words is kept."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.statuses: list[int] = []
        self._thread = 0

    def __enter__(self) -> "_Overheard":
        self._thread = threading.get_ident()
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the status out of one line."""
        if record.thread != self._thread:
            return
        match = _STATUS.search(record.getMessage())
        if match is not None:
            self.statuses.append(int(match[1]))


def _judge(said: _Overheard) -> SendOutcome:
    if not said.statuses:
        return RetryLater("the service did not take it; it did not say why")
    status = said.statuses[-1]
    if 300 <= status < 400:
        return Rejected(f"HTTP {status}: it redirects; give the address that it leads to", status, is_refusal=True)
    if 400 <= status < 500 and status not in PASSING_STATUSES:
        return Rejected(f"the service refused it: HTTP {status}", status, is_refusal=status in REFUSAL_STATUSES)
    return RetryLater(f"the service did not take it: HTTP {status}", None, status)
