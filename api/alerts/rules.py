"""Rules: people make, change and delete their own, and change those that are built in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from api.alerts.action_plan import authorise, check_actions
from api.alerts.metrics import metrics_of
from api.alerts.rule_store import RuleStore
from api.alerts.views import RuleView, show_rule
from api.domain.access import Principal
from api.domain.alert_rule import BUILTIN_CHANGES, AlertRule, RuleScope
from api.errors import AlertNotFound, Conflict, Invalid, Mistake
from api.util.clock import Clock
from api.util.pagination import Page, PageRequest, paginate
from api.util.suggestions import nearest

#: Rules of people's own.
MOST_RULES = 1_000


class RuleService:
    """The rules."""

    def __init__(
        self,
        store: RuleStore,
        builtin: Mapping[str, AlertRule],
        clock: Clock,
        on_change: Callable[[], None],
        has_idle_command: bool = False,
    ) -> None:
        """`has_idle_command`: the operator has set one."""
        self._has_idle_command = has_idle_command
        self._store = store
        self._builtin = builtin
        self._clock = clock
        self._on_change = on_change

    def get_page(self, scope: RuleScope | None, enabled: bool | None, page: PageRequest) -> Page[RuleView]:
        """Rules: those that are built in as they are known, then people's own by id."""
        rules = self._store.load(self._builtin).values()
        numbered = list(enumerate((show_rule(rule) for rule in rules), start=1))
        found = [
            (number, rule)
            for number, rule in numbered
            if scope in (None, rule.scope) and enabled in (None, rule.enabled)
        ]
        return paginate(found, lambda row: row[0], page).map(lambda row: row[1])

    def get(self, rule_id: str) -> RuleView:
        """One rule. Raises AlertNotFound."""
        return show_rule(self._find(rule_id))

    def add(self, rule: AlertRule, by: Principal) -> RuleView:
        """Keeps a new rule. Raises Invalid, Conflict, and Forbidden where it would act on what is not theirs."""
        self._check(replace(rule, enabled=True))
        rule = authorise(None, rule, by)
        if rule.rule_id in self._builtin:
            raise Conflict(f'A rule called "{rule.rule_id}" is built in: change that, or choose another id.')
        if self._store.count_own() >= MOST_RULES:
            raise Conflict(f"There are {MOST_RULES:,} rules of your own already, which is the most: delete some.")
        self._store.add(rule, by.actor, self._clock.now())
        self._on_change()
        return self.get(rule.rule_id)

    def change(self, rule_id: str, changes: Mapping[str, Any], by: Principal) -> RuleView:
        """Changes a rule. Raises AlertNotFound, Invalid for what cannot be changed of one that is built in, and
        Forbidden where it acts, or would act, on what is not theirs.
        """
        before = self._find(rule_id)
        after = authorise(before, self._changed(before, changes), by)
        if before.is_builtin:
            if "actions" in changes:
                changes = {**changes, "acts_for": after.acts_for, "actions_by": after.actions_by}
            self._store.change_builtin(rule_id, changes, by.actor, self._clock.now())
        else:
            self._store.replace(after, before, by.actor, self._clock.now())
        self._on_change()
        return self.get(rule_id)

    def delete(self, rule_id: str) -> RuleView:
        """Forgets a rule, or what was changed of one that is built in. Raises AlertNotFound."""
        shown = self.get(rule_id)
        self._store.delete(rule_id)
        self._on_change()
        return shown

    def _find(self, rule_id: str) -> AlertRule:
        rule = self._store.load(self._builtin).get(rule_id)
        if rule is None:
            raise AlertNotFound(f'No rule has the id "{rule_id[:80]}".')
        return rule

    def _changed(self, rule: AlertRule, changes: Mapping[str, Any]) -> AlertRule:
        if rule.is_builtin:
            fixed = [name for name in changes if name not in BUILTIN_CHANGES]
            if fixed:
                words = f"cannot be changed of a rule that is built in; {', '.join(sorted(BUILTIN_CHANGES))} can"
                remedy = "make a rule of your own with the rest of it, and switch this one off"
                raise Invalid(mistakes=[Mistake(f"/{name}", words, remedy) for name in fixed])
            if "value" in changes and rule.threshold is None:
                raise Invalid(mistakes=[Mistake("/value", "cannot be changed: the rule is about a state")])
        after = rule.changed(changes)
        self._check(after)
        return after

    def _check(self, rule: AlertRule) -> None:
        mistakes = check_actions(rule, self._has_idle_command)
        if rule.enabled and not rule.is_builtin:
            mistakes += _check_condition(rule)
        if mistakes:
            raise Invalid(mistakes=mistakes)


def _check_condition(rule: AlertRule) -> list[Mistake]:
    if not rule.is_simple:
        words = "cannot be switched on: its condition comes from an older version and is more than one bound"
        return [Mistake("/enabled", words, "set its metric, comparison and value")]
    name, known = rule.when[0].metric, metrics_of(rule.scope)
    if name in known:
        return []
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else "; GET /alerts/metrics lists them"
    return [Mistake("/metric", f"names no metric of {rule.scope}{hint}")]
