from dataclasses import replace

import pytest

from api.alerts.delivery.channels import ChannelRequest, ChannelService, check_id, mark_of
from api.alerts.delivery.notifiers.notifier import RetryLater
from api.domain.access.principal import LOCAL, Credential, Principal
from api.domain.alerts.channel import ChannelKind, ChannelSecret, ChannelSettings, DeliveryFilter, DeliveryState
from api.errors import AlertNotFound, Conflict, Invalid, RateLimited
from api.util.http.pagination import PageRequest
from tests.unit.alerts.conftest import Desk

ANN = Principal("ann", None, frozenset(), Credential.KEY)
MAIL = ChannelRequest("mail", ChannelKind.APPRISE, ChannelSecret("mailto://u:p4ss@h/"), ChannelSettings())


@pytest.fixture
def service(desk: Desk) -> ChannelService:
    kinds = dict.fromkeys(ChannelKind, desk.notifier)
    return ChannelService(desk.channels, desk.outbox_store, desk.sealer, kinds, desk.clock, lambda: None)


def test_address_is_stored_and_never_returned(desk: Desk, service: ChannelService):
    made = service.add(MAIL, LOCAL)
    assert "p4ss" not in repr(made) + repr(service.get(made.channel_id, LOCAL)) + repr(desk.channels.with_secrets())
    assert (made.address, made.fingerprint) == ("mailto://…", mark_of(MAIL.secret))
    assert desk.sealer.open(desk.channels.with_secrets()[0][1]) == MAIL.secret


def test_invalid_address_is_rejected(service: ChannelService):
    with pytest.raises(Invalid) as refused:
        service.add(replace(MAIL, secret=ChannelSecret("bad")), LOCAL)
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/url"]


def test_new_address_enables_a_disabled_channel(desk: Desk, service: ChannelService):
    made = service.add(MAIL, LOCAL)
    before = desk.channels.get(made.channel_id)
    desk.channels.replace(replace(before, enabled=False, disabled_reason="refused", refusals=3), before, None)
    changed = service.change(
        made.channel_id, {"enabled": True, "secret": ChannelSecret("mailto://v@h/")}, {"per_minute": 2}, LOCAL
    )
    assert (changed.enabled, changed.disabled_reason, changed.per_minute) == (True, None, 2)
    assert changed.fingerprint != made.fingerprint


def test_only_managers_see_the_errors_of_a_channel(desk: Desk, service: ChannelService):
    made = service.add(MAIL, LOCAL)
    desk.notifier.outcomes = [RetryLater("HTTP 500: secret words")]
    desk.add_alert(channel_id=made.channel_id)
    desk.drain()
    assert service.get(made.channel_id, LOCAL).last_error == "HTTP 500: secret words"
    assert service.get_page(PageRequest(), ANN).rows[0].last_error is None


def test_test_message_is_limited_to_one_per_minute(desk: Desk, service: ChannelService):
    made = service.add(MAIL, LOCAL)
    desk.notifier.outcomes = [RetryLater("HTTP 500")]
    delivery_id = service.test(made.channel_id)
    with pytest.raises(RateLimited):
        service.test(made.channel_id)
    desk.drain()
    (message,) = desk.notifier.sent
    assert (message.id, message.is_test) == (delivery_id, True)
    (row,) = service.get_deliveries(DeliveryFilter(), PageRequest()).rows
    assert (row.state, row.result) == (DeliveryState.REJECTED, "HTTP 500")
    desk.clock.advance(61)
    service.test(made.channel_id)
    service.change(made.channel_id, {"enabled": False}, {}, LOCAL)
    desk.clock.advance(61)
    with pytest.raises(Conflict):
        service.test(made.channel_id)


def test_channels_are_deleted_and_their_number_is_limited(service: ChannelService, monkeypatch: pytest.MonkeyPatch):
    made = service.add(MAIL, LOCAL)
    monkeypatch.setattr("api.alerts.delivery.channels.MOST_CHANNELS", 1)
    with pytest.raises(Conflict, match="the maximum"):
        service.add(replace(MAIL, name="other"), LOCAL)
    assert service.delete(made.channel_id, LOCAL).name == "mail"
    with pytest.raises(AlertNotFound):
        service.get(made.channel_id, LOCAL)
    with pytest.raises(AlertNotFound):
        service.get("c\0", LOCAL)


@pytest.mark.parametrize("text", ["", "a\0b", "../x", "a b", "x" * 200])
def test_invalid_id_is_not_found(text: str):
    with pytest.raises(AlertNotFound, match="No silence has this id"):
        check_id(text, "silence")


def test_valid_id_passes():
    check_id("alert_20260101_0a1b2c3d", "alert")
