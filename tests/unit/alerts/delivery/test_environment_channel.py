from dataclasses import replace

import pytest

from api.alerts.delivery.channels import ChannelService
from api.alerts.delivery.environment_channel import EnvironmentChannel
from api.alerts.delivery.notifiers.notifier import AddressRefused
from api.alerts.delivery.planning import is_reached
from api.domain.access.principal import LOCAL
from api.domain.alerts.channel import ENVIRONMENT_CHANNEL, ChannelKind
from api.domain.machines.gpu_event import Severity
from api.errors import Conflict
from api.nodes.server_models import StoredServer
from api.nodes.server_store import ServerStore
from api.util.clock import SteadyMark
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import NOW, channel, firing, rule

URL = "ntfys://:s3cret@ntfy.example.org/gpus"


def start(desk: Desk, url: str = URL, node: str = "a") -> None:
    """Start a server with this setting."""
    EnvironmentChannel(
        url, desk.notifier, desk.channels, ServerStore(desk.database), desk.sealer, node, desk.clock
    ).update()


def test_setting_creates_a_channel_whose_secret_is_not_shown(desk: Desk):
    start(desk)
    (made,) = desk.channels.every()
    assert (made.channel_id, made.name, made.created_by) == (ENVIRONMENT_CHANNEL, "NOTIFY_URL", "environment of a")
    assert "s3cret" not in repr(made) + repr(desk.channels.with_secrets())
    assert desk.sealer.open(desk.channels.with_secrets()[0][1]).url == URL


def test_several_servers_share_one_channel(desk: Desk):
    start(desk)
    start(desk, node="b")
    assert len(desk.channels.every()) == 1


def test_new_address_takes_effect_at_the_next_start_without_failures(desk: Desk):
    start(desk)
    (before,) = desk.channels.every()
    desk.channels.replace(replace(before, failures=3, refusals=2), before, None)
    start(desk)
    assert desk.channels.every()[0].failures == 3
    start(desk, "ntfys://elsewhere.example.org/gpus")
    (after,) = desk.channels.every()
    assert (after.failures, after.refusals, after.mark == before.mark) == (0, 0, False)


def test_disabled_channel_is_enabled_by_a_restart(desk: Desk):
    start(desk)
    (before,) = desk.channels.every()
    desk.channels.replace(replace(before, enabled=False, disabled_reason="gone", failures=3), before, None)
    start(desk)
    (after,) = desk.channels.every()
    assert (after.enabled, after.disabled_reason, after.failures) == (True, None, 0)


def test_without_the_setting_the_channel_is_deleted_at_the_next_start(desk: Desk):
    start(desk, "")
    desk.add_channel()
    start(desk)
    start(desk, "")
    assert [each.channel_id for each in desk.channels.every()] == ["c1"]


def test_server_without_the_setting_keeps_the_channel_of_another_running_one(desk: Desk):
    start(desk)
    other = StoredServer("s", "p", "a", "h", None, 1, "1", NOW, NOW)
    ServerStore(desk.database).sign(other, SteadyMark(NOW, desk.clock.mark()))
    start(desk, "", node="b")
    assert len(desk.channels.every()) == 1


def test_unusable_address_prevents_the_start(desk: Desk):
    with pytest.raises(AddressRefused):
        start(desk, "bad://x")


def test_channel_of_the_same_name_does_not_prevent_the_start(desk: Desk, caplog: pytest.LogCaptureFixture):
    desk.add_channel(replace(channel(), name="NOTIFY_URL"))
    start(desk)
    assert "its name is taken" in caplog.text


def test_requests_neither_change_nor_delete_it(desk: Desk):
    start(desk)
    kinds = dict.fromkeys(ChannelKind, desk.notifier)
    service = ChannelService(desk.channels, desk.outbox_store, desk.sealer, kinds, desk.clock, lambda: None)
    assert service.get(ENVIRONMENT_CHANNEL, LOCAL).from_environment
    with pytest.raises(Conflict, match="NOTIFY_URL"):
        service.change(ENVIRONMENT_CHANNEL, {"enabled": False}, {}, LOCAL)
    with pytest.raises(Conflict, match="NOTIFY_URL"):
        service.delete(ENVIRONMENT_CHANNEL, LOCAL)
    assert service.test(ENVIRONMENT_CHANNEL)


def test_finished_trainings_are_the_only_notices_it_gets():
    own, other = replace(channel(), channel_id=ENVIRONMENT_CHANNEL), channel()
    finished = firing(rule_id="training_finished", severity=Severity.INFO)
    opt_in = rule(is_opt_in=True, rule_id="training_finished")
    assert is_reached(own, finished, opt_in, None)
    assert not is_reached(other, finished, opt_in, None)
    assert not is_reached(own, firing(severity=Severity.INFO), rule(), None)
    assert is_reached(own, firing(), rule(), None)
