import pytest

from api.errors import AlertNotFound, Conflict, Invalid
from api.models.alert_rule import RuleScope
from api.models.event import Severity
from api.services.alerts.builtin_rules import BUILTIN_RULES, parse_clause
from api.services.alerts.rules import RuleService
from api.services.gpus.history import GPUHistory
from api.utils.pagination import PageRequest
from tests.unit.services.alerts.conftest import Desk
from tests.unit.services.alerts.facts import gpus, rule


@pytest.fixture
def rules(desk: Desk) -> RuleService:
    table = gpus(90)
    return RuleService(desk.rules, BUILTIN_RULES, lambda _: table, GPUHistory(5), desk.clock, lambda: None)


def test_the_built_in_ones_come_first_and_pages_are_filtered(rules: RuleService):
    rules.add(rule(rule_id="mine"), "ann")
    page = rules.get_page(None, None, PageRequest(limit=500))
    assert [each.rule_id for each in page.rows] == [*BUILTIN_RULES, "mine"]
    disks = rules.get_page(RuleScope.DISK, True, PageRequest())
    assert [each.rule_id for each in disks.rows] == ["disk_forecast", "disk_low"]
    first = rules.get_page(None, None, PageRequest(limit=3))
    assert first.pagination.has_more
    following = rules.get_page(None, None, PageRequest(limit=1, cursor=first.pagination.next_cursor))
    assert following.rows[0].rule_id == list(BUILTIN_RULES)[3]


def test_of_a_built_in_rule_only_when_and_how_it_is_told_is_changed(rules: RuleService):
    changed = rules.change("gpu_lost", {"for_seconds": 5.0, "severity": Severity.WARNING}, "ann")
    assert (changed.for_seconds, changed.severity, changed.is_changed, changed.updated_by) == (
        5,
        "warning",
        True,
        "ann",
    )
    with pytest.raises(Invalid) as refused:
        rules.change("gpu_lost", {"when": (parse_clause("lost == 0"),), "title": "x"}, "ann")
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/when", "/title"}
    assert rules.delete("gpu_lost").is_changed
    assert not rules.get("gpu_lost").is_changed


def test_ones_own_rule_can_be_changed_and_deleted(rules: RuleService):
    rules.add(rule(rule_id="mine"), "ann")
    assert rules.change("mine", {"when": (parse_clause("power_usage > 300"),)}, "bob").when == ("power_usage > 300",)
    rules.delete("mine")
    with pytest.raises(AlertNotFound):
        rules.get("mine")


def test_what_cannot_be_a_rule_is_refused_with_every_mistake(rules: RuleService):
    with pytest.raises(Conflict, match="built in"):
        rules.add(rule(rule_id="gpu_lost"), "ann")
    with pytest.raises(Invalid) as refused:
        rules.add(
            rule(rule_id="mine", when=["temprature_gpu > 5", "lost > queued_seconds + 1"], clear=["x < 1"]), "ann"
        )
    found = {mistake.pointer: mistake.message for mistake in refused.value.mistakes}
    assert found.keys() == {"/when/0", "/when/1", "/clear/0"}
    assert 'did you mean "temperature_gpu"?' in found["/when/0"]
    with pytest.raises(AlertNotFound):
        rules.change("nothing", {"enabled": False}, "ann")


def test_there_are_only_so_many(rules: RuleService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.services.alerts.rules.MOST_RULES", 1)
    rules.add(rule(rule_id="one"), "ann")
    with pytest.raises(Conflict, match="which is the most"):
        rules.add(rule(rule_id="two"), "ann")


def test_a_trial_keeps_nothing(rules: RuleService):
    trial = rules.try_new(rule(rule_id="mine"))
    assert trial.breaching_now == ("GPU 0",)
    assert rules.try_changed("gpu_lost", {"for_seconds": 1.0}).tried is False
    with pytest.raises(AlertNotFound):
        rules.get("mine")
