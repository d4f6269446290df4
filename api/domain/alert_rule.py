"""Rules about what people are told of, as data. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.alert_action import ActionKind
from api.domain.event import Severity


class RuleScope(StrEnum):
    """What a rule is held against, one by one."""

    GPU = "gpu"  #: each GPU of a machine
    NODE = "node"  #: each machine that shares the database
    DISK = "disk"  #: each disk that the service writes to
    SERVICE = "service"  #: a server: its driver, its database, its starts
    TASK = "task"  #: each training
    QUEUE = "queue"  #: all that wait
    CHANNEL = "channel"  #: each way to people
    KEY = "key"  #: each key
    USER = "user"  #: each user, by their quota
    ACTION = "action"  #: each action of a rule

    @property
    def is_of_machine(self) -> bool:
        """Whether only a server on the machine itself can know it."""
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
        """Whether it compares with a bound, which can be moved."""
        return self not in (Comparison.EQUAL, Comparison.OTHER)


@dataclass(frozen=True, slots=True)
class Clause:
    """A metric compared with a number, or with another metric and a number added to it."""

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
        """The clause as people read it: `temperature_gpu >= temperature_slowdown - 5`."""
        if self.of is None:
            return f"{self.metric} {self.compare} {self.value:g}"
        offset = "" if not self.value else f" {'+' if self.value > 0 else '-'} {abs(self.value):g}"
        return f"{self.metric} {self.compare} {self.of}{offset}"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When people are told of what, and what they can do."""

    rule_id: str
    title: str
    scope: RuleScope
    when: tuple[Clause, ...]
    summary: str  #: what is told; `{metric}` and `{label}` in it are replaced
    any_of: bool = False  #: one clause of `when` suffices
    for_seconds: float = 0.0  #: how long the condition must have held
    clear: tuple[Clause, ...] = ()  #: all must hold for the alert to end; none: the condition must not hold
    clear_seconds: float = 0.0  #: and for how long
    severity: Severity = Severity.WARNING
    critical_when: tuple[Clause, ...] = ()  #: where all hold as well, it is critical
    remedy: str = ""  #: what to do
    resolved: str = ""  #: what is said when it ends, without a full stop; of rules that are built in
    link: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    is_builtin: bool = False
    is_event: bool = False  #: something that happened: its end is no news
    is_opt_in: bool = False  #: told only to whom a training's own request names
    actions: tuple[ActionKind, ...] = ()  #: what is done when it fires
    acts_for: str | None = None  #: the user whose tasks alone it may act on; None: everybody's
    actions_by: str | None = None  #: who had it act
    updated_at: datetime | None = None
    updated_by: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that it reads."""
        clauses = (*self.when, *self.clear, *self.critical_when)
        return tuple(dict.fromkeys(name for clause in clauses for name in clause.metrics))

    @property
    def threshold(self) -> Clause | None:
        """The clause whose number is the rule's threshold; None for a rule about states."""
        return next((clause for clause in self.when if clause.compare.is_ordering), None)

    @property
    def is_simple(self) -> bool:
        """Whether its condition is one metric above or below a number, as that of every own rule."""
        return len(self.when) == 1 and self.when[0].of is None and self.threshold is not None and not self.critical_when

    def changed(self, changes: Mapping[str, Any]) -> "AlertRule":
        """Return the rule with these fields; `metric`, `comparison` and `value` are those of its threshold.

        Of a built-in rule the other clauses with the same bound, and the level at which the alert ends, follow it. An
        own rule has no other clauses.
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
    """Return the level at which an alert ends, moved with its threshold: it must not hold while the condition does."""
    if (clear.metric, clear.of) != (old.metric, old.of):
        return clear
    if old.of is None and old.value:
        return replace(clear, value=clear.value * value / old.value)
    return replace(clear, value=clear.value + value - old.value)


#: What may be changed of a rule that is built in; everything else of it comes with the version.
BUILTIN_CHANGES = frozenset({"enabled", "value", "for_seconds", "clear_seconds", "severity", "labels", "actions"})


@dataclass(frozen=True, slots=True)
class AlertMetric:
    """Something that rules may be about."""

    name: str
    scope: RuleScope
    unit: str
    text: str
    has_history: bool = False  #: whether GET /gpu/{id}/history has the last 24 h of it
