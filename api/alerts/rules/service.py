"""The service of rules: creates, changes and deletes custom rules, and changes built-in rules."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from api.alerts.actions.plan import authorise, check_actions
from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.measurable import metrics_of
from api.alerts.views import RuleView, show_rule
from api.domain.access.principal import Principal
from api.domain.alerts.alert_rule import BUILTIN_CHANGES, AlertRule, RuleScope
from api.domain.finding import make_finding
from api.errors import AlertNotFound, Conflict, Finding, FindingText, Invalid
from api.util.clock import Clock
from api.util.http.pagination import Page, PageRequest, paginate
from api.util.text.suggestions import nearest

#: Maximum number of custom rules.
MOST_RULES = 1_000


class RuleService:
    """Reads and changes rules."""

    def __init__(
        self,
        store: RuleStore,
        builtin: Mapping[str, AlertRule],
        clock: Clock,
        on_change: Callable[[], None],
        has_idle_command: bool = False,
    ) -> None:
        """Create the service. `has_idle_command`: the operator has set IDLE_COMMAND."""
        self._has_idle_command = has_idle_command
        self._store = store
        self._builtin = builtin
        self._clock = clock
        self._on_change = on_change

    def get_page(self, scope: RuleScope | None, enabled: bool | None, page: PageRequest) -> Page[RuleView]:
        """Return rules: the built-in rules, then custom rules by id."""
        rules = self._store.load(self._builtin).values()
        numbered = list(enumerate((show_rule(rule) for rule in rules), start=1))
        found = [
            (number, rule)
            for number, rule in numbered
            if scope in (None, rule.scope) and enabled in (None, rule.enabled)
        ]
        return paginate(found, lambda row: row[0], page).map(lambda row: row[1])

    def get(self, rule_id: str) -> RuleView:
        """Return one rule. Raises AlertNotFound."""
        return show_rule(self._find(rule_id))

    def add(self, rule: AlertRule, by: Principal) -> RuleView:
        """Create a rule.

        Raises Invalid, Conflict, and Forbidden if its actions would affect resources of other users.
        """
        self._check(replace(rule, enabled=True))
        rule = authorise(None, rule, by)
        if rule.rule_id in self._builtin:
            raise Conflict(f'A built-in rule has the id "{rule.rule_id}". Change that rule, or choose another id.')
        if self._store.count_own() >= MOST_RULES:
            raise Conflict(f"There are already {MOST_RULES:,} custom rules, the maximum. Delete some first.")
        self._store.add(rule, by.actor, self._clock.now())
        self._on_change()
        return self.get(rule.rule_id)

    def change(self, rule_id: str, changes: Mapping[str, Any], by: Principal) -> RuleView:
        """Change a rule.

        Raises AlertNotFound, Invalid for fixed fields of a built-in rule, and Forbidden if its actions affect resources
        of other users.
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
        """Delete a custom rule, or the changes of a built-in rule. Raises AlertNotFound."""
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
                known = ", ".join(sorted(BUILTIN_CHANGES))
                raise Invalid(
                    mistakes=[
                        make_finding(
                            f"/{name}",
                            FindingText(
                                "rule_field_fixed",
                                "cannot be changed in a built-in rule; {known} can",
                                "create a custom rule with the other fields, and disable this one",
                            ),
                            known=known,
                        )
                        for name in fixed
                    ]
                )
            if "value" in changes and rule.threshold is None:
                raise Invalid(
                    mistakes=[
                        make_finding(
                            "/value",
                            FindingText("rule_without_threshold", "cannot be changed: the rule has no threshold"),
                        )
                    ]
                )
        after = rule.changed(changes)
        self._check(after)
        return after

    def _check(self, rule: AlertRule) -> None:
        mistakes = check_actions(rule, self._has_idle_command)
        if rule.enabled and not rule.is_builtin:
            mistakes += _check_condition(rule)
        if mistakes:
            raise Invalid(mistakes=mistakes)


def _check_condition(rule: AlertRule) -> list[Finding]:
    if not rule.is_simple:
        return [
            make_finding(
                "/enabled",
                FindingText(
                    "rule_condition_outdated",
                    "cannot be enabled: its condition comes from an older version and has more than one clause",
                    "set its metric, comparison and value",
                ),
            )
        ]
    name, known = rule.when[0].metric, metrics_of(rule.scope)
    if name in known:
        return []
    similar = nearest(name, known)
    if similar is None:
        return [
            make_finding(
                "/metric",
                FindingText("metric_unknown", "is not a metric of the scope {scope}; GET /alerts/metrics lists them"),
                scope=rule.scope,
            )
        ]
    return [
        make_finding(
            "/metric",
            FindingText("metric_unknown_similar", 'is not a metric of the scope {scope}; did you mean "{similar}"?'),
            scope=rule.scope,
            similar=similar,
        )
    ]
