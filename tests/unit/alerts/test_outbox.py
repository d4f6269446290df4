from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.alerts.notifiers.notifier import Rejected, RetryLater
from api.domain.alert import AlertChange, AlertState, NotificationKind
from api.domain.channel import DeliveryKind, DeliveryState
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import channel


def end(desk: Desk, number: int = 1) -> None:
    before = desk.alerts.get(f"a{number}")
    after = replace(before, number=before.number + 1, state=AlertState.RESOLVED, resolved_at=desk.clock.now())
    note = desk.note(after, kind=NotificationKind.RESOLVED)
    desk.alerts.apply([AlertChange(before, after, "resolved", notifications=(note,))], desk.clock.now())


def test_what_is_due_is_told_once(desk: Desk):
    desk.add_channel()
    desk.begin()
    desk.drain()
    desk.drain()
    (message,) = desk.notifier.sent
    assert (message.title, message.total, message.channel_name) == ("⚠️ GPU 0 is at 90.", 1, "name-c1")
    assert [(row.state, row.attempts, row.alerts) for row in desk.deliveries()] == [
        (DeliveryState.DELIVERED, 1, ("a1",))
    ]


def test_a_group_waits_for_its_first_and_comes_as_one(desk: Desk):
    desk.add_channel()
    desk.begin(1, wait=30)
    desk.drain()
    assert desk.notifier.sent == []
    desk.clock.advance(20)
    desk.begin(2, wait=30)
    desk.begin(3, wait=30, group="other")
    desk.clock.advance(10)
    desk.drain()
    assert [message.total for message in desk.notifier.sent] == [2]
    desk.clock.advance(20)
    desk.drain()
    assert [message.total for message in desk.notifier.sent] == [2, 1]


def test_what_began_and_ended_while_it_waited_is_one_line(desk: Desk):
    desk.add_channel()
    desk.begin(wait=30)
    desk.clock.advance(10)
    end(desk)
    desk.drain()
    (message,) = desk.notifier.sent
    assert (message.is_resolved, message.total, len(message.alerts)) == (True, 1, 1)
    assert message.title.startswith("✅")


def test_an_end_waits_until_its_beginning_was_told(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 503")]
    desk.begin()
    desk.drain()
    end(desk)
    desk.drain()
    assert len(desk.notifier.sent) == 1
    desk.clock.advance(10)
    desk.drain()
    assert [message.is_resolved for message in desk.notifier.sent] == [False, False, True]
    first, second, third = desk.notifier.sent
    assert first.id == second.id != third.id


def test_the_end_of_what_was_never_told_is_not_told(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [Rejected("HTTP 400", 400)]
    desk.begin()
    desk.drain()
    end(desk)
    desk.drain()
    assert len(desk.notifier.sent) == 1
    assert desk.outbox_store.waiting(desk.clock.now()) == []


def test_a_flood_becomes_a_digest_and_nothing_is_lost(desk: Desk):
    desk.add_channel(channel(per_minute=3, per_hour=60))
    for number in range(40):
        desk.begin(number, group=f"g{number}")
    for _ in range(20):
        desk.drain()
        desk.clock.advance(10)
    assert sum(message.total for message in desk.notifier.sent) == 40
    assert len(desk.notifier.sent) <= 3 * 4
    assert DeliveryKind.DIGEST in {row.kind for row in desk.deliveries()}


def test_a_full_hour_makes_the_rest_wait(desk: Desk):
    desk.add_channel(channel(per_minute=10, per_hour=2))
    for number in range(3):
        desk.begin(number, group=f"g{number}")
        desk.drain()
        desk.clock.advance(61)
    assert len(desk.notifier.sent) == 2
    desk.clock.advance(3600)
    desk.drain()
    assert len(desk.notifier.sent) == 3


def test_one_that_is_switched_off_is_told_nothing(desk: Desk):
    made = desk.add_channel()
    desk.begin()
    desk.channels.replace(replace(made, enabled=False), made, None)
    desk.drain()
    assert (desk.notifier.sent, desk.outbox_store.waiting(desk.clock.now())) == ([], [])


def test_a_slow_channel_holds_up_no_other_and_keeps_its_order(desk: Desk):
    desk.add_channel(channel("c1"))
    desk.add_channel(channel("c2"))
    desk.carriers.busy_channels = {"c1"}
    desk.begin(1, "c1")
    desk.begin(2, "c2")
    desk.outbox.run_once()
    carried = {row.delivery_id: row.channel_id for row in desk.deliveries()}
    assert [carried[delivery_id] for delivery_id in desk.carriers.carried] == ["c2"]


def test_a_sender_that_died_is_followed_by_another_under_the_same_id(desk: Desk):
    desk.add_channel()
    desk.begin()
    desk.outbox.run_once()
    (delivery_id,) = desk.carriers.carried
    assert desk.outbox_store.claim(delivery_id, desk.clock.now(), timedelta(seconds=120)) is not None
    desk.drain()
    assert desk.notifier.sent == []
    desk.clock.advance(120)
    desk.drain()
    assert [message.id for message in desk.notifier.sent] == [delivery_id]
    assert desk.deliveries()[0].attempts == 2


def test_an_idle_outbox_asks_the_database_seldom_and_one_thing(desk: Desk):
    desk.outbox.run_once()
    calls: list[str] = []
    _count_calls(desk.outbox_store, calls)
    for _ in range(9):
        desk.clock.advance(0.5)
        desk.outbox.run_once()
    assert calls == []
    desk.clock.advance(0.5)
    desk.outbox.run_once()
    assert calls == ["next_look"]


def _count_calls(store: Any, calls: list[str]) -> None:
    def counted(name: str, ask: Any) -> Any:
        return lambda *given, **named: (calls.append(name), ask(*given, **named))[1]

    for name in ("next_look", "waiting", "due"):
        setattr(store, name, counted(name, getattr(store, name)))


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_set_silences_no_channel_and_loses_nothing(desk: Desk, hours: int):
    desk.add_channel(channel(per_minute=1))
    desk.begin(1, wait=30)
    desk.drain()
    desk.clock.jump(hours * 3600)
    desk.clock.advance(30)
    desk.drain()
    desk.begin(2)
    desk.drain()
    desk.clock.jump(-hours * 3600)
    desk.begin(3)
    desk.clock.advance(61)
    desk.drain()
    seen = {told.alert_id for message in desk.notifier.sent for told in message.alerts}
    assert seen == {"a1", "a2", "a3"}
    assert {row.state for row in desk.deliveries()} == {DeliveryState.DELIVERED}


def test_a_channel_that_comes_back_gets_all_that_waits_at_once_and_in_order(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 503")] * 20
    for number in range(3):
        desk.begin(number, group=f"g{number}")
        desk.drain()
    for _ in range(3):
        desk.clock.advance(700)
        desk.drain()
    desk.notifier.outcomes.clear()
    desk.notifier.sent.clear()
    desk.begin(9, group="g9")
    desk.drain()
    assert [message.alerts[0].alert_id for message in desk.notifier.sent] == ["a9", "a0", "a1", "a2"]
