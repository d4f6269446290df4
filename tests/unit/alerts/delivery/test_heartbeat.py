import logging

import pytest

from api.alerts.delivery.heartbeat import ALIVE_SECONDS, Heartbeat
from api.util.clock import FakeClock


class Watcher:
    def __init__(self) -> None:
        self.signs = 0
        self.why: str | None = None

    def __call__(self) -> str | None:
        self.signs += 1
        return self.why


def test_heartbeats_are_sent_while_rounds_run(clock: FakeClock):
    watcher = Watcher()
    dead_man = Heartbeat(watcher, clock)
    dead_man.run_once()
    assert watcher.signs == 0
    dead_man.note_round()
    dead_man.run_once()
    assert watcher.signs == 1
    clock.advance(ALIVE_SECONDS + 1)
    dead_man.run_once()
    assert watcher.signs == 1


def test_unreachable_monitor_is_logged_once(clock: FakeClock, caplog: pytest.LogCaptureFixture):
    watcher = Watcher()
    watcher.why = "it did not answer in time"
    dead_man = Heartbeat(watcher, clock)
    dead_man.note_round()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            dead_man.run_once()
    assert [record.message for record in caplog.records] == ["the heartbeat to SIGN_OF_LIFE_URL failed"]


def test_without_an_address_there_is_no_thread(clock: FakeClock):
    dead_man = Heartbeat(None, clock)
    dead_man.start()
    dead_man.run_once()
    dead_man.stop()
