"""Webhooks: a signed POST to an address that was looked at first; redirects are followed within the same host only, and
little of the answer is read.

Signed as Standard Webhooks have it: `webhook-signature: v1,<base64>` is the HMAC-SHA256 over `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException
from urllib.parse import SplitResult, urljoin, urlsplit

import orjson

from api import __version__
from api.alerts.notifiers.addresses import AddressGuard
from api.alerts.notifiers.bounded_socket import WebhookConnection
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
    page_link,
)
from api.domain.alert import AlertState
from api.domain.channel import ChannelSecret, ChannelSettings, ToldAlert, WebhookFormat
from api.util.tracing import traceparent_headers

#: Seconds for a connection, and for everything together.
CONNECT_SECONDS, SECONDS = 5.0, 15.0

#: Bytes of an answer that are read at most, and characters of it that are kept.
MOST_BYTES, KEPT = 65_536, 200

#: Bytes of a secret that signs.
_SECRET_BYTES = range(24, 65)

_PREFIX = "whsec_"


#: What Alertmanager says for a time that has not come.
_NEVER = "0001-01-01T00:00:00Z"


#: Redirects that keep the method or, as many servers mean it, should; and how many are followed within a host.
_FOLLOWED, MOST_REDIRECTS = (301, 302, 307, 308), 2


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str
    status: int


class WebhookNotifier:
    """Sends by HTTP."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def check(self, secret: ChannelSecret) -> ShownAddress:
        """What may be shown of the address: scheme and host. Raises AddressRefused."""
        parts, host, port = _split(secret.url)
        if secret.key is not None:
            read_key(secret.key)
        # It may have a name by the time that something is to be told.
        with suppress(OSError):
            self._guard.resolve(host, port)
        return ShownAddress(f"{parts.scheme}://{parts.netloc}/…")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Posts a message."""
        body = orjson.dumps(_BODIES[settings.webhook_format](message))
        headers = {**_headers(message, body, secret.key), **traceparent_headers()}
        url = secret.url
        for _ in range(1 + MOST_REDIRECTS):
            outcome = self._post(url, body, headers)
            if not isinstance(outcome, _Redirect):
                return outcome
            target = _within_host(url, outcome.location)
            if target is None:
                return _refuse_redirect(outcome.status, "to another host")
            url = target
        return _refuse_redirect(outcome.status, "again and again")

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> "SendOutcome | _Redirect":
        try:
            parts, host, port = _split(url)
            address = self._guard.resolve(host, port)
        except AddressRefused as error:
            return Rejected(f"the address {error}")
        except OSError as error:
            return RetryLater(f"its host has no address ({_why(error)})")
        tls = self._tls if parts.scheme == "https" else None
        connection = WebhookConnection(host, port, address, tls, CONNECT_SECONDS, SECONDS)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, {**headers, "Host": parts.netloc})
            status, answered, text = connection.read_answer(MOST_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            return RetryLater(_why(error))
        finally:
            connection.close()
        if status in _FOLLOWED and "location" in answered:
            return _Redirect(answered["location"], status)
        return _judge(status, answered, text)

    def end_overdue(self) -> None:
        """Does nothing: each connection ends by itself."""


def ping(url: str, guard: AddressGuard) -> str | None:
    """Asks for an address; why it was not reached, in words that hold nothing of it, or None."""
    try:
        parts, host, port = _split(url)
        address = guard.resolve(host, port)
    except (AddressRefused, OSError) as error:
        return (
            f"the address {error}" if isinstance(error, AddressRefused) else f"its host has no address ({_why(error)})"
        )
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    connection = WebhookConnection(host, port, address, tls, CONNECT_SECONDS, SECONDS)
    try:
        agent = {"Host": parts.netloc, "User-Agent": f"diffusion-pipe-api/{__version__}", "Connection": "close"}
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), None, agent)
        status, _, _ = connection.read_answer(MOST_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        return _why(error)
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"HTTP {status}"


def _split(url: str) -> tuple[SplitResult, str, int]:
    """The parts of an address, its host and port. Raises AddressRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("cannot be read: it looks like https://host/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused("must look like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("must not hold a name or password: messages are signed with `signing_key` instead")
    if any(ord(character) <= 32 or ord(character) > 126 for character in url):
        raise AddressRefused("must be plain ASCII without spaces; percent-encode other characters")
    return parts, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _within_host(url: str, location: str) -> str | None:
    """Return where a redirect leads, if that is the same host and port, or the same host by https; else None."""
    try:
        target = urljoin(url, location)
        (before, host, port), (after, other_host, other_port) = _split(url), _split(target)
    except ValueError:
        return None
    is_upgrade = (before.scheme, after.scheme, port, other_port) == ("http", "https", 80, 443)
    is_same = (host, before.scheme, port) == (other_host, after.scheme, other_port)
    return target if is_same or (is_upgrade and host == other_host) else None


def _refuse_redirect(status: int | None, where: str) -> Rejected:
    reason = f"HTTP {status}: it redirects {where}; give the address that it leads to"
    return Rejected(reason, status, is_refusal=True)


def read_key(key: str) -> bytes:
    """The bytes that sign, of `whsec_` and their base64. Raises AddressRefused."""
    try:
        raw = base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not key.startswith(_PREFIX) or len(raw) not in _SECRET_BYTES:
        raise AddressRefused("needs a signing key of the form whsec_ and the base64 of 24 to 64 random bytes")
    return raw


def sign(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, with its version before it."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(read_key(key), signed, hashlib.sha256).digest()).decode()


def _headers(message: OutboundMessage, body: bytes, key: str | None) -> dict[str, str]:
    timestamp = int(message.sent_at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"diffusion-pipe-api/{__version__}",
        "Connection": "close",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
    }
    if key is not None:
        headers["webhook-signature"] = sign(key, message.id, timestamp, body)
    return headers


def _judge(status: int, headers: Mapping[str, str], body: bytes) -> SendOutcome:
    if 200 <= status < 300:
        return Delivered(status)
    said = body.decode(errors="replace")[:KEPT].strip()
    reason = f"HTTP {status}" + (f": {said}" if said else "")
    if status in PASSING_STATUSES or status >= 500:
        return RetryLater(reason, _retry_after(headers), status)
    if 300 <= status < 400:
        return _refuse_redirect(status, "elsewhere")
    return Rejected(reason, status, is_refusal=status in REFUSAL_STATUSES)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the receiver asks to wait."""
    given = headers.get("retry-after", "")
    if given.isdecimal() and len(given) < 9:
        return float(given)
    try:
        at, now = parsedate_to_datetime(given), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (at - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _why(error: Exception) -> str:
    """An error in words that hold nothing of the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if type(error).__module__.startswith("api.") else type(error).__name__


def _as_alertmanager(message: OutboundMessage) -> dict[str, object]:
    """Alertmanager's webhook, version 4."""
    alerts = [_alert(told, message.public_url) for told in message.alerts]
    labels = [{**told.labels, "alertname": told.rule_id, "severity": told.severity.value} for told in message.alerts]
    return {
        "version": "4",
        "groupKey": message.group_key,
        "truncatedAlerts": message.total - len(message.alerts),
        "status": "resolved" if message.is_resolved else "firing",
        "receiver": message.channel_name,
        "groupLabels": {"alertname": message.alerts[0].rule_id} if message.alerts else {},
        "commonLabels": _common(labels),
        "commonAnnotations": {"summary": message.title},
        "externalURL": message.public_url,
        "alerts": alerts,
    }


def _common(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first = rows[0] if rows else {}
    return {name: value for name, value in first.items() if all(row.get(name) == value for row in rows)}


def _alert(told: ToldAlert, public_url: str) -> dict[str, object]:
    ended = told.resolved_at if told.state is AlertState.RESOLVED else None
    return {
        "status": "resolved" if ended is not None else "firing",
        "labels": {**told.labels, "alertname": told.rule_id, "severity": told.severity.value},
        "annotations": {
            "summary": told.summary,
            "description": told.remedy,
            **({"runbook_url": told.link} if told.link else {}),
        },
        "startsAt": _time(told.fired_at or told.since),
        "endsAt": _NEVER if ended is None else _time(ended),
        "generatorURL": page_link(told, public_url) or "",
        "fingerprint": told.fingerprint,
    }


def _as_plain(message: OutboundMessage) -> dict[str, object]:
    return {
        "id": message.id,
        "title": message.title,
        "text": message.body,
        "severity": message.severity,
        "status": "resolved" if message.is_resolved else "firing",
        "test": message.is_test,
        "link": message.link,
        "total": message.total,
        "alerts": [
            {
                "alert_id": told.alert_id,
                "kind": told.kind,
                "rule": told.rule_id,
                "severity": told.severity,
                "title": told.title,
                "summary": told.summary,
                "remedy": told.remedy,
                "link": page_link(told, message.public_url),
                "labels": told.labels,
                "since": told.since,
                "resolved_at": told.resolved_at,
            }
            for told in message.alerts
        ],
    }


_BODIES = {WebhookFormat.ALERTMANAGER: _as_alertmanager, WebhookFormat.PLAIN: _as_plain}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
