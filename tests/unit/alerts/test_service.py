from dataclasses import replace
from datetime import timedelta

import pytest

from api.alerts.delivery.planning import Muting
from api.alerts.service import AlertService, SilenceRequest
from api.domain.access.principal import LOCAL, ROLE_PERMISSIONS, Credential, Principal, Role
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.alerts.alert import AlertChange, AlertFilter, AlertState, Matcher
from api.domain.alerts.alert_rule import RuleScope
from api.errors import AlertNotFound, Conflict, Invalid, NotYours, TaskNotFound
from api.util.http.pagination import PageRequest
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import NOW, firing

ANN = Principal("ann", Role.TRAINER, ROLE_PERMISSIONS[Role.TRAINER], Credential.KEY)
BOB = replace(ANN, user_id="bob")


@pytest.fixture
def service(desk: Desk) -> AlertService:
    return AlertService(desk.alerts, desk.rules, desk.outbox_store, desk.actions, owner_of, desk.clock, lambda: None)


def owner_of(task_id: str) -> str | None:
    """Return the owner that is the prefix of the task's id."""
    if task_id.startswith("no"):
        raise TaskNotFound
    return task_id.partition("-")[0]


def request(*matchers: Matcher) -> SilenceRequest:
    return SilenceRequest(matchers, NOW + timedelta(hours=1), "why")


def test_alert_has_its_history_and_for_managers_its_deliveries(desk: Desk, service: AlertService):
    desk.add_channel()
    desk.add_alert()
    desk.drain()
    assert service.get("a1", ANN).deliveries is None
    shown = service.get("a1", LOCAL)
    assert shown.deliveries is not None
    assert ([row.message for row in shown.history], [row.state for row in shown.deliveries]) == (
        ["fires"],
        ["delivered"],
    )


def test_alerts_of_other_users_are_not_found(desk: Desk, service: AlertService):
    mine = firing(alert_id="a1", fingerprint="1", scope=RuleScope.TASK, owner="ann")
    desk.alerts.apply([AlertChange(None, mine, "x")], desk.clock.now())
    with seeing(ReadScope("bob", sees_all=False)):
        with pytest.raises(AlertNotFound):
            service.get("a1", ANN)
        with pytest.raises(AlertNotFound):
            service.acknowledge("a1", None, "", ANN)
        assert service.count().firing == 0
    with seeing(ReadScope("ann", sees_all=False)):
        assert service.get("a1", ANN).alert.owner == "ann"
        assert service.count().firing == 1


def test_acknowledgement_is_stored_and_withdrawn(desk: Desk, service: AlertService):
    desk.add_alert(owner="ann")
    assert service.acknowledge("a1", None, "seen", ANN).acknowledged_by == "ann"
    assert service.withdraw("a1", ANN).acknowledged_by is None
    with pytest.raises(Invalid):
        service.acknowledge("a1", desk.clock.now(), "", ANN)
    with pytest.raises(AlertNotFound):
        service.acknowledge("a\0", None, "", ANN)


def test_lists_have_pages(desk: Desk, service: AlertService):
    for number in range(3):
        desk.add_alert(number)
    page = service.get_page(AlertFilter(), PageRequest(limit=2))
    assert ([each.alert_id for each in page.rows], page.pagination.total, page.pagination.has_more) == (
        ["a2", "a1"],
        3,
        True,
    )
    rest = service.get_page(AlertFilter(), PageRequest(limit=2, cursor=page.pagination.next_cursor))
    assert ([each.alert_id for each in rest.rows], rest.pagination.next_cursor) == (["a0"], None)


def test_silence_lasts_at_most_a_month(desk: Desk, service: AlertService):
    now, matchers = desk.clock.now(), (Matcher("owner", "ann"),)
    for days in (0, 31):
        with pytest.raises(Invalid):
            service.silence(SilenceRequest(matchers, now + timedelta(days=days), "why"), ANN)
    made = service.silence(SilenceRequest(matchers, now + timedelta(days=30), "why"), ANN)
    assert (made.author, made.is_active) == ("ann", True)
    assert [each.silence_id for each in service.get_silences(False, PageRequest()).rows] == [made.silence_id]
    assert not service.end_silence(made.silence_id, ANN).is_active
    assert service.get_silences(False, PageRequest()).rows == ()
    with pytest.raises(AlertNotFound):
        service.end_silence("nothing", ANN)


