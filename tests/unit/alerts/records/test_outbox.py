from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.delivery_rows import Bundle
from api.alerts.records.outbox_store import AttemptResult, OutboxStore
from api.alerts.records.rows import take_snapshot
from api.db.database import Database
from api.domain.alerts.alert import AlertChange, AlertNotification, NotificationKind
from api.domain.alerts.channel import DeliveryFilter, DeliveryKind, DeliveryState
from api.domain.machines.gpu_event import Severity
from api.util.http.pagination import PageRequest
from tests.unit.alerts.fact_builders import channel, firing
from tests.unit.db.builders import NOW, later

LEASE = timedelta(seconds=120)
DONE = AttemptResult(DeliveryState.DELIVERED, 200, "delivered")


@pytest.fixture
def store(database: Database) -> OutboxStore:
    ChannelStore(database).add(channel(), b"sealed")
    return OutboxStore(database)


def note(database: Database, number: int = 1, kind: NotificationKind = NotificationKind.FIRING) -> None:
    """Store a notification of another alert."""
    alert = firing(alert_id=f"a{number}", fingerprint=f"f{number}")
    notification = AlertNotification(alert.alert_id, 1, kind, "c1", alert.severity, "g", later(number))
    AlertStore(database).apply([AlertChange(None, alert, "x", notifications=(notification,))], NOW)


def bundle(store: OutboxStore, delivery_id: str = "d1") -> bool:
    ids = tuple(each.id for each in store.waiting(NOW))
    return store.bundle(Bundle(delivery_id, "c1", DeliveryKind.ALERTS, Severity.WARNING, "g", ids), NOW)


def test_waiting_notifications_become_one_message_once(store: OutboxStore, database: Database):
    note(database, 1)
    note(database, 2)
    waiting = store.waiting(NOW)
    assert [(each.alert_id, each.not_before) for each in waiting] == [("a1", later(1)), ("a2", later(2))]
    assert bundle(store)
    again = Bundle("d2", "c1", DeliveryKind.ALERTS, Severity.WARNING, "g", (waiting[0].id,))
    assert not store.bundle(again, NOW)
    assert store.waiting(NOW) == []
    assert [row.delivery_id for row in store.page(DeliveryFilter(), PageRequest(9)).rows] == ["d1"]


def test_claim_is_exclusive_and_ends_with_its_lease(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    claimed = store.claim("d1", NOW, LEASE)
    assert claimed is not None
    assert (claimed.delivery.attempts, claimed.sealed, [notification.alert_id for notification in claimed.alerts]) == (
        1,
        b"sealed",
        ["a1"],
    )
    assert store.claim("d1", later(119), LEASE) is None
    assert store.due(later(119)) == []
    assert store.next_due_at(NOW) == later(120)
    again = store.claim("d1", later(120), LEASE)
    assert again is not None
    assert again.delivery.attempts == 2
    assert not store.finish(claimed, DONE, later(121), 3)
    assert store.finish(again, DONE, later(121), 3)
    (row,) = store.page(DeliveryFilter(), PageRequest(9)).rows
    assert (row.state, row.finished_at, row.not_before) == (DeliveryState.DELIVERED, later(121), None)
    assert ChannelStore(database).get("c1").last_success_at == later(121)


def test_one_of_many_concurrent_claims_succeeds(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: store.claim("d1", NOW, LEASE), range(6)))
    assert sum(each is not None for each in found) == 1


