import base64
import hashlib
import hmac
import json
import socket
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.delivery.notifiers import webhook
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.notifier import (
    AddressRefused,
    Delivered,
    OutboundMessage,
    Rejected,
    RetryLater,
    SendOutcome,
)
from api.alerts.delivery.notifiers.webhook import WebhookNotifier, ping
from api.alerts.records.rows import take_snapshot
from api.domain.alerts.alert import AlertNotification, AlertState, NotificationKind
from api.domain.alerts.channel import AlertSnapshot, ChannelSecret, ChannelSettings, WebhookFormat
from api.util.measures import spanning
from tests.patience import BUSY_SECONDS
from tests.unit.alerts.fact_builders import NOW, firing
from tests.unit.alerts.notifiers.receivers import Answer, Receiver, message, receiving, respond, status
from tests.unit.tracers import TRACEPARENT, making

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOTIFIER = WebhookNotifier(AddressGuard.of(["127.0.0.0/8"]))


def snapshot(**changes: object) -> AlertSnapshot:
    alert = firing(**changes)
    return take_snapshot(
        AlertNotification(alert.alert_id, 1, NotificationKind.FIRING, "c1", alert.severity, "g", NOW), alert
    )


def send(
    answer: Answer, sent: OutboundMessage | None = None, notifier: WebhookNotifier = NOTIFIER, **settings: WebhookFormat
) -> tuple[SendOutcome, Receiver]:
    with receiving(answer) as receiver:
        secret = ChannelSecret(f"http://127.0.0.1:{receiver.port}/a/b?c=d", KEY)
        outcome = notifier.send(sent or message(snapshot()), secret, ChannelSettings(**settings))  # type: ignore[arg-type]
    return outcome, receiver


def test_message_is_signed_and_in_alertmanagers_format():
    outcome, receiver = send(status("200 OK"))
    assert outcome == Delivered(200)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    assert head.startswith(b"POST /a/b?c=d HTTP/1.1")
    signed = b".".join((b"delivery_1", headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert f"webhook-signature: v1,{expected}" in head.decode()
    sent = json.loads(body)
    assert (sent["version"], sent["status"], sent["truncatedAlerts"]) == ("4", "firing", 0)
    (alert,) = sent["alerts"]
    assert alert["labels"] == {"gpu_uuid": "0", "node": "n", "alertname": "hot", "severity": "warning"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z")


def test_resolved_alert_has_its_end():
    ended = snapshot(state=AlertState.RESOLVED, resolved_at=NOW + timedelta(seconds=5))
    _, receiver = send(status("204 No Content"), replace(message(ended, snapshot()), is_resolved=True, total=9))
    sent = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert (sent["status"], sent["truncatedAlerts"]) == ("resolved", 7)
    assert [alert["status"] for alert in sent["alerts"]] == ["resolved", "firing"]
    assert sent["alerts"][0]["endsAt"] == "2026-01-01T00:00:05.000000Z"


def test_plain_format():
    _, receiver = send(status("200 OK"), webhook_format=WebhookFormat.PLAIN)
    sent = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert (sent["id"], sent["title"], sent["alerts"][0]["alert_id"]) == ("delivery_1", "[W] hot: GPU 0", "alert_1")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status("503 Busy", "Retry-After: 7"), RetryLater("HTTP 503", 7.0, 503)),
        (status("429 Slow", "Retry-After: x"), RetryLater("HTTP 429", None, 429)),
        (status("404 Not Found"), Rejected("HTTP 404", 404, is_refusal=True)),
        (status("410 Gone"), Rejected("HTTP 410", 410, is_refusal=True)),
        (status("400 Bad"), Rejected("HTTP 400", 400)),
        (respond("nonsense\r\n\r\n"), RetryLater("BadStatusLine")),
        (respond(""), RetryLater("RemoteDisconnected")),
    ],
)
def test_each_response_has_its_outcome(answer: Answer, outcome: SendOutcome):
    assert send(answer)[0] == outcome


def test_redirect_to_another_host_is_a_refusal():
    with receiving(status("200 OK")) as inside:
        outcome, _ = send(status("302 Found", f"Location: http://127.0.0.1:{inside.port}/secret"))
        assert inside.requests == []
    assert outcome == Rejected(
        "HTTP 302: it redirects to another host; use the address to which it redirects", 302, is_refusal=True
    )


