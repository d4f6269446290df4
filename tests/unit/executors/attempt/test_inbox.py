import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.executors.attempt import inbox as inbox_module
from api.executors.attempt.inbox import Inbox
from api.executors.attempt.orders import MADE, Order
from tests.faults import Faults


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    signums = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
    before = {s: signal.getsignal(s) for s in (*signums, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    wakeup = signal.set_wakeup_fd(-1)
    made = Inbox(str(tmp_path))
    made.catch_signals()
    yield made
    signal.set_wakeup_fd(wakeup)
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize(
    ("signum", "order"),
    [
        (signal.SIGUSR1, Order(MADE, 120.0, 30.0)),
        (signal.SIGTERM, Order(None, 0.0, 30.0)),
        (signal.SIGUSR2, Order(None, 0.0, 0.0)),
    ],
)
def test_signal_is_an_order(inbox: Inbox, signum: int, order: Order) -> None:
    os.kill(os.getpid(), signum)
    assert inbox.was_signalled()
    assert [found.as_json() for found in inbox.orders(None)] == [order.as_json()]
    assert inbox.orders(None) == []


def test_sigterm_of_an_engine_uses_the_stored_order(inbox: Inbox, tmp_path: Path) -> None:
    order = Order("/run/save_quit", 60.0, 5.0)
    (tmp_path / "leave.json").write_text(json.dumps(order.as_json()))
    os.kill(os.getpid(), signal.SIGTERM)
    assert [found.as_json() for found in inbox.orders(None)] == [order.as_json()]
    os.kill(os.getpid(), signal.SIGUSR2)
    assert [found.first_rung for found in inbox.orders(order)] == ["kill"]


def test_unreadable_stored_order_terminates(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "leave.json").write_text("{")
    os.kill(os.getpid(), signal.SIGTERM)
    assert [found.first_rung for found in inbox.orders(None)] == ["terminate"]


def test_order_file_is_read_once(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "stop.json").write_text(json.dumps({"terminate_seconds": 7}))
    assert [found.terminate_seconds for found in inbox.orders(None)] == [7.0]
    assert inbox.orders(None) == []


def test_signal_and_file_are_both_processed(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "stop.json").write_text(json.dumps({"terminate_seconds": 7}))
    os.kill(os.getpid(), signal.SIGUSR2)
    assert [found.terminate_seconds for found in inbox.orders(None)] == [0.0, 7.0]


def test_temporarily_hidden_order_is_not_hardened(inbox: Inbox, tmp_path: Path, faults: Faults) -> None:
    order = Order("/run/save_quit", 60.0, 5.0)
    (tmp_path / "stop.json").write_text(json.dumps(order.as_json()))
    faults.strike("read", "/stop.json", times=1)
    assert inbox.orders(None) == []
    assert [found.as_json() for found in inbox.orders(None)] == [order.as_json()]
    assert inbox.orders(None) == []


def test_permanently_hidden_order_counts_as_sigterm(
    inbox: Inbox, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "PATIENCE_SECONDS", 0.0)
    (tmp_path / "stop.json").write_text(json.dumps(Order("/run/save_quit", 60.0, 5.0).as_json()))
    faults.strike("read", "/stop.json")
    assert [found.first_rung for found in inbox.orders(None)] == ["terminate"]