def test_failed_delivery_waits_for_its_next_attempt(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    claimed = store.claim("d1", NOW, LEASE)
    assert claimed is not None
    store.finish(claimed, AttemptResult(DeliveryState.WAITING, 503, "HTTP 503\0", later(30)), later(1), 3)
    assert (store.due(later(29)), store.due(later(30))) == ([], [("d1", "c1")])
    assert store.oldest_unsent() == {"c1": NOW}
    assert ChannelStore(database).get("c1").failures == 1


def test_message_of_a_deleted_channel_ends(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    ChannelStore(database).delete("c1")
    assert store.claim("d1", NOW, LEASE) is None
    (row,) = store.page(DeliveryFilter(), PageRequest(9)).rows
    assert (row.state, row.result, row.channel) == (DeliveryState.REJECTED, "its channel was deleted", None)


def test_traffic_counts_messages_and_names_alerts_being_delivered(store: OutboxStore, database: Database):
    note(database)
    assert store.next_due_at(NOW) == later(1)
    bundle(store)
    traffic = store.traffic("c1", later(59))
    assert (traffic.busy_alerts, traffic.in_minute, traffic.in_hour) == (frozenset({"a1"}), 1, 1)
    assert store.traffic("c1", later(61)).in_minute == 0
    assert store.traffic("c2", NOW).in_hour == 0


def test_only_delivered_messages_count_as_notified(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    assert store.find_notified("c1", ["a1", "a2"]) == set()
    claimed = store.claim("d1", NOW, LEASE)
    assert claimed is not None
    store.finish(claimed, DONE, NOW, 3)
    assert store.find_notified("c1", ["a1", "a2"]) == {"a1"}
    assert store.traffic("c1", NOW).busy_alerts == frozenset()


def test_superseded_notification_no_longer_waits(store: OutboxStore, database: Database):
    note(database)
    store.supersede([each.id for each in store.waiting(NOW)])
    assert (store.waiting(NOW), store.next_due_at(NOW)) == ([], None)


def test_test_message_does_not_count_for_the_limit(store: OutboxStore):
    alert = replace(firing(), alert_id="d7")
    notification = take_snapshot(
        AlertNotification("d7", 0, NotificationKind.TEST, "c1", alert.severity, "test", NOW), alert
    )
    store.add_test(Bundle("d7", "c1", DeliveryKind.TEST, Severity.INFO, "test", ()), notification, NOW)
    assert store.traffic("c1", NOW).in_minute == 0
    assert store.due(NOW) == [("d7", "c1")]


def test_deliveries_are_filtered_and_paged(store: OutboxStore, database: Database):
    for number in (1, 2, 3):
        note(database, number)
        bundle(store, f"d{number}")

    def ids(**wanted: object) -> list[str]:
        return [row.delivery_id for row in store.page(DeliveryFilter(**wanted), PageRequest(9)).rows]  # type: ignore[arg-type]

    assert ids() == ["d3", "d2", "d1"]
    assert ids(alert_id="a2") == ["d2"]
    assert ids(channel_id="c9") == []
    assert ids(states=(DeliveryState.WAITING,)) == ["d3", "d2", "d1"]
    page = store.page(DeliveryFilter(), PageRequest(1, offset=1))
    assert (page.rows[0].delivery_id, page.pagination.total) == ("d2", 3)
    following = store.page(DeliveryFilter(), PageRequest(9, cursor=page.pagination.next_cursor))
    assert [row.delivery_id for row in following.rows] == ["d1"]


JUMPS = pytest.mark.parametrize("hours", [-25, 25])


@JUMPS
def test_clock_change_delays_no_notification(store: OutboxStore, database: Database, hours: int):
    note(database, 3600)
    jumped = NOW + timedelta(hours=hours)
    (waiting,) = store.waiting(jumped)
    assert waiting.not_before <= jumped
    following = store.next_due_at(jumped)
    assert following is not None
    assert following <= jumped


@JUMPS
def test_clock_change_delays_no_delivery(store: OutboxStore, database: Database, hours: int):
    note(database)
    bundle(store)
    jumped = NOW + timedelta(hours=hours)
    assert store.next_due_at(jumped) == jumped or hours > 0
    assert store.due(jumped) == [("d1", "c1")]
    claimed = store.claim("d1", NOW, LEASE)
    assert claimed is not None
    # Its sender has died: the lease ends on either side of the jump.
    assert store.due(jumped) == [("d1", "c1")]
    again = store.claim("d1", jumped, LEASE)
    assert again is not None
    store.finish(again, AttemptResult(DeliveryState.WAITING, 503, "x", jumped + timedelta(hours=1)), jumped, 3)
    assert store.due(jumped + 2 * timedelta(hours=hours)) == [("d1", "c1")]


def test_small_step_back_delays_a_delivery_by_at_most_its_age(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    claimed = store.claim("d1", later(60), LEASE)
    assert claimed is not None
    store.finish(claimed, AttemptResult(DeliveryState.WAITING, 503, "x", later(90)), later(60), 3)
    assert store.due(later(-31)) == [("d1", "c1")]
    assert store.due(later(60)) == []


@JUMPS
def test_traffic_ignores_messages_of_another_time(store: OutboxStore, database: Database, hours: int):
    note(database)
    bundle(store)
    traffic = store.traffic("c1", NOW + timedelta(hours=hours))
    assert (traffic.in_minute, traffic.in_hour) == (0, 0)
    assert store.traffic("c1", later(-5)).in_minute == 1


def test_recovered_channel_delivers_waiting_messages_immediately_and_in_order(store: OutboxStore, database: Database):
    for number in range(3):
        note(database, number)
        bundle(store, f"d{number}")
        claimed = store.claim(f"d{number}", later(number), LEASE)
        assert claimed is not None
        again = AttemptResult(DeliveryState.WAITING, 503, "x", later(3600 - 60 * number))
        store.finish(claimed, again, later(number), 3)
    assert store.due(later(10)) == []
    claimed = store.claim("d2", later(3500), LEASE)
    assert claimed is not None
    store.finish(claimed, DONE, later(3500), 3)
    assert store.due(later(3500)) == [("d0", "c1"), ("d1", "c1")]


def test_changed_channel_retries_waiting_messages_immediately(store: OutboxStore, database: Database):
    note(database)
    bundle(store)
    claimed = store.claim("d1", NOW, LEASE)
    assert claimed is not None
    store.finish(claimed, AttemptResult(DeliveryState.WAITING, 503, "x", later(3600)), NOW, 3)
    channels = ChannelStore(database)
    channels.replace(replace(channels.get("c1"), failures=0, updated_at=later(9)), channel(), b"another")
    assert store.due(later(9)) == [("d1", "c1")]
