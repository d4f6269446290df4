import pytest

from api.alerts.delivery.outbox import FakeSenders
from api.alerts.delivery.worker_senders import (
    ALONE_SECONDS,
    DOWN_SECONDS,
    PROBE_SECONDS,
    REPUBLISH_SECONDS,
    TAKEN_SECONDS,
    FakeTransport,
    WorkerSenders,
)
from api.util.clock import FakeClock


class Desk:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.transport, self.local, self.downs = FakeTransport(), FakeSenders(), 0
        self.carriers = WorkerSenders(self.transport, self.local, clock, self.count)

    def count(self) -> None:
        self.downs += 1

    def carry(self, delivery_id: str = "d1") -> None:
        assert self.carriers.carry(delivery_id, "c1")
        self.carriers.publish_all()


@pytest.fixture
def desk(clock: FakeClock) -> Desk:
    return Desk(clock)


def test_unclaimed_delivery_is_published_again(desk: Desk):
    for _ in range(3):
        desk.carry()
    assert desk.transport.published == ["d1"]
    desk.clock.advance(REPUBLISH_SECONDS)
    desk.carry()
    assert (desk.transport.published, desk.local.carried) == (["d1", "d1"], [])


def test_delivery_that_no_worker_takes_is_sent_here(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    desk.carry()
    assert desk.local.carried == ["d1"]


def test_in_the_fallback_no_row_waits_for_a_worker(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    for number in range(1, 5):
        desk.carry(f"d{number}")
    assert desk.local.carried == ["d1", "d2", "d3", "d4"]


def test_returning_worker_is_found_by_a_probe(desk: Desk):
    desk.carry()
    desk.clock.advance(ALONE_SECONDS)
    desk.carry()
    desk.clock.advance(PROBE_SECONDS)
    # No worker takes this one, and it is sent here after a while.
    desk.carry("d2")
    assert desk.transport.published[-1] == "d2"
    for _ in range(3):
        desk.clock.advance(REPUBLISH_SECONDS / 3)
        desk.carriers.check()
        desk.carry("d2")
    assert desk.local.carried == ["d1", "d2"]
    desk.clock.advance(PROBE_SECONDS)
    desk.carry("d3")
    desk.clock.advance(TAKEN_SECONDS + 1)
    desk.carriers.check()
    desk.carry("d4")
    assert (desk.transport.published[-2:], desk.local.carried) == (["d3", "d4"], ["d1", "d2"])


def test_delivery_is_sent_here_while_the_broker_is_down(desk: Desk):
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


def test_queued_ids_are_not_published_while_the_broker_is_down(desk: Desk):
    desk.transport.is_down = True
    for number in range(5):
        desk.carriers.carry(f"d{number}", "c1")
    desk.carriers.publish_all()
    assert desk.downs == 1


def test_old_published_rows_are_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.delivery.worker_senders._MOST", 10)
    for number in range(30):
        desk.carry(f"d{number}")
        desk.clock.advance(1)
        desk.carriers.check()
    assert len(desk.carriers._published) <= 10
    assert desk.carriers.busy() == frozenset()
