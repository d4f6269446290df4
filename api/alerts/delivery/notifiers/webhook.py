"""Webhooks: a signed POST to a checked address.

Redirects are followed only within the same host, and only the beginning of the response is read.

Signed as Standard Webhooks defines it: `webhook-signature: v1,<base64>` is the HMAC-SHA256 over `id.timestamp.body`.
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
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.bounded_socket import WebhookConnection
from api.alerts.delivery.notifiers.notifier import (
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
from api.domain.alerts.alert import AlertState
from api.domain.alerts.channel import AlertSnapshot, ChannelSecret, ChannelSettings, WebhookFormat
from api.errors import FindingText
from api.util.measures import traceparent_headers

#: Seconds for the connection, and in total.
CONNECT_SECONDS, SECONDS = 5.0, 15.0

#: Bytes of a response that are read at most, and characters of it that are stored.
MOST_BYTES, STORED_CHARACTERS = 65_536, 200

#: Valid lengths of a signing key in bytes.
_SECRET_BYTES = range(24, 65)

_PREFIX = "whsec_"


#: Alertmanager's value for a time that is not known yet.
_NEVER = "0001-01-01T00:00:00Z"


#: Redirects that keep the method or that many servers intend to, and the maximum number of redirects.
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
        """Return the scheme and host of an address. Raises AddressRefused."""
        parts, host, port = _split(secret.url)
        if secret.key is not None:
            read_key(secret.key)
        # The name may resolve by the time of the first message.
        with suppress(OSError):
            self._guard.resolve(host, port)
        return ShownAddress(f"{parts.scheme}://{parts.netloc}/…")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Post a message."""
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
            return RetryLater(f"its host has no address ({_describe_error(error)})")
        tls = self._tls if parts.scheme == "https" else None
        connection = WebhookConnection(host, port, address, tls, CONNECT_SECONDS, SECONDS)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, {**headers, "Host": parts.netloc})
            status, response_headers, text = connection.read_answer(MOST_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            return RetryLater(_describe_error(error))
        finally:
            connection.close()
        if status in _FOLLOWED and "location" in response_headers:
            return _Redirect(response_headers["location"], status)
        return _judge(status, response_headers, text)

    def end_overdue(self) -> None:
        """Do nothing: each connection has its own deadline."""


def ping(url: str, guard: AddressGuard, body: bytes | None = None) -> str | None:
    """Request an address, or post a JSON body to it.

    Return None if it succeeded, else the problem, without any part of the address.
    """
    try:
        parts, host, port = _split(url)
        address = guard.resolve(host, port)
    except (AddressRefused, OSError) as error:
        return (
            f"the address {error}"
            if isinstance(error, AddressRefused)
            else f"its host has no address ({_describe_error(error)})"
        )
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    connection = WebhookConnection(host, port, address, tls, CONNECT_SECONDS, SECONDS)
    try:
        agent = {"Host": parts.netloc, "User-Agent": f"diffusion-pipe-api/{__version__}", "Connection": "close"}
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if body is None:
            connection.request("GET", path, None, agent)
        else:
            connection.request("POST", path, body, {**agent, "Content-Type": "application/json"})
        status, _, _ = connection.read_answer(MOST_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        return _describe_error(error)
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"HTTP {status}"


def _split(url: str) -> tuple[SplitResult, str, int]:
    """Return the parts of an address, its host and port. Raises AddressRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused(
            FindingText("webhook_unreadable", "cannot be read; it must look like https://host/path")
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused(FindingText("webhook_without_host", "must look like https://host/path"))
    if parts.username is not None or parts.password is not None:
        raise AddressRefused(
            FindingText(
                "webhook_with_password",
                "must not contain a user name or password; use `signing_key` to sign messages instead",
            )
        )
    if any(ord(character) <= 32 or ord(character) > 126 for character in url):
        raise AddressRefused(
            FindingText("webhook_not_ascii", "must be plain ASCII without spaces; percent-encode other characters")
        )
    return parts, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _within_host(url: str, location: str) -> str | None:
    """Return the target of a redirect if it has the same host and port, or the same host by https; else None."""
    try:
        target = urljoin(url, location)
        (before, host, port), (after, other_host, other_port) = _split(url), _split(target)
    except ValueError:
        return None
    is_upgrade = (before.scheme, after.scheme, port, other_port) == ("http", "https", 80, 443)
    is_same = (host, before.scheme, port) == (other_host, after.scheme, other_port)
    return target if is_same or (is_upgrade and host == other_host) else None


def _refuse_redirect(status: int | None, where: str) -> Rejected:
    reason = f"HTTP {status}: it redirects {where}; use the address to which it redirects"
    return Rejected(reason, status, is_refusal=True)


def read_key(key: str) -> bytes:
    """Return the bytes of a signing key (`whsec_` and base64). Raises AddressRefused."""
    try:
        raw = base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not key.startswith(_PREFIX) or len(raw) not in _SECRET_BYTES:
        raise AddressRefused(
            FindingText(
                "signing_key_invalid",
                "needs a signing key of the form whsec_ followed by the base64 of 24 to 64 random bytes",
            )
        )
    return raw


def sign(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message, with its version."""
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
    text = body.decode(errors="replace")[:STORED_CHARACTERS].strip()
    reason = f"HTTP {status}" + (f": {text}" if text else "")
    if status in PASSING_STATUSES or status >= 500:
        return RetryLater(reason, _retry_after(headers), status)
    if 300 <= status < 400:
        return _refuse_redirect(status, "elsewhere")
    return Rejected(reason, status, is_refusal=status in REFUSAL_STATUSES)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the receiver requests to wait, or None."""
    value = headers.get("retry-after", "")
    if value.isdecimal() and len(value) < 9:
        return float(value)
    try:
        at, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (at - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _describe_error(error: Exception) -> str:
    """Return a description of an error without any part of the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(error, TimeoutError):
        return "it did not respond in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if type(error).__module__.startswith("api.") else type(error).__name__


def _as_alertmanager(message: OutboundMessage) -> dict[str, object]:
    """Return the body of Alertmanager's webhook, version 4."""
    alerts = [_alert(alert, message.public_url) for alert in message.alerts]
    labels = [
        {**alert.labels, "alertname": alert.rule_id, "severity": alert.severity.value} for alert in message.alerts
    ]
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


def _alert(alert: AlertSnapshot, public_url: str) -> dict[str, object]:
    ended = alert.resolved_at if alert.state is AlertState.RESOLVED else None
    return {
        "status": "resolved" if ended is not None else "firing",
        "labels": {**alert.labels, "alertname": alert.rule_id, "severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.remedy,
            **({"runbook_url": alert.link} if alert.link else {}),
        },
        "startsAt": _time(alert.fired_at or alert.since),
        "endsAt": _NEVER if ended is None else _time(ended),
        "generatorURL": page_link(alert, public_url) or "",
        "fingerprint": alert.fingerprint,
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
                "alert_id": alert.alert_id,
                "kind": alert.kind,
                "rule": alert.rule_id,
                "severity": alert.severity,
                "title": alert.title,
                "summary": alert.summary,
                "remedy": alert.remedy,
                "link": page_link(alert, message.public_url),
                "labels": alert.labels,
                "since": alert.since,
                "resolved_at": alert.resolved_at,
            }
            for alert in message.alerts
        ],
    }


_BODIES = {WebhookFormat.ALERTMANAGER: _as_alertmanager, WebhookFormat.PLAIN: _as_plain}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
