"""Holds as rows: stored once per alert, and ended with it."""

from dataclasses import replace

import pytest

from api.alerts.records.alert_store import AlertStore
from api.db.database import Database
from api.domain.alerts.alert import AlertChange, AlertState
from api.domain.machines.hold import Hold, HoldKind
from api.errors import Conflict, HoldNotFound
from api.gpus.sharing.hold_store import HoldStore
from tests.unit.alerts.fact_builders import NOW, firing

QUEUE = Hold("hold_1", HoldKind.QUEUE, None, "why", "root", None, NOW)
OF_ALERT = replace(QUEUE, hold_id="hold_2", kind=HoldKind.GPU, gpu_uuid="GPU-0", alert_id="alert_1")


@pytest.fixture
def store(database: Database) -> HoldStore:
    return HoldStore(database)


def test_queue_is_held_by_its_oldest_hold(store: HoldStore):
    assert store.of_queue() is None
    store.add(OF_ALERT)
    store.add(QUEUE)
    store.add(replace(QUEUE, hold_id="hold_3"))
    assert store.of_queue() == QUEUE


def test_ended_hold_is_deleted(store: HoldStore):
    store.add(QUEUE)
    assert store.end("hold_1") == QUEUE
    assert store.list() == []
    with pytest.raises(HoldNotFound):
        store.end("hold_1")


def test_open_alert_holds_a_target_once(store: HoldStore, database: Database):
    assert not store.add(OF_ALERT)  # no such alert exists
    AlertStore(database).apply([AlertChange(None, firing())], NOW)
    assert store.add(OF_ALERT)
    assert not store.add(replace(OF_ALERT, hold_id="hold_3"))
    assert store.add(replace(OF_ALERT, hold_id="hold_4", gpu_uuid="GPU-1"))
    assert [each.hold_id for each in store.list()] == ["hold_2", "hold_4"]


def test_holds_end_with_their_alert_and_others_stay(store: HoldStore, database: Database):
    alerts, before = AlertStore(database), firing()
    alerts.apply([AlertChange(None, before)], NOW)
    store.add(QUEUE)
    store.add(OF_ALERT)
    assert store.end_orphans() == 0
    ended = replace(before, number=2, state=AlertState.RESOLVED, resolved_at=NOW)
    alerts.apply([AlertChange(before, ended, "over")], NOW)
    assert store.end_orphans() == 1
    assert store.list() == [QUEUE]


def test_number_of_holds_is_bounded(store: HoldStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.gpus.sharing.hold_store.MOST_HOLDS", 1)
    store.add(QUEUE)
    with pytest.raises(Conflict):
        store.add(replace(QUEUE, hold_id="hold_9"))
