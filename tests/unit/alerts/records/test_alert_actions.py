"""Actions as rows: stored with their change, claimed by one server, and finished by the holder of the lease."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from api.alerts.records.action_store import ActionStore
from api.alerts.records.alert_store import AlertStore
from api.db.database import Database
from api.domain.alerts.alert import AlertChange, AlertState
from api.domain.alerts.alert_action import ActionKind, ActionState, PlannedAction
from tests.unit.alerts.fact_builders import NOW, firing

LEASE = timedelta(seconds=60)
PLANNED = PlannedAction("action_1", ActionKind.HOLD_GPU, None, "GPU-1", None, None, "root", NOW)


@pytest.fixture
def store(database: Database) -> ActionStore:
    AlertStore(database).apply([AlertChange(None, firing(), "fires", actions=(PLANNED,))], NOW)
    return ActionStore(database)


def test_action_is_stored_with_its_change_and_due_at_its_time(database: Database):
    later, elsewhere = (
        replace(PLANNED, not_before=NOW + LEASE),
        replace(PLANNED, action_id="action_2", kind=ActionKind.IDLE_COMMAND, node="there"),
    )
    AlertStore(database).apply([AlertChange(None, firing(), "fires", actions=(later, elsewhere))], NOW)
    store = ActionStore(database)
    assert store.due("here", NOW) == []
    assert [each.action_id for each in store.due("here", NOW + LEASE)] == ["action_1"]
    assert [each.action_id for each in store.due("there", NOW)] == ["action_2"]


def test_each_kind_is_stored_once_per_change(store: ActionStore, database: Database):
    again = firing(alert_id="alert_1", fingerprint="f2")
    with pytest.raises(IntegrityError):
        AlertStore(database).apply(
            [AlertChange(None, again, "x", actions=(replace(PLANNED, action_id="action_2"),))], NOW
        )


def test_one_server_claims_and_an_expired_lease_changes_nothing(store: ActionStore):
    first = store.claim("action_1", NOW, LEASE)
    assert first is not None
    assert store.claim("action_1", NOW, LEASE) is None
    second = store.claim("action_1", NOW + LEASE, LEASE)
    assert second is not None
    assert second[0].attempts == 2
    assert not store.begin("action_1", first[1])
    assert not store.finish(first[0], first[1], ActionState.DONE, "x", NOW)
    store.reschedule("action_1", first[1], ActionState.DONE, "x", NOW)
    assert store.begin("action_1", second[1])
    assert store.finish(second[0], second[1], ActionState.DONE, "held", NOW)
    assert store.due("here", NOW + 10 * LEASE) == []


def test_end_is_recorded_in_the_alerts_history(store: ActionStore, database: Database):
    claimed = store.claim("action_1", NOW, LEASE)
    assert claimed is not None
    store.finish(*claimed, ActionState.FAILED, "no room", NOW)
    (action,) = store.of_alert("alert_1")
    assert (action.state, action.result, action.finished_at) == (ActionState.FAILED, "no room", NOW)
    last = AlertStore(database).history("alert_1")[-1]
    assert (last.actor, last.message) == ("rule hot", "hold_gpu failed: no room")
    assert store.failed_since(NOW) == [action]
    assert store.failed_since(NOW + LEASE) == []


def test_action_stays_justified_while_the_alert_fires_by_the_same_change(store: ActionStore, database: Database):
    (action,), alerts = store.of_alert("alert_1"), AlertStore(database)
    assert store.find_reason(action) == firing()
    known = alerts.acknowledge("alert_1", "ann", None, "", NOW)
    assert store.find_reason(action) == known
    ended = replace(known, number=known.number + 1, state=AlertState.RESOLVED, resolved_at=NOW)
    alerts.apply([AlertChange(known, ended, "over")], NOW)
    assert store.find_reason(action) is None
    assert store.is_notified("alert_1")
    again = replace(ended, number=ended.number + 1, state=AlertState.FIRING, resolved_at=None)
    alerts.apply([AlertChange(ended, again, "fires")], NOW)
    assert store.find_reason(action) is None
    assert store.find_reason(replace(action, number=again.number)) == again


@pytest.mark.parametrize("hours", [-25, 25])
def test_clock_change_delays_no_action(store: ActionStore, hours: int):
    jumped = NOW + timedelta(hours=hours)
    assert [each.action_id for each in store.due("here", jumped)] == ["action_1"]
    claimed = store.claim("action_1", NOW, timedelta(seconds=180))
    assert claimed is not None
    store.reschedule("action_1", claimed[1], ActionState.UNDERWAY, "asked", NOW + timedelta(seconds=15))
    assert store.claim("action_1", jumped, timedelta(seconds=180)) is not None
    assert store.claim("action_1", jumped + timedelta(hours=hours), timedelta(seconds=180)) is not None


def test_actions_are_deleted_with_their_alert(store: ActionStore, database: Database):
    alerts, alert = AlertStore(database), firing()
    alerts.apply([AlertChange(alert, replace(alert, number=2, state=AlertState.RESOLVED, resolved_at=NOW))], NOW)
    assert alerts.forget(NOW + LEASE) == 1
    assert store.of_alert("alert_1") == []
