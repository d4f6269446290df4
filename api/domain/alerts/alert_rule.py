"""Alert rules, as data. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.alerts.alert_action import ActionKind
from api.domain.machines.gpu_event import Severity


class RuleScope(StrEnum):
    """The kind of target that a rule is evaluated for."""

    GPU = "gpu"  #: each GPU of a machine
    NODE = "node"  #: each machine that shares the database
    DISK = "disk"  #: each disk that the service writes to
    SERVICE = "service"  #: a server: its driver, its database, its starts
    TASK = "task"  #: each training
    QUEUE = "queue"  #: all queued tasks
    CHANNEL = "channel"  #: each notification channel
    KEY = "key"  #: each key
    USER = "user"  #: each user, with their quota
    ACTION = "action"  #: each action of a rule

    @property
    def is_of_machine(self) -> bool:
        """Whether only a server on the machine itself knows its facts."""
        return self in (RuleScope.GPU, RuleScope.DISK, RuleScope.SERVICE)


class Comparison(StrEnum):
    """How a metric is compared."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    OTHER = "!="

    @property
    def is_ordering(self) -> bool:
        """Whether it compares with an adjustable threshold."""
        return self not in (Comparison.EQUAL, Comparison.OTHER)


@dataclass(frozen=True, slots=True)
class Clause:
    """A comparison of a metric with a number, or with another metric plus a number."""

    metric: str
    compare: Comparison
    value: float = 0.0
    of: str | None = None  #: the other metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that must be known."""
        return (self.metric,) if self.of is None else (self.metric, self.of)

    @property
    def text(self) -> str:
        """The clause as text: `temperature_gpu >= temperature_slowdown - 5`."""
        if self.of is None:
            return f"{self.metric} {self.compare} {self.value:g}"
        offset = "" if not self.value else f" {'+' if self.value > 0 else '-'} {abs(self.value):g}"
        return f"{self.metric} {self.compare} {self.of}{offset}"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A condition, its notification text and what to do about it."""

    rule_id: str
    title: str
    scope: RuleScope
    when: tuple[Clause, ...]
    summary: str  #: notification text; `{metric}` and `{label}` are replaced
    any_of: bool = False  #: one clause of `when` is enough
    for_seconds: float = 0.0  #: how long the condition must hold
    clear: tuple[Clause, ...] = ()  #: clauses that must all hold to end the alert; empty: the condition must not hold
    clear_seconds: float = 0.0  #: how long `clear` must hold
    severity: Severity = Severity.WARNING
    critical_when: tuple[Clause, ...] = ()  #: clauses that make the alert critical if all hold
    remedy: str = ""  #: what to do
    resolved: str = ""  #: text for the end of the alert, without a full stop; built-in rules only
    link: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    is_builtin: bool = False
    is_event: bool = False  #: something that happened once: its end is not notified
    is_opt_in: bool = False  #: notified only if a training's own request names it
    actions: tuple[ActionKind, ...] = ()  #: actions to take when it fires
    acts_for: str | None = None  #: the only user whose tasks it may act on; None: all
    actions_by: str | None = None  #: the user who enabled the actions
    updated_at: datetime | None = None
    updated_by: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that the rule reads."""
        clauses = (*self.when, *self.clear, *self.critical_when)
        return tuple(dict.fromkeys(name for clause in clauses for name in clause.metrics))

    @property
    def threshold(self) -> Clause | None:
        """The clause whose number is the rule's threshold. None for a rule about states."""
        return next((clause for clause in self.when if clause.compare.is_ordering), None)

    @property
    def is_simple(self) -> bool:
        """Whether its condition is one metric above or below a number. Every user-defined rule is simple."""
        return len(self.when) == 1 and self.when[0].of is None and self.threshold is not None and not self.critical_when

    def changed(self, changes: Mapping[str, Any]) -> "AlertRule":
        """Return the rule with these fields. `metric`, `comparison` and `value` change its threshold.

        In a built-in rule, other clauses with the same threshold and the level at which the alert ends follow it. A
        user-defined rule has no other clauses.
        """
        others = {name: value for name, value in changes.items() if name not in _OF_THRESHOLD}
        parts = {name: changes[given] for given, name in _OF_THRESHOLD.items() if given in changes}
        old, after = self.threshold or self.when[0], replace(self, **others)
        new = replace(old, **parts)
        if not parts:
            return after
        if not self.is_builtin:
            return replace(after, when=(replace(new, of=None),), any_of=False, clear=(), critical_when=())
        bound = (old.compare, old.value)
        when = tuple(replace(each, **parts) if (each.compare, each.value) == bound else each for each in self.when)
        return replace(after, when=when, clear=tuple(_follow(each, old, new.value) for each in self.clear))


_OF_THRESHOLD = {"metric": "metric", "comparison": "compare", "value": "value"}


def _follow(clear: Clause, old: Clause, value: float) -> Clause:
    """Return the level at which an alert ends, moved along with its threshold."""
    if (clear.metric, clear.of) != (old.metric, old.of):
        return clear
    if old.of is None and old.value:
        return replace(clear, value=clear.value * value / old.value)
    return replace(clear, value=clear.value + value - old.value)


#: Fields of a built-in rule that users may change. The others come with the version of the service.
BUILTIN_CHANGES = frozenset({"enabled", "value", "for_seconds", "clear_seconds", "severity", "labels", "actions"})


@dataclass(frozen=True, slots=True)
class AlertMetric:
    """A metric that rules may use."""

    name: str  #: name for `metric` of a rule
    scope: RuleScope  #: kind of thing that has this value
    unit: str  #: unit of the value; empty if it has none
    text: str  #: what it measures
    has_history: bool = False  #: whether GET /gpu/{id}/history has its last 24 h
