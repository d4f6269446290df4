"""Plan the actions of an alert that starts to fire, and decide who may give a rule actions. Pure functions."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from api.alerts.tracks import Draft
from api.domain.access.principal import Permission, Principal
from api.domain.alerts.alert import AlertState
from api.domain.alerts.alert_action import ANNOUNCED, GRACE_SECONDS, ActionKind, PlannedAction
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.finding import make_finding
from api.domain.reason import Reason, dump_value, text_of
from api.errors import Finding, FindingText, Forbidden

#: The rule scopes that each action supports. In the scope GPU, an action on a task affects the task on that GPU.
_SCOPES: dict[ActionKind, tuple[RuleScope, ...]] = {
    ActionKind.STOP_WITH_CHECKPOINT: (RuleScope.TASK, RuleScope.GPU),
    ActionKind.HOLD_GPU: (RuleScope.GPU,),
    ActionKind.IDLE_COMMAND: (RuleScope.SERVICE,),
}

#: The metric that a rule must test before it may run the idle command.
IDLE_METRIC = "idle"


def plan_actions(
    draft: Draft, rule: AlertRule | None, now: datetime, new_id: Callable[[datetime], str], *, anywhere: bool = False
) -> None:
    """Add the actions of its rule to a draft whose alert starts to fire and is not muted.

    With `anywhere`, any server may run them, because the alert's machine has no server of its own.
    """
    alert, before = draft.after, draft.before
    starts = alert.state is AlertState.FIRING and (before is None or before.state is not AlertState.FIRING)
    if rule is None or not rule.actions or not starts:
        return
    if alert.muted_by is not None or alert.flapping_since is not None:
        return
    kinds = list(rule.actions)
    if _has_changed(draft):
        kinds = [kind for kind in kinds if not kind.is_of_task]
        if len(kinds) < len(rule.actions):
            draft.said.append(
                Reason.of(
                    "no action on the task: the condition started with another task or attempt", "alert_other_task"
                )
            )
    planned = [action for kind in kinds if (action := _plan(kind, draft, rule, now, new_id)) is not None]
    if anywhere:
        planned = [replace(action, node=None) for action in planned]
    if planned:
        draft.actions.extend(planned)
        kinds = [action.kind for action in planned]
        announced = [ANNOUNCED[kind] for kind in kinds]
        draft.change(
            Reason.of("planned actions: {kinds}", "alert_actions", kinds=", ".join(kinds)),
            remedy=" ".join([alert.remedy, *map(text_of, announced)]).strip(),
            values=None if alert.values is None else {**alert.values, "actions": dump_value(announced)},
        )


def _has_changed(draft: Draft) -> bool:
    """Return whether the target's task differs from the one with which the condition started."""
    target = draft.track.target
    return target is not None and target.subject != draft.after.bound


def _plan(
    kind: ActionKind, draft: Draft, rule: AlertRule, now: datetime, new_id: Callable[[datetime], str]
) -> PlannedAction | None:
    """Return the action; None if it has no target, or the rule may not act on that target."""
    labels, bound = draft.after.labels, draft.after.bound if kind.is_of_task else None
    about = labels.get("gpu_uuid") if kind is ActionKind.HOLD_GPU else None if bound is None else bound.task_id
    owner, attempt = (None, None) if bound is None else (bound.owner, bound.attempt)
    needs = kind.is_of_task or kind is ActionKind.HOLD_GPU
    if (needs and about is None) or (rule.acts_for is not None and rule.acts_for != owner):
        return None
    is_of_machine = kind in (ActionKind.HOLD_GPU, ActionKind.IDLE_COMMAND)
    node = labels.get("node") if is_of_machine else None
    at = now + timedelta(seconds=GRACE_SECONDS if kind is ActionKind.IDLE_COMMAND else 0.0)
    return PlannedAction(new_id(now), kind, node, about, owner, rule.acts_for, rule.actions_by, at, attempt)


def check_actions(rule: AlertRule, has_idle_command: bool) -> list[Finding]:
    """Return the mistakes in a rule's actions."""
    found = [mistake for index, kind in enumerate(rule.actions) for mistake in _check(rule, f"/actions/{index}", kind)]
    if ActionKind.IDLE_COMMAND in rule.actions and not has_idle_command:
        found.append(
            make_finding(
                "/actions",
                FindingText(
                    "idle_command_missing",
                    "needs a command, and this machine's operator has set none",
                    (
                        "set IDLE_COMMAND on the machine, as in `IDLE_COMMAND=/usr/bin/systemctl poweroff`, and "
                        "restart the service"
                    ),
                ),
            )
        )
    if len(set(rule.actions)) < len(rule.actions):
        found.append(make_finding("/actions", FindingText("action_twice", "lists an action twice")))
    return found


def _check(rule: AlertRule, pointer: str, kind: ActionKind) -> Iterable[Finding]:
    scopes = _SCOPES[kind]
    if rule.scope not in scopes:
        yield make_finding(
            pointer,
            FindingText("action_needs_scope", "{action} needs a rule of scope {scopes}; this rule has scope {scope}"),
            action=kind,
            scopes=" or ".join(scopes),
            scope=rule.scope,
        )
    elif kind is ActionKind.IDLE_COMMAND and not _requires_idle(rule):
        yield make_finding(
            pointer,
            FindingText(
                "action_needs_idle_rule",
                "{action} needs a rule that is true only on an idle machine",
                "set the rule's condition to `{metric}` at least 1",
            ),
            action=kind,
            metric=IDLE_METRIC,
        )


def _requires_idle(rule: AlertRule) -> bool:
    return not rule.any_of and any(
        clause.text in (f"{IDLE_METRIC} == 1", f"{IDLE_METRIC} >= 1") for clause in rule.when
    )


def authorise(before: AlertRule | None, after: AlertRule, by: Principal) -> AlertRule:
    """Return the rule with the user for whom it acts, if this principal may give it its actions. Raises Forbidden."""
    if not after.actions and (before is None or not before.actions):
        return after
    if by.may(Permission.SYSTEM_WRITE):
        return _with_authority(before, after, None, by)
    mine = None if by.may(Permission.TASKS_WRITE_ANY) else by.owner
    if before is not None and before.actions and (before.acts_for or "") != (mine or ""):
        _refuse(f"{before.rule_id} acts for other users: to change it,")
    if not by.may(Permission.TRAINING_WRITE) or not all(kind.is_of_task for kind in after.actions):
        _refuse("To give a rule actions on other users' tasks or on GPUs,")
    return _with_authority(before, after, mine, by)


def _with_authority(before: AlertRule | None, after: AlertRule, acts_for: str | None, by: Principal) -> AlertRule:
    if before is not None and before.actions == after.actions:
        return after
    if not after.actions:
        return replace(after, acts_for=None, actions_by=None)
    return replace(after, acts_for=acts_for, actions_by=by.actor)


def _refuse(what: str) -> None:
    needed = Permission.SYSTEM_WRITE
    raise Forbidden(f"{what} the key needs the permission {needed}.", data={"missing_permission": needed})