def test_resolved_alert_cannot_be_acknowledged(desk: Desk, service: AlertService):
    desk.add_alert(fired_at=None, state=AlertState.PENDING, owner="ann")
    with pytest.raises(Conflict):
        service.acknowledge("a1", None, "", ANN)


@pytest.mark.parametrize(
    "matchers",
    [
        [Matcher("rule", "*", is_glob=True)],
        [Matcher("severity", "critical")],
        [Matcher("owner", "*", is_glob=True)],
        [Matcher("owner", "ann*", is_glob=True)],
        [Matcher("owner", "bob")],
        [Matcher("task_id", "bob-1")],
        [Matcher("task_id", "nobody")],
        [Matcher("task_id", "ann-1", is_glob=True), Matcher("rule", "hot")],
    ],
)
def test_only_administrators_silence_alerts_of_others(service: AlertService, matchers: list[Matcher]):
    with pytest.raises(NotYours):
        service.silence(request(*matchers), ANN)
    assert service.silence(request(*matchers), LOCAL).owner is None


def test_silence_of_one_user_mutes_no_alert_of_another(desk: Desk, service: AlertService):
    for matcher in (Matcher("owner", "ann"), Matcher("task_id", "ann-1")):
        assert service.silence(request(matcher, Matcher("rule", "hot")), ANN).owner == "ann"
    # The labels of a rule may contain anything.
    labels = {"owner": "ann", "task_id": "ann-1"}
    muting = Muting(desk.rules.active_silences(NOW), [], NOW)
    assert muting.find(firing(labels=labels, owner="ann")) is not None
    assert muting.find(firing(labels=labels, owner="bob")) is None
    assert muting.find(firing(labels=labels)) is None


def test_user_sees_and_ends_only_their_own_silences(service: AlertService):
    own = service.silence(request(Matcher("owner", "ann")), ANN)
    others = service.silence(request(Matcher("owner", "bob")), BOB)
    everybodys = service.silence(request(Matcher("rule", "hot")), LOCAL)
    with seeing(ReadScope("ann", sees_all=False)):
        assert [each.silence_id for each in service.get_silences(True, PageRequest()).rows] == [own.silence_id]
        for hidden in (others, everybodys):
            with pytest.raises(AlertNotFound):
                service.end_silence(hidden.silence_id, ANN)
    for seen in (others, everybodys):
        with pytest.raises(NotYours):
            service.end_silence(seen.silence_id, ANN)
    assert not service.end_silence(own.silence_id, ANN).is_active
    assert not service.end_silence(others.silence_id, LOCAL).is_active


def test_only_administrators_acknowledge_alerts_of_others(desk: Desk, service: AlertService):
    desk.add_alert()
    desk.add_alert(2, owner="bob")
    for alert_id in ("a1", "a2"):
        with pytest.raises(NotYours):
            service.acknowledge(alert_id, None, "", ANN)
        service.acknowledge(alert_id, None, "", LOCAL)
        with pytest.raises(NotYours):
            service.withdraw(alert_id, ANN)


def test_ended_silence_stays_ended_when_the_clock_is_set_back(desk: Desk, service: AlertService):
    desk.clock.jump(25 * 3600)
    now = desk.clock.now()
    made = service.silence(SilenceRequest((Matcher("rule", "hot"),), now + timedelta(days=2), "why", NOW), LOCAL)
    service.end_silence(made.silence_id, LOCAL)
    desk.clock.jump(-25 * 3600)
    desk.clock.advance(60)
    assert service.get_silences(False, PageRequest()).rows == ()
    assert desk.rules.active_silences(desk.clock.now()) == []


def test_number_of_silences_is_limited_per_user_and_in_total(service: AlertService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.service.MOST_OWN_SILENCES", 1)
    monkeypatch.setattr("api.alerts.service.MOST_SILENCES", 2)
    own = service.silence(request(Matcher("owner", "ann")), ANN)
    with pytest.raises(Conflict):
        service.silence(request(Matcher("owner", "ann")), ANN)
    service.silence(request(Matcher("owner", "bob")), BOB)
    with pytest.raises(Conflict):
        service.silence(request(Matcher("rule", "hot")), LOCAL)
    service.end_silence(own.silence_id, ANN)
    service.silence(request(Matcher("rule", "hot")), LOCAL)
