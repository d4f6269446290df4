import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.apprise_channel import AppriseNotifier
from api.alerts.delivery.notifiers.notifier import Delivered, OutboundMessage, page_link
from api.domain.alerts.channel import ChannelSecret, ChannelSettings
from api.domain.machines.gpu_event import Severity
from tests.unit.alerts.delivery.test_messages import over, snapshot
from tests.unit.alerts.notifiers.receivers import message, receiving, status

LOCAL = AppriseNotifier(AddressGuard.of(["127.0.0.0/8"]))
PAGERDUTY = f"pagerduty://{'a' * 20}@{'b' * 32}"
OPSGENIE = f"opsgenie://{'a' * 36}"


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return what a plugin of Apprise posts: its URL, its JSON and its parameters."""
    found: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def post(url: str, data: str, **more: Any) -> Any:
        found.append((url, json.loads(data), more.get("params") or {}))
        return SimpleNamespace(status_code=202, content=b'{"requestId": "r1"}', text="", headers={})

    monkeypatch.setattr("requests.post", post)
    return found


def send(url: str, sent: OutboundMessage) -> None:
    assert LOCAL.send(sent, ChannelSecret(url), ChannelSettings()) == Delivered()


def about(severity: Severity, **changes: Any) -> OutboundMessage:
    return replace(message(snapshot(severity=severity)), severity=severity, **changes)


@pytest.mark.parametrize(
    ("severity", "is_over", "priority"),
    [
        (Severity.CRITICAL, False, "max"),
        (Severity.WARNING, False, "high"),
        (Severity.INFO, False, None),  # ntfy's default
        (Severity.CRITICAL, True, None),
    ],
)
def test_ntfy_gets_a_priority_and_the_link(severity: Severity, is_over: bool, priority: str | None):
    with receiving(status("200 OK")) as receiver:
        send(f"ntfy://127.0.0.1:{receiver.port}/gpus", about(severity, is_resolved=is_over, link="https://x/#/gpu/1"))
    sent = receiver.requests[0].decode().lower()
    assert (f"x-priority: {priority}" in sent) is (priority is not None)
    assert ("x-priority" in sent) is (priority is not None)
    assert "x-click: https://x/#/gpu/1" in sent


def test_priority_in_the_address_takes_precedence():
    with receiving(status("200 OK")) as receiver:
        send(f"ntfy://127.0.0.1:{receiver.port}/gpus?priority=low", about(Severity.CRITICAL))
    assert "x-priority: low" in receiver.requests[0].decode().lower()


def test_gotify_gets_a_number():
    with receiving(status("200 OK")) as receiver:
        send(f"gotify://127.0.0.1:{receiver.port}/{'t' * 15}", about(Severity.CRITICAL))
    assert b'"priority": 10' in receiver.requests[0]


def test_pushover_never_gets_its_emergency(posts: list[tuple[str, dict[str, Any], dict[str, Any]]], monkeypatch: Any):
    bodies: list[Any] = []
    monkeypatch.setattr(
        "requests.post",
        lambda url, data, **_: bodies.append(data) or SimpleNamespace(status_code=200, content=b"{}", headers={}),
    )
    send(f"pover://{'u' * 30}@{'t' * 30}", about(Severity.CRITICAL))
    assert bodies[0]["priority"] == "1"


def test_pagerduty_gets_one_incident_per_alert_and_its_end_closes_it(
    posts: list[tuple[str, dict[str, Any], dict[str, Any]]],
):
    one, two = snapshot(alert_id="alert_1"), snapshot(alert_id="alert_2")
    group = replace(message(one, two), parts=(message(one), message(two)))
    send(PAGERDUTY, group)
    send(PAGERDUTY, replace(message(over("GPU 0 is cool again", alert_id="alert_1")), is_resolved=True))
    sent = [(post["event_action"], post["dedup_key"]) for _, post, _ in posts]
    assert sent == [("trigger", "alert_1"), ("trigger", "alert_2"), ("resolve", "alert_1")]
    assert posts[0][1]["payload"]["severity"] == "warning"


def test_opsgenie_gets_a_priority_and_an_alias_by_which_its_end_closes_it(
    posts: list[tuple[str, dict[str, Any], dict[str, Any]]],
):
    send(OPSGENIE, about(Severity.CRITICAL))
    send(OPSGENIE, replace(message(over("GPU 0 is cool again")), is_resolved=True))
    (_, opened, _), (url, _, parameters) = posts
    assert (opened["priority"], opened["alias"]) == ("P1", "alert_1")
    assert url.endswith("/alert_1/close")
    assert parameters["identifierType"] == "alias"


def test_other_services_get_one_message_for_a_group():
    with receiving(status("200 OK")) as receiver:
        send(f"ntfy://127.0.0.1:{receiver.port}/gpus", replace(message(), parts=(message(), message())))
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        ({"task_id": "t 1", "gpu_uuid": "g"}, "/#/trainings/t%201"),
        ({"gpu_uuid": "GPU-1"}, "/#/gpu/GPU-1"),
        ({}, "/#/alerts?alert=alert_1"),
    ],
)
def test_link_leads_to_the_training_the_gpu_or_the_alert(labels: dict[str, str], path: str):
    alert = snapshot(labels=labels)
    assert page_link(alert, "https://gpu.example.org") == f"https://gpu.example.org{path}"
    assert page_link(alert, "") is None
