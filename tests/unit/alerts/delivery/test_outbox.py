from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.alerts.delivery.notifiers.notifier import Rejected, RetryLater
from api.domain.alerts.alert import AlertChange, AlertState, NotificationKind
from api.domain.alerts.channel import DeliveryKind, DeliveryState
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import channel


def end(desk: Desk, number: int = 1) -> None:
    before = desk.alerts.get(f"a{number}")
    after = replace(before, number=before.number + 1, state=AlertState.RESOLVED, resolved_at=desk.clock.now())
    note = desk.note(after, kind=NotificationKind.RESOLVED)
    desk.alerts.apply([AlertChange(before, after, "resolved", notifications=(note,))], desk.clock.now())


def test_due_notification_is_sent_once(desk: Desk):
    desk.add_channel()
    desk.add_alert()
    desk.drain()
    desk.drain()
    (message,) = desk.notifier.sent
    assert (message.title, message.total, message.channel_name) == ("⚠️ GPU 0 is at 90.", 1, "name-c1")
    assert [(row.state, row.attempts, row.alerts) for row in desk.deliveries()] == [
        (DeliveryState.DELIVERED, 1, ("a1",))
    ]


def test_group_waits_for_its_first_notification_and_is_one_message(desk: Desk):
    desk.add_channel()
    desk.add_alert(1, wait=30)
    desk.drain()
    assert desk.notifier.sent == []
    desk.clock.advance(20)
    desk.add_alert(2, wait=30)
    desk.add_alert(3, wait=30, group="other")
    desk.clock.advance(10)
    desk.drain()
    assert [message.total for message in desk.notifier.sent] == [2]
    desk.clock.advance(20)
    desk.drain()
    assert [message.total for message in desk.notifier.sent] == [2, 1]


def test_alert_that_ends_before_its_message_is_one_line(desk: Desk):
    desk.add_channel()
    desk.add_alert(wait=30)
    desk.clock.advance(10)
    end(desk)
    desk.drain()
    (message,) = desk.notifier.sent
    assert (message.is_resolved, message.total, len(message.alerts)) == (True, 1, 1)
    assert message.title.startswith("✅")


def test_end_waits_for_the_delivery_of_the_start(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 503")]
    desk.add_alert()
    desk.drain()
    end(desk)
    desk.drain()
    assert len(desk.notifier.sent) == 1
    desk.clock.advance(10)
    desk.drain()
    assert [message.is_resolved for message in desk.notifier.sent] == [False, False, True]
    first, second, third = desk.notifier.sent
    assert first.id == second.id != third.id


def test_end_of_an_unannounced_alert_is_not_sent(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [Rejected("HTTP 400", 400)]
    desk.add_alert()
    desk.drain()
    end(desk)
    desk.drain()
    assert len(desk.notifier.sent) == 1
    assert desk.outbox_store.waiting(desk.clock.now()) == []


def test_flood_becomes_a_digest_without_losses(desk: Desk):
    desk.add_channel(channel(per_minute=3, per_hour=60))
    for number in range(40):
        desk.add_alert(number, group=f"g{number}")
    for _ in range(20):
        desk.drain()
        desk.clock.advance(10)
    assert sum(message.total for message in desk.notifier.sent) == 40
    assert len(desk.notifier.sent) <= 3 * 4
    assert DeliveryKind.DIGEST in {row.kind for row in desk.deliveries()}


def test_hourly_limit_delays_the_rest(desk: Desk):
    desk.add_channel(channel(per_minute=10, per_hour=2))
    for number in range(3):
        desk.add_alert(number, group=f"g{number}")
        desk.drain()
        desk.clock.advance(61)
    assert len(desk.notifier.sent) == 2
    desk.clock.advance(3600)
    desk.drain()
    assert len(desk.notifier.sent) == 3


def test_disabled_channel_gets_nothing(desk: Desk):
    made = desk.add_channel()
    desk.add_alert()
    desk.channels.replace(replace(made, enabled=False), made, None)
    desk.drain()
    assert (desk.notifier.sent, desk.outbox_store.waiting(desk.clock.now())) == ([], [])


def test_slow_channel_delays_no_other_and_keeps_its_order(desk: Desk):
    desk.add_channel(channel("c1"))
    desk.add_channel(channel("c2"))
    desk.carriers.busy_channels = {"c1"}
    desk.add_alert(1, "c1")
    desk.add_alert(2, "c2")
    desk.outbox.run_once()
    carried = {row.delivery_id: row.channel_id for row in desk.deliveries()}
    assert [carried[delivery_id] for delivery_id in desk.carriers.carried] == ["c2"]


def test_delivery_of_a_dead_sender_is_sent_again_under_the_same_id(desk: Desk):
    desk.add_channel()
    desk.add_alert()
    desk.outbox.run_once()
    (delivery_id,) = desk.carriers.carried
    assert desk.outbox_store.claim(delivery_id, desk.clock.now(), timedelta(seconds=120)) is not None
    desk.drain()
    assert desk.notifier.sent == []
    desk.clock.advance(120)
    desk.drain()
    assert [message.id for message in desk.notifier.sent] == [delivery_id]
    assert desk.deliveries()[0].attempts == 2


def test_idle_outbox_polls_the_database_rarely_by_one_query(desk: Desk):
    desk.outbox.run_once()
    calls: list[str] = []
    _count_calls(desk.outbox_store, calls)
    for _ in range(9):
        desk.clock.advance(0.5)
        desk.outbox.run_once()
    assert calls == []
    desk.clock.advance(0.5)
    desk.outbox.run_once()
    assert calls == ["next_due_at"]


def _count_calls(store: Any, calls: list[str]) -> None:
    def counted(name: str, call: Any) -> Any:
        return lambda *given, **named: (calls.append(name), call(*given, **named))[1]

    for name in ("next_due_at", "waiting", "due"):
        setattr(store, name, counted(name, getattr(store, name)))


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_blocks_no_channel_and_loses_nothing(desk: Desk, hours: int):
    desk.add_channel(channel(per_minute=1))
    desk.add_alert(1, wait=30)
    desk.drain()
    desk.clock.jump(hours * 3600)
    desk.clock.advance(30)
    desk.drain()
    desk.add_alert(2)
    desk.drain()
    desk.clock.jump(-hours * 3600)
    desk.add_alert(3)
    desk.clock.advance(61)
    desk.drain()
    seen = {alert.alert_id for message in desk.notifier.sent for alert in message.alerts}
    assert seen == {"a1", "a2", "a3"}
    assert {row.state for row in desk.deliveries()} == {DeliveryState.DELIVERED}


def test_recovered_channel_gets_all_waiting_messages_in_order(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 503")] * 20
    for number in range(3):
        desk.add_alert(number, group=f"g{number}")
        desk.drain()
    for _ in range(3):
        desk.clock.advance(700)
        desk.drain()
    desk.notifier.outcomes.clear()
    desk.notifier.sent.clear()
    desk.add_alert(9, group="g9")
    desk.drain()
    assert [message.alerts[0].alert_id for message in desk.notifier.sent] == ["a9", "a0", "a1", "a2"]
