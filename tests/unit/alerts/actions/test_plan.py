"""Actions are planned only for an alert that starts to fire and is not muted."""

from dataclasses import replace
from typing import Any

import pytest

from api.alerts.actions.plan import check_actions, plan_actions
from api.alerts.tracks import Draft, Track
from api.domain.alerts.alert import Alert, AlertState, AlertTarget, Subject
from api.domain.alerts.alert_action import ActionKind, PlannedAction
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from tests.unit.alerts.fact_builders import NOW, firing, rule

STOP, GPU, IDLE = ActionKind.STOP_WITH_CHECKPOINT, ActionKind.HOLD_GPU, ActionKind.IDLE_COMMAND
ON_TASK = firing(labels={"task_id": "train_1"}, owner="ann", bound=Subject("train_1", "ann", 1))
ON_GPU = AlertTarget("n/0", subject=Subject("train_2", "bob"))


def plan(after: Alert, acting: AlertRule, before: Alert | None = None, target: AlertTarget | None = None) -> Draft:
    draft = Draft(("hot", "n/0"), Track(after, target=target), before, after)
    plan_actions(draft, acting, NOW, lambda now: "action_1")
    return draft


def planned(*args: Any, **more: Any) -> list[PlannedAction]:
    return plan(*args, **more).actions


def test_rule_acts_when_its_alert_fires_and_the_alert_announces_it():
    on_gpu = firing(bound=ON_GPU.subject)
    draft = plan(on_gpu, rule(actions=(STOP, GPU), actions_by="root"), target=ON_GPU)
    assert [(each.kind, each.about, each.owner, each.set_by) for each in draft.actions] == [
        (STOP, "train_2", "bob", "root"),
        (GPU, "0", None, "root"),
    ]
    assert "By its rule the task is stopped with a checkpoint." in draft.after.remedy
    assert draft.messages == ["planned actions: stop_with_checkpoint, hold_gpu"]


@pytest.mark.parametrize(
    "changes",
    [{"muted_by": "silence_1"}, {"flapping_since": NOW}, {"state": AlertState.PENDING}, {"state": AlertState.RESOLVED}],
    ids=["silenced", "flapping", "pending", "resolved"],
)
def test_muted_alert_has_no_action(changes: dict[str, Any]):
    assert planned(replace(ON_TASK, **changes), rule(actions=(STOP,))) == []


def test_rule_acts_once_per_firing():
    acting = rule(actions=(STOP,))
    assert planned(ON_TASK, acting, before=ON_TASK) == []
    assert len(planned(ON_TASK, acting, before=replace(ON_TASK, state=AlertState.RESOLVED))) == 1


@pytest.mark.parametrize(("anywhere", "node"), [(False, "n"), (True, None)], ids=["has a server", "only reports"])
def test_gpu_is_held_by_its_machines_server_or_by_any_if_that_has_none(anywhere: bool, node: str | None):
    draft = Draft(("hot", "n/0"), Track(firing(), target=ON_GPU), None, firing())
    plan_actions(draft, rule(actions=(GPU,)), NOW, lambda now: "action_1", anywhere=anywhere)
    assert [(each.about, each.node) for each in draft.actions] == [("0", node)]


def test_action_on_a_gpu_affects_its_running_task():
    (action,) = planned(firing(bound=ON_GPU.subject), rule(actions=(STOP,)), target=ON_GPU)
    assert (action.about, action.owner) == ("train_2", "bob")
    assert planned(firing(), rule(actions=(STOP,)), target=AlertTarget("n/0")) == []


@pytest.mark.parametrize(
    "now",
    [None, Subject("train_3", "bob"), Subject("train_2", "bob", 2)],
    ids=["no task", "another task", "another attempt"],
)
def test_task_that_started_after_the_condition_is_not_affected(now: Subject | None):
    began_with = firing(bound=Subject("train_2", "bob", 1))
    draft = plan(began_with, rule(actions=(STOP, GPU)), target=AlertTarget("n/0", subject=now))
    assert [each.kind for each in draft.actions] == [GPU]
    assert "no action on the task" in draft.messages[0]


@pytest.mark.parametrize(("owner", "count"), [("ann", 1), ("bob", 0), (None, 0)])
def test_rule_of_a_user_acts_only_on_their_tasks(owner: str | None, count: int):
    of_owner = replace(ON_TASK, bound=Subject("train_1", owner, 1))
    assert len(planned(of_owner, rule(actions=(STOP,), acts_for="ann"))) == count


def test_action_of_a_machine_names_it_and_the_command_waits_a_minute():
    held, idle = planned(firing(), rule(actions=(GPU, IDLE)))
    assert (held.node, held.about, held.not_before) == ("n", "0", NOW)
    assert (idle.node, (idle.not_before - NOW).total_seconds()) == ("n", 60)


def mistakes(*kinds: ActionKind, has_command: bool = True, **changes: Any) -> list[str]:
    return [each.pointer for each in check_actions(rule(actions=kinds, **changes), has_command)]


def test_actions_must_fit_the_scope_of_the_rule():
    assert mistakes(STOP, GPU) == []
    assert mistakes(IDLE) == ["/actions/0"]
    assert mistakes(GPU, scope=RuleScope.DISK) == ["/actions/0"]
    assert mistakes(STOP, STOP) == ["/actions"]


def test_command_needs_an_idle_machine_and_a_configured_command():
    service = {"scope": RuleScope.SERVICE, "when": ["idle == 1"]}
    assert mistakes(IDLE, **service) == []
    assert mistakes(IDLE, has_command=False, **service) == ["/actions"]
    assert mistakes(IDLE, scope=RuleScope.SERVICE, when=["starts_15m >= 3"]) == ["/actions/0"]
    assert mistakes(IDLE, scope=RuleScope.SERVICE, when=["idle == 1", "starts_15m >= 3"], any_of=True) == ["/actions/0"]


def test_plan_needs_a_rule():
    draft = Draft(("hot", "n/0"), Track(ON_TASK), None, ON_TASK)
    plan_actions(draft, None, NOW, lambda now: "x")
    assert draft.actions == []
