"""Apprise's plugins read only the beginning of a response."""

import resource

import pytest
import requests

from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.apprise_channel import AppriseNotifier
from api.alerts.delivery.notifiers.short_replies import MOST_BYTES, short_replies
from api.domain.alerts.channel import ChannelSecret, ChannelSettings
from tests.hostile_servers import Answer, redirect_for_ever, send_700_mb, send_bomb, serving
from tests.unit.alerts.notifiers.receivers import message


@pytest.mark.parametrize("hostile", [send_700_mb, send_bomb, redirect_for_ever])
def test_hostile_receiver_costs_little_memory(hostile: Answer):
    notifier = AppriseNotifier(AddressGuard.of(["127.0.0.1"]))
    notifier.check(ChannelSecret("ntfy://127.0.0.1/topic"))  # its library is large
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(hostile) as address:
        notifier.send(message(), ChannelSecret(address.replace("http", "ntfy") + "/topic"), ChannelSettings())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_other_sessions_read_everything():
    def answer(peer, _: bytes) -> None:  # type: ignore[no-untyped-def]
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)

    with serving(answer) as address:
        with short_replies():
            assert len(requests.get(address, timeout=30).content) == MOST_BYTES
        assert len(requests.get(address, timeout=30).content) == 100_000
