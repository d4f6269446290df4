import pytest

from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.service import RuleService
from api.domain.access.principal import ROLE_PERMISSIONS, Credential, Permission, Principal, Role
from api.domain.alerts.alert_action import ActionKind
from api.domain.alerts.alert_rule import Comparison, RuleScope
from api.domain.machines.gpu_event import Severity
from api.errors import AlertNotFound, Conflict, Forbidden, Invalid
from api.util.http.pagination import PageRequest
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import rule

ANN, BOB = (Principal(name, None, frozenset(), Credential.KEY) for name in ("ann", "bob"))
ROOT = Principal("root", Role.ADMIN, ROLE_PERMISSIONS[Role.ADMIN], Credential.KEY)
TRAINER = Principal("ann", None, ROLE_PERMISSIONS[Role.TRAINER] | {Permission.ALERTS_MANAGE}, Credential.KEY)


@pytest.fixture
def rules(desk: Desk) -> RuleService:
    return RuleService(desk.rules, BUILTIN_RULES, desk.clock, lambda: None)


def test_builtin_rules_come_first_and_pages_are_filtered(rules: RuleService):
    rules.add(rule(rule_id="mine"), ANN)
    page = rules.get_page(None, None, PageRequest(limit=500))
    assert [each.rule_id for each in page.rows] == [*BUILTIN_RULES, "mine"]
    disks = rules.get_page(RuleScope.DISK, True, PageRequest())
    assert [each.rule_id for each in disks.rows] == ["disk_forecast", "disk_low"]
    first = rules.get_page(None, None, PageRequest(limit=3))
    assert first.pagination.has_more
    following = rules.get_page(None, None, PageRequest(limit=1, cursor=first.pagination.next_cursor))
    assert following.rows[0].rule_id == list(BUILTIN_RULES)[3]


def test_only_some_fields_of_a_builtin_rule_can_be_changed(rules: RuleService):
    changed = rules.change("gpu_lost", {"for_seconds": 5.0, "severity": Severity.WARNING}, ANN)
    assert (changed.for_seconds, changed.severity, changed.is_changed, changed.updated_by) == (
        5,
        "warning",
        True,
        "ann",
    )
    with pytest.raises(Invalid) as refused:
        rules.change("gpu_lost", {"metric": "health", "title": "x"}, ANN)
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/metric", "/title"}
    with pytest.raises(Invalid, match="value"):
        rules.change("gpu_lost", {"value": 2.0}, ANN)
    assert rules.delete("gpu_lost").is_changed
    assert not rules.get("gpu_lost").is_changed


def test_changed_threshold_of_a_builtin_rule_shifts_its_clear_level(rules: RuleService):
    changed = rules.change("near_slowdown", {"value": -12.0}, ANN)
    assert (changed.when, changed.value) == (("temperature_gpu >= temperature_slowdown - 12",), -12)
    assert changed.clear == ("temperature_gpu <= temperature_slowdown - 17",)
    disk = rules.change("disk_forecast", {"value": 24.0, "for_seconds": 60.0}, ANN)
    assert disk.when == ("hours_to_full_1h < 24", "hours_to_full_6h < 24", "free_percent < 30")
    assert disk.clear == ("hours_to_full_1h > 48",)


def test_rule_of_an_older_version_can_be_enabled_only_with_one_clause(rules: RuleService, desk: Desk):
    old = rule(rule_id="old", when=["temperature_gpu > 5", "lost == 1"], enabled=False)
    desk.rules.add(old, "ann", desk.clock.now())
    with pytest.raises(Invalid) as refused:
        rules.change("old", {"enabled": True}, ANN)
    assert refused.value.mistakes[0].pointer == "/enabled"
    assert rules.change("old", {"enabled": True, "value": 90.0}, ANN).when == ("temperature_gpu > 90",)


def test_custom_rule_can_be_changed_and_deleted(rules: RuleService):
    rules.add(rule(rule_id="mine"), ANN)
    changes = {"metric": "power_usage", "comparison": Comparison.ABOVE, "value": 300.0}
    assert rules.change("mine", changes, BOB).when == ("power_usage > 300",)
    rules.delete("mine")
    with pytest.raises(AlertNotFound):
        rules.get("mine")


def test_invalid_rule_is_rejected_with_every_mistake(rules: RuleService):
    with pytest.raises(Conflict, match="built-in"):
        rules.add(rule(rule_id="gpu_lost"), ANN)
    with pytest.raises(Invalid) as refused:
        rules.add(rule(rule_id="mine", when=["temprature_gpu > 5"]), ANN)
    (mistake,) = refused.value.mistakes
    assert mistake.pointer == "/metric"
    assert 'did you mean "temperature_gpu"?' in mistake.message
    with pytest.raises(AlertNotFound):
        rules.change("nothing", {"enabled": False}, ANN)


def test_number_of_rules_is_limited(rules: RuleService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.alerts.rules.service.MOST_RULES", 1)
    rules.add(rule(rule_id="one"), ANN)
    with pytest.raises(Conflict, match="the maximum"):
        rules.add(rule(rule_id="two"), ANN)


STOP = ActionKind.STOP_WITH_CHECKPOINT


def test_administrator_lets_rules_act_on_all_tasks(rules: RuleService):
    changed = rules.change("retry_storm", {"actions": (STOP,)}, ROOT)
    assert (changed.actions, changed.acts_for, changed.actions_by) == ((STOP,), None, "root")
    assert rules.change("retry_storm", {"actions": ()}, ROOT).actions_by is None


def test_rule_of_a_trainer_acts_only_on_their_own_tasks(rules: RuleService):
    made = rules.add(rule(rule_id="mine", actions=(STOP,)), TRAINER)
    assert (made.acts_for, made.actions_by) == ("ann", "ann")
    with pytest.raises(Forbidden):
        rules.change("mine", {"actions": (ActionKind.HOLD_GPU,)}, TRAINER)


def test_rule_that_acts_for_others_needs_permission_to_change(rules: RuleService):
    rules.add(rule(rule_id="all", actions=(STOP,)), ROOT)
    rules.add(rule(rule_id="anns", actions=(STOP,)), TRAINER)
    other = Principal("bob", None, TRAINER.permissions, Credential.KEY)
    for rule_id, by in (("all", TRAINER), ("anns", other), ("all", BOB)):
        with pytest.raises(Forbidden):
            rules.change(rule_id, {"for_seconds": 1.0}, by)
    assert rules.change("anns", {"for_seconds": 1.0}, TRAINER).acts_for == "ann"
    # An administrator's change of another field keeps the user for whom it acts.
    assert rules.change("anns", {"for_seconds": 2.0}, ROOT).acts_for == "ann"


def test_idle_command_must_be_configured(rules: RuleService):
    with pytest.raises(Invalid) as refused:
        rules.change("machine_idle", {"actions": (ActionKind.IDLE_COMMAND,)}, ROOT)
    assert "IDLE_COMMAND" in str(refused.value.mistakes[0].remedy)
