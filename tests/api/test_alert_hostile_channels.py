"""Channels with hostile or broken receivers: attempts are bounded, and /alerts/deliveries lists each."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.domain.alerts.channel import ChannelKind
from tests.api.test_alerts import RULE, AlertServer, Skipping
from tests.unit.alerts.notifiers.receivers import Answer, receiving, status


class Moving(Skipping):
    """A clock that advances wall time and monotonic time."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.skipped)


def open_hot(stack: ExitStack, storage: Path, *allowed: str) -> AlertServer:
    """A server that really sends webhooks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tests.api.test_alerts.Skipping", Moving)
        hot = AlertServer(stack, storage, private_hosts_allowed=allowed)
    # The stand-in of the courier loads the notifier on first use.
    vars(hot.alerts.courier._notifiers[ChannelKind.WEBHOOK].check.__self__).pop("send")  # type: ignore[attr-defined]
    hot.ask("POST", "/rules", RULE, status=201)
    return hot


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[AlertServer]:
    with ExitStack() as stack:
        yield open_hot(stack, tmp_path / "storage", "127.0.0.1")


def add(hot: AlertServer, port: int, **more: Any) -> None:
    hook = {"name": "hook", "kind": "webhook", "url": f"http://127.0.0.1:{port}/x", "group_wait_seconds": 0, **more}
    hook["matchers"] = [{"label": "rule", "value": "hot"}]
    hot.ask("POST", "/channels", hook, status=201)


def delivery(hot: AlertServer) -> Any:
    (row,) = hot.ask("GET", "/deliveries")["deliveries"]
    return row


def drip(peer: socket.socket) -> None:
    """Send a response that never ends."""
    with contextlib.suppress(OSError):
        while True:
            peer.sendall(b"X")
            time.sleep(0.02)


def flood(line: str) -> Answer:
    """Send a response of ten megabytes."""
    head = f"HTTP/1.1 {line}\r\nContent-Length: 10000000\r\n\r\n".encode()
    return lambda peer: peer.sendall(head + b"y" * 10_000_000)


def test_channel_that_fails_for_an_hour_is_retried_and_delivers_once_when_it_recovers(hot: AlertServer):
    answers = [status("500 Broken")]

    def say(peer: socket.socket) -> None:
        answers[-1](peer)

    with receiving(say) as receiver:
        add(hot, receiver.port)
        hot.temperature(90)
        seen = delivery(hot)
        assert (seen["state"], seen["status"], seen["attempts"]) == ("waiting", 500, 1)
        assert seen["not_before"] is not None
        for _ in range(60):
            hot.clock.skipped += 60
            hot.temperature(90)
        seen = delivery(hot)
        assert (seen["state"], seen["result"]) == ("waiting", "HTTP 500")
        assert 5 <= seen["attempts"] == len(receiver.requests) <= 8
        answers.append(status("200 OK"))
        hot.clock.skipped += 4400
        hot.temperature(90)
        assert delivery(hot)["state"] == "delivered"
        ids = {
            line for request in receiver.requests for line in request.split(b"\r\n") if line.startswith(b"webhook-id")
        }
        assert len(ids) == 1


def test_name_that_leads_to_loopback_after_its_check_is_not_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    known = socket.getaddrinfo
    addresses = ["8.8.8.8"]

    def resolve(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        return known(addresses[0] if host == "rebind.example" else host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with ExitStack() as stack, receiving(status("200 OK")) as receiver:
        hot = open_hot(stack, tmp_path / "storage")
        add(hot, receiver.port, url=f"http://rebind.example:{receiver.port}/x")
        addresses[0] = "127.0.0.1"
        hot.temperature(90)
        seen = delivery(hot)
        assert (seen["state"], "private address" in seen["result"]) == ("rejected", True)
        assert receiver.requests == []


@pytest.fixture(scope="module")
def guarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertServer]:
    with ExitStack() as stack:
        yield open_hot(stack, tmp_path_factory.mktemp("guarding") / "storage")
