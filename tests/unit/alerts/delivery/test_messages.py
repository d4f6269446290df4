import time as time_module
from collections.abc import Iterator
from dataclasses import replace
from datetime import time, timedelta

import pytest

from api.alerts.delivery.messages import compose
from api.alerts.delivery.notifiers.notifier import OutboundMessage
from api.alerts.records.rows import take_snapshot
from api.domain.alerts.alert import Alert, AlertNotification, AlertState, NotificationKind
from api.domain.alerts.channel import (
    AlertSnapshot,
    Channel,
    ClaimedDelivery,
    Delivery,
    DeliveryKind,
    DeliveryState,
    QuietHours,
)
from api.domain.machines.gpu_event import Severity
from tests.unit.alerts.fact_builders import NOW, channel, firing

PAGE = "https://gpu.example.org"


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time_module.tzset()
    yield
    monkeypatch.undo()
    time_module.tzset()


def snapshot(
    kind: NotificationKind = NotificationKind.FIRING, alert: Alert | None = None, number: int = 1, **changes: object
) -> AlertSnapshot:
    alert = alert or firing(**{"remedy": "check the fan", "labels": {"owner": "ann", "node": "box"}, **changes})
    return take_snapshot(AlertNotification(alert.alert_id, number, kind, "c1", alert.severity, "g", NOW), alert)


def over(resolution: str, seconds: float = 720, **changes: object) -> AlertSnapshot:
    ended = NOW + timedelta(seconds=seconds)
    changes = {"state": AlertState.RESOLVED, "resolved_at": ended, "resolution": resolution, **changes}
    return snapshot(NotificationKind.RESOLVED, number=2, **changes)


def message(
    *alerts: AlertSnapshot,
    count: int | None = None,
    kind: DeliveryKind = DeliveryKind.ALERTS,
    through: Channel | None = None,
    url: str = "",
    after: float = 7500,
) -> OutboundMessage:
    delivery = Delivery(
        "d1", "c1", kind, DeliveryState.SENDING, Severity.WARNING, "g", count or len(alerts), 1, NOW, NOW
    )
    claimed = ClaimedDelivery(delivery, "t", through or channel(), b"", alerts)
    return compose(claimed, NOW + timedelta(seconds=after), url)


def failed(task: str, **changes: object) -> AlertSnapshot:
    return snapshot(
        rule_id="training_failed",
        alert_id=f"alert_{task}",
        summary=f"{task} failed at step 5: GPU out of memory.",
        remedy="Try a smaller batch.",
        labels={"task_id": f"training_{task}"},
        **changes,
    )


def test_failed_training_is_one_line_then_the_remedy_then_a_link():
    sent = message(failed("wan video"), url=PAGE)
    assert sent.title == "❌ wan video failed at step 5: GPU out of memory."
    assert sent.body.splitlines() == ["Try a smaller batch.", "01:00 CET", f"{PAGE}/#/trainings/training_wan%20video"]
    assert f"{sent.title}{sent.body}".count("wan video") == 1
    assert sent.link == f"{PAGE}/#/trainings/training_wan%20video"


def test_without_public_url_the_id_is_last():
    assert message(failed("wan")).body.splitlines()[-1] == "training_wan"
    assert message(snapshot()).body.splitlines()[-1] == "alert_1"


def test_finished_training_has_its_own_sign():
    finished = snapshot(rule_id="training_finished", summary="wan finished: 10 steps.", severity=Severity.INFO)
    assert message(finished).title == "✅ wan finished: 10 steps."


def test_lasting_alert_has_its_start_and_duration_in_local_time():
    assert message(snapshot()).body.splitlines() == [
        "Check the fan.", "Since 01:00 CET, for 2 hours 5 minutes · box · owner ann", "alert_1",
    ]  # fmt: skip
    assert message(snapshot(), after=86_400 * 2).body.splitlines()[1].startswith("Since 01 Jan 01:00 CET, for 2 days")


def test_times_use_the_zone_of_the_channels_quiet_hours():
    through = channel(quiet_hours=QuietHours("Asia/Tokyo", time(22), time(7)))
    assert "Since 09:00 JST" in message(snapshot(), through=through).body


def test_end_has_the_text_of_its_rule_and_the_duration():
    cool = over("GPU 0 is cool again", rule_id="near_slowdown", peak=91.0)
    sent = message(cool)
    assert (sent.title, sent.is_resolved) == ("✅ GPU 0 is cool again, after 12 minutes.", True)
    assert sent.body.splitlines()[0] == "01:00 CET to 01:12 CET, at worst 91 °C · box · owner ann"
    assert "fan" not in sent.body


def test_end_without_text_names_the_alert_and_the_reason():
    assert message(over("it is over")).title == "✅ hot: GPU 0: it is over, after 12 minutes."
    deleted = message(over("its rule was deleted or switched off")).title
    assert deleted == "✅ hot: GPU 0: its rule was deleted or switched off, after 12 minutes."


def test_one_alert_is_one_line_by_its_latest_change():
    sent = message(snapshot(), over("it is over"))
    assert (sent.total, len(sent.alerts), sent.is_resolved) == (1, 1, True)
    assert message(over("it is over"), snapshot()).is_resolved


def test_five_alerts_are_five_lines_with_one_shared_remedy():
    sent = message(*(failed(name) for name in "abcde"), url=PAGE)
    assert sent.title == "❌ a failed at step 5: GPU out of memory, and 4 more alerts."
    lines = sent.body.splitlines()
    assert lines[0] == "❌ a failed at step 5: GPU out of memory. (01:00 CET)"
    assert lines[5:] == ["   Try a smaller batch.", f"{PAGE}/#/alerts"]
    assert [part.title for part in sent.parts] == [
        f"❌ {name} failed at step 5: GPU out of memory." for name in "abcde"
    ]


def test_most_severe_alert_comes_first_and_the_rest_is_counted():
    many = [snapshot(alert_id=f"a{number}") for number in range(30)]
    grave = snapshot(alert_id="grave", summary="GPU 1 is lost.", severity=Severity.CRITICAL)
    sent = message(*many, grave, count=500)
    assert sent.title == "❌ GPU 1 is lost, and 499 more alerts."
    assert sent.body.startswith("❌ GPU 1 is lost. (")
    assert "480 more" in sent.body
    assert (sent.total, sent.is_resolved) == (500, False)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (NotificationKind.REPEAT, "The alert is still active."),
        (NotificationKind.FLAPPING, "The alert is flapping"),
        (NotificationKind.CALM, "The alert is no longer flapping."),
    ],
)
def test_repetitions_and_flapping_are_marked(kind: NotificationKind, text: str):
    assert text in message(snapshot(kind)).body


def test_test_message_says_that_nothing_is_wrong():
    tried = replace(snapshot(NotificationKind.TEST), title="Test: it works", summary="Nothing is wrong.")
    sent = message(tried, kind=DeliveryKind.TEST)
    assert (sent.title, sent.body, sent.is_test) == ("Test: it works", "Nothing is wrong.", True)
    assert not sent.is_resolved
