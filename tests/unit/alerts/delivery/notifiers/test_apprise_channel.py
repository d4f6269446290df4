import email
import email.header
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller

from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.apprise_channel import AppriseNotifier, cut
from api.alerts.delivery.notifiers.notifier import AddressRefused, Delivered, Rejected, RetryLater, SendOutcome
from api.domain.alerts.channel import ChannelSecret, ChannelSettings
from tests.unit.alerts.notifiers.receivers import message, receiving, status

OPEN = AppriseNotifier(AddressGuard.of(["127.0.0.0/8"]))
CLOSED = AppriseNotifier(AddressGuard())
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544"


class Mailbox:
    """Receives mails."""

    def __init__(self) -> None:
        self.mails: list[email.message.Message] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 - aiosmtpd's
        self.mails.append(email.message_from_bytes(envelope.content))  # type: ignore[attr-defined]
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    yield box, f"mailto://127.0.0.1:{port}/?from=gpu@example.org&to=me@example.org"
    server.stop()


def send(url: str, notifier: AppriseNotifier = OPEN, **summary_values: str) -> SendOutcome:
    return notifier.send(message(**summary_values), ChannelSecret(url), ChannelSettings())  # type: ignore[arg-type]


def test_mail_has_its_id_and_plain_text(mailbox: tuple[Mailbox, str]):
    box, url = mailbox
    assert send(url, title="[C] GPU lost:\r\nBcc: x", body="90 °C <b>hot</b>\n@everyone") == Delivered()
    (mail,) = box.mails
    assert (mail["X-Delivery-ID"], mail["Auto-Submitted"]) == ("delivery_1", "auto-generated")
    assert mail["Bcc"] is None
    assert str(email.header.make_header(email.header.decode_header(mail["Subject"]))) == "[C] GPU lost: Bcc: x"
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().split("\r\n")[:2] == ["90 °C <b>hot</b>", "@everyone"]


def test_private_server_is_not_connected_to(mailbox: tuple[Mailbox, str]):
    box, url = mailbox
    assert isinstance(send(url, CLOSED), Rejected)
    assert box.mails == []
    with pytest.raises(AddressRefused, match="private"):
        CLOSED.check(ChannelSecret(url))


def test_rejection_is_reported_by_its_status():
    with receiving(status("403 Forbidden")) as receiver:
        outcome = send(f"ntfy://127.0.0.1:{receiver.port}/topic")
        assert outcome == Rejected("the service rejected it: HTTP 403", 403, is_refusal=True)
    with receiving(status("503 Busy")) as receiver:
        outcome = send(f"ntfy://127.0.0.1:{receiver.port}/topic")
        assert outcome == RetryLater("the service did not accept it: HTTP 503", None, 503)


def test_redirect_is_not_followed():
    with receiving(status("200 OK")) as inside:
        with receiving(status("302 Found", f"Location: http://127.0.0.1:{inside.port}/x")) as receiver:
            outcome = send(f"ntfy://127.0.0.1:{receiver.port}/topic")
            assert isinstance(outcome, Rejected)
            assert (outcome.status, outcome.is_refusal) == (302, True)
        assert inside.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/x",
        "apprise://127.0.0.1/x",
        "syslog://",
        "dbus://",
        "windows://",
        "mqtt://127.0.0.1/x",
        "vapid://me@example.org?keyfile=/etc/passwd",
        "fcm://project@apikey/x?keyfile=/etc/passwd",
        "nothing://x",
        "no address",
        "",
        "tgram://x",
        f"{TELEGRAM}?attach=/etc/hostname",
        f"{TELEGRAM}?redirect=yes",
        f"{TELEGRAM}?%72edirect=yes",
        f"{TELEGRAM}?REDIRECT=yes",
        f"{TELEGRAM}?strange=1",
        "mailto://127.0.0.1/?from=a@b.de&to=c@d.de&pgppub=/etc/passwd",
    ],
)
def test_forbidden_address_is_rejected_without_repeating_it(url: str):
    with pytest.raises(AddressRefused) as refused:
        OPEN.check(ChannelSecret(url))
    secret = url.partition("://")[2]
    assert not secret or secret not in str(refused.value)


def test_address_is_shown_without_its_secrets():
    assert OPEN.check(ChannelSecret(TELEGRAM)).text == "tgram://…"
    shown = OPEN.check(ChannelSecret("mailto://user:p4ss@127.0.0.1:25/?from=a@b.de&to=c@d.de")).text
    assert shown == "mailto://…@127.0.0.1"


def test_chat_message_mentions_nobody(monkeypatch: pytest.MonkeyPatch):
    with receiving(status("200 OK")) as receiver:
        send(f"ntfy://127.0.0.1:{receiver.port}/topic", body="@everyone <!channel>")
    assert b"@everyone" not in receiver.requests[0]


@pytest.mark.parametrize(
    ("text", "most", "shown"), [("abc", 3, "abc"), ("abcdef", 4, "a..."), ("a" * 999, 200, "a" * 199 + "…")]
)
def test_long_text_is_cut_with_a_mark(text: str, most: int, shown: str):
    assert cut(text, most) == shown


def test_failing_plugin_is_retried(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> bool:
        raise RuntimeError("p4ss")

    monkeypatch.setattr("apprise.plugins.telegram.NotifyTelegram.notify", fail)
    assert send(TELEGRAM) == RetryLater("its plugin failed (RuntimeError)")
    assert replace(message(), is_resolved=True).is_resolved
