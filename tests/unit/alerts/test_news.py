from dataclasses import replace

import orjson
import pytest

from api.alerts.news import AlertNews
from api.domain.alert import AlertChange, AlertState
from api.domain.alert_rule import RuleScope
from api.domain.sight import Sight
from api.streaming.models import Message
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import firing


@pytest.fixture
def told() -> list[Message]:
    return []


@pytest.fixture
def news(desk: Desk, told: list[Message]) -> AlertNews:
    desk.begin(1)
    made = AlertNews(desk.alerts, told.append, desk.clock)
    made.run_once()
    return made


def test_what_was_there_is_known_and_what_comes_is_told_once(desk: Desk, news: AlertNews, told: list[Message]):
    assert told == []
    alert = desk.begin(2)
    news.run_once()
    news.run_once()
    after = replace(alert, number=2, state=AlertState.RESOLVED, resolved_at=desk.clock.now())
    desk.alerts.apply([AlertChange(alert, after, "resolved")], desk.clock.now())
    news.run_once()
    data = [orjson.loads(message.json)["data"] for message in told]
    assert [(each["alert"]["alert_id"], each["change"]["message"]) for each in data] == [
        ("a2", "fires"),
        ("a2", "resolved"),
    ]


def test_a_row_that_becomes_visible_late_is_told(desk: Desk, news: AlertNews, told: list[Message]):
    desk.begin(2)
    desk.begin(3)
    hidden = desk.alerts.ids_above(0, 10)[1]
    above = desk.alerts.ids_above
    desk.alerts.ids_above = lambda id_, limit: [each for each in above(id_, limit) if each != hidden]  # type: ignore[method-assign]
    news.run_once()
    desk.alerts.ids_above = above  # type: ignore[method-assign]
    desk.clock.advance(2)
    news.run_once()
    assert sorted(orjson.loads(message.json)["data"]["alert"]["alert_id"] for message in told) == ["a2", "a3"]


def test_what_is_personal_is_for_its_owner(desk: Desk, news: AlertNews, told: list[Message]):
    mine = firing(alert_id="a9", fingerprint="9", scope=RuleScope.KEY, owner="ann")
    desk.alerts.apply([AlertChange(None, mine, "x")], desk.clock.now())
    desk.begin(2)
    news.run_once()
    personal, common = told
    assert [personal.concerns(Sight(who, sees_all=False)) for who in ("ann", "bob")] == [True, False]
    assert common.concerns(Sight("bob", sees_all=False))
