from datetime import timedelta

import pytest

from api.errors import AlertNotFound, Conflict, Invalid
from api.models.access import LOCAL, Credential, Principal
from api.models.alert import AlertChange, AlertFilter, AlertState, Matcher
from api.models.alert_rule import RuleScope
from api.models.sight import Sight, seeing
from api.services.alerts.service import AlertService, SilenceRequest
from api.utils.pagination import PageRequest
from tests.unit.services.alerts.conftest import Desk
from tests.unit.services.alerts.facts import firing

ANN = Principal("ann", None, frozenset(), Credential.KEY)


@pytest.fixture
def service(desk: Desk) -> AlertService:
    return AlertService(desk.alerts, desk.rules, desk.outbox_store, desk.actions, desk.clock, lambda: None)


def test_an_alert_is_shown_with_its_history_and_to_some_with_its_deliveries(desk: Desk, service: AlertService):
    desk.add_channel()
    desk.begin()
    desk.drain()
    assert service.get("a1", ANN).deliveries is None
    shown = service.get("a1", LOCAL)
    assert shown.deliveries is not None
    assert ([row.message for row in shown.history], [row.state for row in shown.deliveries]) == (
        ["fires"],
        ["delivered"],
    )


def test_what_belongs_to_another_is_not_there(desk: Desk, service: AlertService):
    mine = firing(alert_id="a1", fingerprint="1", scope=RuleScope.TASK, owner="ann")
    desk.alerts.apply([AlertChange(None, mine, "x")], desk.clock.now())
    with seeing(Sight("bob", sees_all=False)):
        with pytest.raises(AlertNotFound):
            service.get("a1", ANN)
        with pytest.raises(AlertNotFound):
            service.acknowledge("a1", None, "", ANN)
        assert service.count().firing == 0
    with seeing(Sight("ann", sees_all=False)):
        assert service.get("a1", ANN).alert.owner == "ann"
        assert service.count().firing == 1


def test_it_is_acknowledged_and_that_is_withdrawn(desk: Desk, service: AlertService):
    desk.begin()
    assert service.acknowledge("a1", None, "seen", ANN).acknowledged_by == "ann"
    assert service.withdraw("a1").acknowledged_by is None
    with pytest.raises(Invalid):
        service.acknowledge("a1", desk.clock.now(), "", ANN)
    with pytest.raises(AlertNotFound):
        service.acknowledge("a\0", None, "", ANN)


def test_lists_come_in_pages(desk: Desk, service: AlertService):
    for number in range(3):
        desk.begin(number)
    page = service.get_page(AlertFilter(), PageRequest(limit=2))
    assert ([each.alert_id for each in page.rows], page.pagination.total, page.pagination.has_more) == (
        ["a2", "a1"],
        3,
        True,
    )
    rest = service.get_page(AlertFilter(), PageRequest(limit=2, cursor=page.pagination.next_cursor))
    assert ([each.alert_id for each in rest.rows], rest.pagination.next_cursor) == (["a0"], None)


def test_a_silence_ends_within_a_month(desk: Desk, service: AlertService):
    now, matchers = desk.clock.now(), (Matcher("a", "b"),)
    for days in (0, 31):
        with pytest.raises(Invalid):
            service.silence(SilenceRequest(matchers, now + timedelta(days=days), "why"), ANN)
    made = service.silence(SilenceRequest(matchers, now + timedelta(days=30), "why"), ANN)
    assert (made.author, made.is_active) == ("ann", True)
    assert [each.silence_id for each in service.get_silences(False, PageRequest()).rows] == [made.silence_id]
    assert not service.end_silence(made.silence_id).is_active
    assert service.get_silences(False, PageRequest()).rows == ()
    with pytest.raises(AlertNotFound):
        service.end_silence("nothing")


def test_what_has_ended_cannot_be_acknowledged(desk: Desk, service: AlertService):
    desk.begin(fired_at=None, state=AlertState.PENDING)
    with pytest.raises(Conflict):
        service.acknowledge("a1", None, "", ANN)
