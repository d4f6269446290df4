"""What a rule would have told within the last 24 h: the same evaluation, over the history of the GPUs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.alerts.evaluation import UNKNOWN, FactTable, find_breaching, is_breaching
from api.alerts.machine import AlertMachine
from api.alerts.metrics import CONSTANT, IN_HISTORY, without_history
from api.domain.alert import AlertState
from api.domain.alert_rule import AlertRule, RuleScope, Trial, TrialPeriod
from api.domain.history import Metric
from api.gpus.history import GPUHistory
from api.util.clock import Mark, SteadyTime

#: Periods that an answer shows.
_SHOWN = 100

#: The most pasts, of one metric of one GPU each, that a trial reads: each takes some milliseconds.
MOST_PASTS = 256

#: Points over the day: one a minute, so that a trial takes a fraction of a second.
_STEP = 60.0
_DAY = timedelta(days=1)


@dataclass(slots=True)
class _PastClock:
    """The time of the point that is being looked at."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def mark(self) -> Mark:
        return Mark("", self.at.timestamp())

    @property
    def steady(self) -> SteadyTime:
        return SteadyTime(self)


def try_rule(rule: AlertRule, present: FactTable | None, history: Callable[[str], GPUHistory], now: datetime) -> Trial:
    """What the rule would have told, and what it is true of now. `present` None: the present facts are not known.
    `history` gives the past of a machine's GPUs by its name.
    """
    breaching, unknown = _look_at_present(rule, present)
    missing = without_history(rule.scope, rule.metrics)
    if rule.scope is not RuleScope.GPU or missing or present is None:
        why = f"no history is kept of {', '.join(missing or rule.metrics)}: only the present was looked at"
        words = f"It is true of {len(breaching)} now. {why[:1].upper()}{why[1:]}."
        return Trial(False, why, None, now, 0, (), breaching, unknown, words)
    past = _with_past(rule, present)
    tables = _past_tables(rule, past, history, now)
    periods = _replay(rule, tables)
    since = tables[0][0] if tables else None
    shown = tuple(sorted(periods, key=lambda period: period.since))[-_SHOWN:]
    left_out = _say_left_out(len(past.targets), len(present.targets))
    words = _say(periods, since, now) + ("" if left_out is None else f" {left_out}")
    return Trial(True, left_out, since, now, len(periods), shown, breaching, unknown, words)


def _look_at_present(rule: AlertRule, table: FactTable | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if table is None:
        return (), ()

    def name(place: int) -> str:
        target = table.targets[place]
        return target.words.get("name", target.key)

    breaching = tuple(name(place) for place in find_breaching(rule, table))
    unknown = (place for place in range(len(table.targets)) if is_breaching(rule, table, place) is None)
    return breaching[:_SHOWN], tuple(name(place) for place in unknown)[:_SHOWN]


def _with_past(rule: AlertRule, present: FactTable) -> FactTable:
    """The first of the GPUs, this machine's before others, as many as are looked back at."""
    most = MOST_PASTS // max(1, len([name for name in rule.metrics if name not in CONSTANT]))
    if len(present.targets) <= most:
        return present
    columns = {name: column[:most] for name, column in present.columns.items()}
    return FactTable(present.scope, present.targets[:most], columns, present.is_complete)


def _say_left_out(looked: int, count: int) -> str | None:
    if looked == count:
        return None
    return f"Only the past of the first {looked:,} of {count:,} GPUs was looked at, and the present of all."


def _past_tables(
    rule: AlertRule, present: FactTable, history: Callable[[str], GPUHistory], now: datetime
) -> list[tuple[datetime, FactTable]]:
    """The facts of each minute that the history knows."""
    since = (now - _DAY).timestamp()
    columns: dict[str, dict[int, list[float]]] = {}
    for name in rule.metrics:
        if name in CONSTANT:
            continue
        for place, target in enumerate(present.targets):
            uuid, past = target.labels.get("gpu_uuid", ""), history(target.labels.get("node", ""))
            means = past.means(uuid, Metric(IN_HISTORY[name]), since, now.timestamp(), _STEP)
            for minute, value in means.items():
                row = columns.setdefault(name, {}).setdefault(minute, [UNKNOWN] * len(present.targets))
                row[place] = value
    known = {minute for rows in columns.values() for minute in rows}
    # A pause of the sweeps is a time of which nothing is known, and not none at all.
    minutes = range(min(known), max(known) + 1) if known else ()
    nothing = [UNKNOWN] * len(present.targets)
    found = []
    for minute in minutes:
        facts = {name: rows.get(minute, nothing) for name, rows in columns.items()}
        facts |= {name: list(present.columns.get(name, nothing)) for name in rule.metrics if name in CONSTANT}
        at = datetime.fromtimestamp(minute * _STEP, now.tzinfo)
        found.append((at, FactTable(RuleScope.GPU, present.targets, facts)))
    return found


def _replay(rule: AlertRule, tables: Sequence[tuple[datetime, FactTable]]) -> list[TrialPeriod]:
    if not tables:
        return []
    clock = _PastClock(tables[0][0])
    machine = AlertMachine(clock, lambda at: at.isoformat(), settle_seconds=0)
    rules = {rule.rule_id: replace(rule, enabled=True)}
    found: list[TrialPeriod] = []
    for at, table in tables:
        clock.at = at
        drafts = machine.step(rules, {RuleScope.GPU: table}).all
        machine.commit(drafts, at)
        for draft in drafts:
            alert = draft.after
            if alert.state is AlertState.RESOLVED and alert.fired_at is not None:
                found.append(TrialPeriod(alert.title, alert.fired_at, at, alert.peak))
    open_ = [track.alert for track in machine.tracks.values() if track.alert.state is AlertState.FIRING]
    return found + [TrialPeriod(each.title, each.fired_at or each.since, None, each.peak) for each in open_]


def _say(periods: Sequence[TrialPeriod], since: datetime | None, now: datetime) -> str:
    if since is None:
        return "Nothing is known of the last 24 h yet."
    hours = (now - since).total_seconds() / 3600
    if not periods:
        return f"It would not have fired in the last {hours:.1f} h."
    times = "once" if len(periods) == 1 else f"{len(periods)} times"
    latest = max(periods, key=lambda period: period.since)
    last = f"the last time {latest.target}, {latest.since:%H:%M} UTC"
    return f"It would have fired {times} in the last {hours:.1f} h: {last}."