@pytest.mark.parametrize("line", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirect_within_the_host_is_followed(line: str):
    def answer(peer: socket.socket) -> None:
        is_first = not receiver.requests[0].startswith(b"POST /new") and len(receiver.requests) == 1
        (status(line, "Location: /new?x=1") if is_first else status("200 OK"))(peer)

    with receiving(answer) as receiver:
        secret = ChannelSecret(f"http://127.0.0.1:{receiver.port}/old", KEY)
        assert NOTIFIER.send(message(snapshot()), secret, ChannelSettings()) == Delivered(200)
    first, second = (request.partition(b"\r\n\r\n") for request in receiver.requests)
    assert second[0].startswith(b"POST /new?x=1 ")
    assert first[2] == second[2]


@pytest.mark.parametrize("location", ["/a/b?c=d", "http://[", "", "https://127.0.0.1/x", "ftp://127.0.0.1/x"])
def test_endless_redirect_is_rejected(location: str):
    outcome, receiver = send(status("307 Temporary", f"Location: {location}"))
    assert isinstance(outcome, Rejected)
    assert (outcome.is_refusal, outcome.status) == (True, 307)
    assert len(receiver.requests) <= 1 + webhook.MOST_REDIRECTS


@pytest.mark.parametrize(
    ("url", "location", "followed"),
    [
        ("http://a.example/x", "https://a.example/x", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://A.example:443/y", True),
        ("https://a.example/x", "https://a.example:8443/y", False),
        ("https://a.example/x", "//b.example/y", False),
        ("https://a.example/x", "https://a.example@b.example/y", False),
    ],
)
def test_same_host_means_same_name_and_port_or_its_https(url: str, location: str, followed: bool):
    assert (webhook._within_host(url, location) is not None) is followed


def test_only_the_beginning_of_a_rejection_is_stored():
    body = "x" * 5000
    outcome, _ = send(respond(f"HTTP/1.1 400 Bad\r\nContent-Length: {len(body)}\r\n\r\n{body}"))
    assert isinstance(outcome, Rejected)
    assert len(outcome.reason) < 250


def test_slow_receiver_is_abandoned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook, "SECONDS", 0.5)

    def drip(peer: socket.socket) -> None:
        for character in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100:
            peer.sendall(bytes([character]))
            time.sleep(0.05)

    began = time.monotonic()
    outcome, _ = send(drip)
    assert isinstance(outcome, RetryLater)
    assert time.monotonic() - began < 4 + BUSY_SECONDS


def test_endless_response_is_abandoned():
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(10_000):
            peer.sendall(b"X-Header: " + b"a" * 1000 + b"\r\n")

    assert isinstance(send(endless)[0], RetryLater)


def test_long_body_does_not_hide_a_success():
    def long(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        peer.sendall(b"a" * 10_000_000)

    assert send(long)[0] == Delivered(200)


def test_private_address_is_not_connected_to():
    outcome, receiver = send(status("200 OK"), notifier=WebhookNotifier(AddressGuard()))
    assert (type(outcome), receiver.requests) == (Rejected, [])


def test_closed_port_is_retried():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = NOTIFIER.send(message(), ChannelSecret(f"http://127.0.0.1:{port}/topsecret"), ChannelSettings())
    assert outcome == RetryLater("Connection refused")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "http:///x",
        "https://user:password@example.org/x",
        "https://example.org:99999/x",
        "https://example.org/a b",
        "https://example.org/\r\nX: y",
        "https://exämple.org/x",
        "http://127.0.0.1/x",
        "http://[::ffff:127.0.0.1]/x",
        "file:///etc/passwd",
        "nonsense",
    ],
)
def test_invalid_address_is_rejected_without_repeating_it(url: str):
    with pytest.raises(AddressRefused) as refused:
        WebhookNotifier(AddressGuard()).check(ChannelSecret(url))
    assert url not in str(refused.value)


@pytest.mark.parametrize("key", ["secret", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode()])
def test_invalid_signing_key_is_rejected(key: str):
    with pytest.raises(AddressRefused, match="whsec_"):
        NOTIFIER.check(ChannelSecret("http://127.0.0.1/x", key))


def test_address_is_shown_without_its_path():
    assert NOTIFIER.check(ChannelSecret("http://127.0.0.1:8080/secret/topic", KEY)).text == "http://127.0.0.1:8080/…"


def test_receiver_can_continue_the_trace_of_a_delivery():
    with making(), spanning("deliver alert", {}):
        _, receiver = send(status("200 OK"))
    assert f"traceparent: {TRACEPARENT}".encode() in receiver.requests[0]
    _, receiver = send(status("200 OK"))
    assert b"traceparent" not in receiver.requests[0]


def test_ping_reports_whether_the_address_responds():
    guard = AddressGuard.of(["127.0.0.0/8"])
    with receiving(status("200 OK")) as receiver:
        assert webhook.ping(f"http://127.0.0.1:{receiver.port}/sign?a=b", guard) is None
    assert receiver.requests[0].startswith(b"GET /sign?a=b HTTP/1.1")
    with receiving(status("503 Busy")) as receiver:
        assert webhook.ping(f"http://127.0.0.1:{receiver.port}/x", guard) == "HTTP 503"
    assert webhook.ping(f"http://127.0.0.1:{receiver.port}/x", guard) == "Connection refused"
    refused = webhook.ping(f"http://127.0.0.1:{receiver.port}/secret", AddressGuard.of([]))
    assert "private address" in str(refused)
    assert "secret" not in str(refused)


@pytest.mark.parametrize(
    ("answer", "problem"), [(status("204 No Content"), None), (status("401 Unauthorized"), "HTTP 401")]
)
def test_address_of_an_idle_machine_gets_a_json_body(answer: Answer, problem: str | None):
    with receiving(answer) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/stop?key=k"
        assert ping(url, AddressGuard.of(["127.0.0.0/8"]), b'{"event": "machine_idle"}') == problem
    (request,) = receiver.requests
    assert request.startswith(b"POST /stop?key=k HTTP/1.1")
    assert b"Content-Type: application/json" in request
    assert request.endswith(b'{"event": "machine_idle"}')
