import logging

import pytest

from api.alerts.dead_man import ALIVE_SECONDS, DeadMan
from api.util.clock import FakeClock


class Watcher:
    def __init__(self) -> None:
        self.signs = 0
        self.why: str | None = None

    def __call__(self) -> str | None:
        self.signs += 1
        return self.why


def test_signs_are_given_while_rounds_are_made(clock: FakeClock):
    watcher = Watcher()
    dead_man = DeadMan(watcher, clock)
    dead_man.run_once()
    assert watcher.signs == 0
    dead_man.note_round()
    dead_man.run_once()
    assert watcher.signs == 1
    clock.advance(ALIVE_SECONDS + 1)
    dead_man.run_once()
    assert watcher.signs == 1


def test_a_watcher_that_is_not_reached_is_told_of_once(clock: FakeClock, caplog: pytest.LogCaptureFixture):
    watcher = Watcher()
    watcher.why = "it did not answer in time"
    dead_man = DeadMan(watcher, clock)
    dead_man.note_round()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            dead_man.run_once()
    assert [record.message for record in caplog.records] == ["no sign of life could be given"]


def test_without_an_address_there_is_no_thread(clock: FakeClock):
    dead_man = DeadMan(None, clock)
    dead_man.start()
    dead_man.run_once()
    dead_man.stop()
