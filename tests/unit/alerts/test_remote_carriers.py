import pytest

from api.alerts.outbox import FakeCarriers
from api.alerts.remote_carriers import (
    AGAIN_SECONDS,
    ALONE_SECONDS,
    DOWN_SECONDS,
    PROBE_SECONDS,
    TAKEN_SECONDS,
    FakeTransport,
    RemoteCarriers,
)
from api.util.clock import FakeClock


class Desk:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.transport, self.local, self.downs = FakeTransport(), FakeCarriers(), 0
        self.carriers = RemoteCarriers(self.transport, self.local, clock, self.count)

    def count(self) -> None:
        self.downs += 1

    def carry(self, delivery_id: str = "d1") -> None:
        assert self.carriers.carry(delivery_id, "c1")
        self.carriers.publish_all()


@pytest.fixture
def desk(clock: FakeClock) -> Desk:
    return Desk(clock)


def test_a_worker_is_told_once_and_again_when_nobody_has_claimed_it(desk: Desk):
    for _ in range(3):
        desk.carry()
    assert desk.transport.published == ["d1"]
    desk.clock.advance(AGAIN_SECONDS)
    desk.carry()
    assert (desk.transport.published, desk.local.carried) == (["d1", "d1"], [])


def test_what_no_worker_takes_is_sent_here(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    desk.carry()
    assert desk.local.carried == ["d1"]


def test_once_no_worker_is_there_nothing_waits_for_one_in_turn(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    for number in range(1, 5):
        desk.carry(f"d{number}")
    assert desk.local.carried == ["d1", "d2", "d3", "d4"]


def test_a_worker_that_comes_back_is_found_by_a_row_that_it_takes(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    desk.carry()
    desk.clock.advance(PROBE_SECONDS)
    # Nobody takes this one, and it is sent here before long.
    desk.carry("d2")
    assert desk.transport.published[-1] == "d2"
    for _ in range(3):
        desk.clock.advance(AGAIN_SECONDS / 3)
        desk.carriers.look()
        desk.carry("d2")
    assert desk.local.carried == ["d1", "d2"]
    desk.clock.advance(PROBE_SECONDS)
    desk.carry("d3")
    desk.clock.advance(TAKEN_SECONDS + 1)
    desk.carriers.look()
    desk.carry("d4")
    assert (desk.transport.published[-2:], desk.local.carried) == (["d3", "d4"], ["d1", "d2"])


def test_while_the_broker_is_away_it_is_sent_here_at_once(desk: Desk):
    desk.transport.is_down = True
    desk.carry()
    assert (desk.downs, desk.local.carried) == (1, [])
    desk.carry()
    desk.carry("d2")
    assert desk.local.carried == ["d1", "d2"]
    desk.transport.is_down = False
    desk.clock.advance(DOWN_SECONDS)
    desk.carry("d3")
    assert desk.transport.published == ["d3"]


def test_what_waits_when_it_goes_down_is_not_tried_one_by_one(desk: Desk):
    desk.transport.is_down = True
    for number in range(5):
        desk.carriers.carry(f"d{number}", "c1")
    desk.carriers.publish_all()
    assert desk.downs == 1


def test_what_was_handed_over_long_ago_is_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.remote_carriers._MOST", 10)
    for number in range(30):
        desk.carry(f"d{number}")
        desk.clock.advance(1)
        desk.carriers.look()
    assert len(desk.carriers._handed) <= 10
    assert desk.carriers.busy() == frozenset()
