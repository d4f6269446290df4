from dataclasses import replace

import orjson
import pytest

from api.alerts.publisher import AlertPublisher
from api.domain.access.read_scope import ReadScope
from api.domain.alerts.alert import AlertChange, AlertState
from api.domain.alerts.alert_rule import RuleScope
from api.streaming.models import Message
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import firing


@pytest.fixture
def published() -> list[Message]:
    return []


@pytest.fixture
def publisher(desk: Desk, published: list[Message]) -> AlertPublisher:
    desk.add_alert(1)
    made = AlertPublisher(desk.alerts, published.append)
    made.run_once()
    return made


def test_existing_changes_are_known_and_new_ones_are_published_once(
    desk: Desk, publisher: AlertPublisher, published: list[Message]
):
    assert published == []
    alert = desk.add_alert(2)
    publisher.run_once()
    publisher.run_once()
    after = replace(alert, number=2, state=AlertState.RESOLVED, resolved_at=desk.clock.now())
    desk.alerts.apply([AlertChange(alert, after, "resolved")], desk.clock.now())
    publisher.run_once()
    data = [orjson.loads(message.json)["data"] for message in published]
    assert [(each["alert"]["alert_id"], each["change"]["message"]) for each in data] == [
        ("a2", "fires"),
        ("a2", "resolved"),
    ]


def test_row_that_becomes_visible_late_is_published(desk: Desk, publisher: AlertPublisher, published: list[Message]):
    desk.add_alert(2)
    desk.add_alert(3)
    hidden = desk.alerts.ids_above(0, 10)[1]
    above = desk.alerts.ids_above
    desk.alerts.ids_above = lambda id_, limit: [each for each in above(id_, limit) if each != hidden]  # type: ignore[method-assign]
    publisher.run_once()
    desk.alerts.ids_above = above  # type: ignore[method-assign]
    desk.clock.advance(2)
    publisher.run_once()
    assert sorted(orjson.loads(message.json)["data"]["alert"]["alert_id"] for message in published) == ["a2", "a3"]


def test_personal_alert_is_published_to_its_owner(desk: Desk, publisher: AlertPublisher, published: list[Message]):
    mine = firing(alert_id="a9", fingerprint="9", scope=RuleScope.KEY, owner="ann")
    desk.alerts.apply([AlertChange(None, mine, "x")], desk.clock.now())
    desk.add_alert(2)
    publisher.run_once()
    personal, common = published
    assert [personal.concerns(ReadScope(who, sees_all=False)) for who in ("ann", "bob")] == [True, False]
    assert common.concerns(ReadScope("bob", sees_all=False))
