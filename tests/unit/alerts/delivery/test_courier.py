from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from api.alerts.delivery.courier import WAITS
from api.alerts.delivery.notifiers.notifier import Rejected, RetryLater
from api.domain.alerts.channel import ChannelSecret, DeliveryState
from api.errors import DatabaseUnavailable
from api.util.measures import delivery_lags
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import channel
from tests.unit.alerts.notifiers.receivers import message
from tests.unit.observed import observed
from tests.unit.tracers import making


def only(desk: Desk) -> str:
    desk.add_alert()
    desk.outbox.run_once()
    (delivery_id,) = desk.carriers.carried
    return delivery_id


def test_failing_receiver_is_retried_by_schedule_for_a_day(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 500", None, 500)] * 100
    delivery_id, began = only(desk), desk.clock.now()
    waits = []
    while desk.courier.deliver(delivery_id) is DeliveryState.WAITING:
        at = desk.deliveries()[0].not_before
        assert at is not None
        waits.append((at - desk.clock.now()).total_seconds())
        desk.clock.advance(waits[-1])
    for wait, planned in zip(waits, [*WAITS, 3600.0], strict=False):
        assert 0.79 * planned <= wait <= 1.21 * planned
    assert desk.deliveries()[0].state is DeliveryState.EXPIRED
    assert desk.clock.now() - began <= timedelta(hours=24)
    assert 25 <= len(waits) <= 35
    assert {message.id for message in desk.notifier.sent} == {delivery_id}


def test_receiver_sets_the_time_of_the_retry(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("x", 77.0), RetryLater("x", 999_999.0)]
    delivery_id = only(desk)
    for wait in (77.0, 3600.0):
        desk.courier.deliver(delivery_id)
        at = desk.deliveries()[0].not_before
        assert at == desk.clock.now() + timedelta(seconds=wait)
        desk.clock.advance(wait)


def test_three_refusals_disable_a_channel(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [Rejected("HTTP 404", 404, is_refusal=True)] * 3
    for number in range(4):
        desk.add_alert(number, group=str(number))
        desk.drain()
    assert len(desk.notifier.sent) == 3
    assert desk.channels.get("c1").disabled_reason is not None


def test_deleted_receiver_disables_its_channel_immediately(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [Rejected("HTTP 410", 410, is_refusal=True)]
    desk.add_alert()
    desk.drain()
    assert not desk.channels.get("c1").enabled


def test_sent_delivery_is_stored_after_a_database_outage(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.add_channel()
    delivery_id = only(desk)
    write, failures = desk.database.write, []

    @contextmanager
    def sometimes(is_audited: bool = True) -> Iterator[object]:
        if desk.notifier.sent and len(failures) < 5:
            failures.append(1)
            raise DatabaseUnavailable
        with write(is_audited) as connection:
            yield connection

    monkeypatch.setattr(desk.database, "write", sometimes)
    assert desk.courier.deliver(delivery_id) is DeliveryState.DELIVERED
    assert (len(failures), desk.deliveries()[0].state) == (5, DeliveryState.DELIVERED)


def test_unreadable_secret_is_reported_in_the_delivery(desk: Desk):
    desk.channels.add(channel(), b"nonsense")
    desk.add_alert()
    desk.drain()
    assert desk.notifier.sent == []
    assert "encrypted with another key" in (desk.deliveries()[0].result or "")


def test_direct_sending_needs_no_database(desk: Desk):
    sealed = desk.sealer.seal(ChannelSecret("https://hooks.example/x"))
    desk.database.close()
    desk.courier.send_now(channel(), sealed, message())
    assert len(desk.notifier.sent) == 1


def test_delivery_lag_is_measured(desk: Desk):
    desk.add_channel()
    before = observed(delivery_lags, "webhook")
    desk.notifier.outcomes = [RetryLater("HTTP 500", None, 500)]
    delivery_id = only(desk)
    desk.courier.deliver(delivery_id)
    assert observed(delivery_lags, "webhook") == before
    desk.clock.advance(60)
    assert desk.courier.deliver(delivery_id) is DeliveryState.DELIVERED
    assert observed(delivery_lags, "webhook") == before + 1


def test_delivery_is_a_span_with_its_id_and_no_secret(desk: Desk):
    desk.add_channel()
    delivery_id = only(desk)
    with making() as maker:
        desk.courier.deliver(delivery_id)
    (span,) = [each for each in maker.made if each.name == "deliver alert"]
    assert span.values == {"diffusion_pipe.delivery_id": delivery_id, "diffusion_pipe.channel_kind": "webhook"}
    assert [each.parent for each in maker.made if each.name == "database write"] == [span]


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_expires_no_message(desk: Desk, hours: int):
    desk.add_channel()
    desk.notifier.outcomes = [RetryLater("HTTP 500", 1.0, 500)] * 12
    delivery_id = only(desk)
    for number in range(12):
        desk.clock.advance(60)
        if number == 8:
            desk.clock.jump(hours * 3600)
        assert desk.courier.deliver(delivery_id) is DeliveryState.WAITING
    desk.clock.advance(60)
    assert desk.courier.deliver(delivery_id) is DeliveryState.DELIVERED


def test_redirect_to_another_host_disables_its_channel_immediately(desk: Desk):
    desk.add_channel()
    desk.notifier.outcomes = [Rejected("HTTP 302: it redirects", 302, is_refusal=True)]
    assert desk.courier.deliver(only(desk)) is DeliveryState.REJECTED
    aside = desk.channels.get("c1")
    assert (aside.enabled, "HTTP 302" in (aside.disabled_reason or "")) == (False, True)
