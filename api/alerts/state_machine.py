"""The state machine of alerts: pending, firing, resolved.

It applies hysteresis, detects flapping, and leaves an alert as it is while its facts are unknown. It reads only the
given clock and changes nothing durable: a round makes drafts, and `commit` adopts those that were stored. Times are
monotonic, so that setting the wall clock fires nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.alerts.evaluation import (
    FactTable,
    describe_end,
    fill,
    find_breaching,
    is_breaching,
    is_clear,
    severity_of,
    value_of,
    values_of,
    worse,
)
from api.alerts.tracks import Draft, Drafts, Track, TrackKey, fingerprint
from api.domain.alerts.alert import RULE_GONE, TARGET_GONE, Alert, AlertState, AlertTarget, NotificationKind
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.machines.gpu_event import Severity
from api.domain.reason import Reason
from api.util.clock import Clock

#: An alert that fires again within this time after it resolved continues the same incident.
SAME_INCIDENT = timedelta(minutes=5)

#: More changes between firing and resolved than this within an hour is flapping. It ends after an hour without changes.
MOST_FLIPS = 4
CALM_SECONDS = 3600.0

#: Bounds of one step, so that it takes a few milliseconds: changed alerts, checked alerts, evaluated rules.
MOST_CHANGES, MOST_CHECKS, MOST_RULES = 150, 1_500, 300

#: Seconds between two cleanups of old alerts.
_CLEANUP_SECONDS = 60.0

#: Resolved alerts are remembered for this long, to continue an incident and to count changes.
REMEMBERED = timedelta(seconds=CALM_SECONDS + 300)

_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


def rank(severity: Severity) -> int:
    """Return the rank of a severity, for comparisons."""
    return _RANK[severity]


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a round."""

    now: datetime
    monotonic: float


class AlertStateMachine:
    """The alerts of some scopes. Not thread-safe."""

    def __init__(self, clock: Clock, new_id: Callable[[datetime], str], settle_seconds: float = 10.0) -> None:
        """Create the state machine.

        For `settle_seconds` after a start nothing new fires, since first readings are unreliable.
        """
        self._clock = clock
        self._new_id = new_id
        self._settle_seconds = settle_seconds
        self._settled_at = float("-inf")
        self._rules_left: deque[str] = deque()
        self._keys_left: deque[TrackKey] = deque()
        self._has_keys = False
        self._cleaned_at = float("-inf")
        self.tracks: dict[TrackKey, Track] = {}

    def load(self, alerts: Iterable[Alert], *, is_start: bool) -> None:
        """Replace all alerts by these. After a start, pending alerts must stay true for the settle time."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        before, self.tracks = self.tracks, {}
        self._rules_left.clear()
        self._keys_left.clear()
        for alert in sorted(alerts, key=lambda each: each.since):
            key = (alert.rule_id, alert.target)
            known = before.get(key)
            track = Track(alert)
            if known is not None and known.alert.alert_id == alert.alert_id:
                track.breaching_since, track.clear_since = known.breaching_since, known.clear_since
                track.target, track.fired_at = known.target, known.fired_at
                track.seen_at = None if is_start else known.seen_at
            elif alert.state is AlertState.PENDING:
                track.breaching_since = monotonic - max(0.0, (now - alert.since).total_seconds())
            if track.fired_at is None and alert.fired_at is not None:
                track.fired_at = monotonic - self._age_since(alert.fired_at, alert.notified_at)
            self.tracks[key] = track
        if is_start:
            self._settled_at = monotonic + self._settle_seconds

    def _age_since(self, fired_at: datetime, notified_at: datetime | None) -> float:
        """Return the seconds for which a loaded alert has fired: at least until it was last notified."""
        latest = self._clock.steady.now() if notified_at is None else max(self._clock.steady.now(), notified_at)
        return max(0.0, (latest - fired_at).total_seconds())

    def step(self, rules: Mapping[str, AlertRule], tables: Mapping[RuleScope, FactTable]) -> Drafts:
        """Return the changes that these facts cause, at most MOST_CHANGES.

        If the result `is_partial`, the next call continues there. Rules of scopes without a table are not evaluated.
        """
        at = Moment(self._clock.now(), self._clock.monotonic())
        drafts = Drafts()
        if not self._rules_left and not self._keys_left:
            self._rules_left = deque(rules)
            self._has_keys = False
        for _ in range(MOST_RULES):
            if not self._rules_left or len(drafts) >= MOST_CHANGES:
                break
            rule = rules.get(self._rules_left[0])
            table = None if rule is None else tables.get(rule.scope)
            if (
                rule is not None
                and table is not None
                and rule.enabled
                and not self._create_new(rule, table, at, drafts)
            ):
                break
            self._rules_left.popleft()
        if not self._rules_left:
            self._follow_all(rules, tables, at, drafts)
        drafts.is_partial = bool(self._rules_left or self._keys_left)
        return drafts

    def _follow_all(
        self, rules: Mapping[str, AlertRule], tables: Mapping[RuleScope, FactTable], at: Moment, drafts: Drafts
    ) -> None:
        if not self._has_keys:
            self._keys_left, self._has_keys = deque(self.tracks), True
        for _ in range(MOST_CHECKS):
            if not self._keys_left or len(drafts) >= MOST_CHANGES:
                return
            key = self._keys_left.popleft()
            track, rule = self.tracks.get(key), rules.get(key[0])
            if track is None:
                continue
            if rule is None or not rule.enabled:
                self._end(key, track, RULE_GONE, at, drafts)
                continue
            passed = 0.0 if track.seen_at is None else at.monotonic - track.seen_at
            track.seen_at = at.monotonic
            table = tables.get(rule.scope)
            if table is None:
                track.freeze(passed)
            elif drafts.get(key) is None:
                self._follow(rule, key, track, table, at, passed, drafts)

    def commit(self, drafts: Iterable[Draft], now: datetime) -> None:
        """Adopt the stored drafts, and forget old alerts."""
        monotonic = self._clock.monotonic()
        for draft in drafts:
            draft.track.alert = draft.after
            if draft.before is None or draft.before.fired_at != draft.after.fired_at:
                draft.track.fired_at = None if draft.after.fired_at is None else monotonic
            if draft.after.state is AlertState.RESOLVED and (draft.before is None or draft.before.is_open):
                draft.track.breaching_since = draft.track.clear_since = None
            if draft.after.state is AlertState.RESOLVED and draft.after.fired_at is None:
                self.tracks.pop(draft.key, None)
            else:
                self.tracks[draft.key] = draft.track
        self._forget_old(now)

    def _forget_old(self, now: datetime) -> None:
        monotonic = self._clock.monotonic()
        if monotonic - self._cleaned_at < _CLEANUP_SECONDS:
            return
        self._cleaned_at, old = monotonic, now - REMEMBERED
        for key, track in list(self.tracks.items()):
            ended = track.alert.resolved_at
            is_old = track.alert.state is AlertState.RESOLVED and ended is not None and ended < old
            if is_old and track.alert.flapping_since is None:
                del self.tracks[key]

    # -- new alerts ----------------------------------------------------------------------------------------------------

    def _create_new(self, rule: AlertRule, table: FactTable, at: Moment, drafts: Drafts) -> bool:
        """Create alerts of a rule. Return False if there are more than this step may change."""
        for index in find_breaching(rule, table):
            target = table.targets[index]
            key = (rule.rule_id, target.key)
            if key in self.tracks:
                continue
            if len(drafts) >= MOST_CHANGES:
                return False
            alert = self._new_alert(rule, table, index, at.now)
            track = Track(alert, breaching_since=at.monotonic, target=target)
            if rule.for_seconds > 0 or at.monotonic < self._settled_at:
                drafts.begin(key, track)
            else:
                self._fire(rule, table, index, drafts.begin(key, track), at)
        return True

    def _new_alert(self, rule: AlertRule, table: FactTable, index: int, now: datetime) -> Alert:
        target = table.targets[index]
        value = value_of(rule, table, index)
        return Alert(
            alert_id=self._new_id(now),
            fingerprint=fingerprint(rule, target),
            rule_id=rule.rule_id,
            scope=rule.scope,
            target=target.key,
            labels={**target.labels, **rule.labels},
            severity=severity_of(rule, table, index),
            state=AlertState.PENDING,
            number=0,
            title=_title(rule, target),
            summary=fill(rule.summary, table, index),
            remedy=fill(rule.remedy, table, index),
            values=values_of(rule, table, index),
            link=rule.link,
            since=now,
            updated_at=now,
            value=value,
            peak=value,
            owner=target.owner,
            bound=target.subject,
        )

    def _fire(self, rule: AlertRule, table: FactTable, index: int, draft: Draft, at: Moment) -> None:
        severity = severity_of(rule, table, index)
        draft.change(
            Reason(f"fires: {fill(rule.summary, table, index)}", _FIRES.said),
            state=AlertState.FIRING,
            fired_at=draft.after.fired_at or at.now,
            resolved_at=None,
            resolution=None,
            severity=severity,
            title=_title(rule, table.targets[index]),
            summary=fill(rule.summary, table, index),
            remedy=fill(rule.remedy, table, index),
            values=values_of(rule, table, index),
            value=value_of(rule, table, index),
        )
        draft.track.clear_since = None
        self._flip(draft, at, NotificationKind.FIRING)

    def _flip(self, draft: Draft, at: Moment, kind: NotificationKind) -> None:
        """Count a change between firing and resolved, and add its notification."""
        seconds = at.now.timestamp()
        flips = (*(flip for flip in draft.after.flips if abs(seconds - flip) < CALM_SECONDS), seconds)
        draft.change(flips=flips[-2 * MOST_FLIPS :])
        if draft.after.flapping_since is not None:
            return
        if len(flips) > MOST_FLIPS:
            draft.change(_FLAPS, flapping_since=at.now)
            kind = NotificationKind.FLAPPING
        draft.kinds.append(kind)

    # -- existing alerts ---------------------------------------------------------------------------------------------

    def _follow(
        self, rule: AlertRule, key: TrackKey, track: Track, table: FactTable, at: Moment, passed: float, drafts: Drafts
    ) -> None:
        index = table.indexes.get(key[1])
        if index is None:
            if table.is_complete:
                self._end(key, track, TARGET_GONE, at, drafts)
            else:
                track.freeze(passed)
                self._note_unknown(key, track, drafts)
        else:
            track.target = table.targets[index]
            breaching = is_breaching(rule, table, index)
            if track.alert.state is AlertState.FIRING:
                self._follow_firing(rule, key, track, table, index, at, passed, drafts)
            elif breaching is None:
                track.freeze(passed)
            else:
                self._follow_other(rule, key, track, table, index, at, breaching, drafts)
        self._check_calm(key, track, at, drafts)

    def _follow_other(
        self,
        rule: AlertRule,
        key: TrackKey,
        track: Track,
        table: FactTable,
        index: int,
        at: Moment,
        breaching: bool,
        drafts: Drafts,
    ) -> None:
        """Update an alert that is pending, or resolved and possibly true again."""
        if not breaching:
            track.breaching_since = None
            if track.alert.state is AlertState.PENDING:
                # It is resolved without a notification, since none was sent.
                drafts.of(key, track).change(state=AlertState.RESOLVED)
            return
        if track.breaching_since is None:
            track.breaching_since = at.monotonic
            # Stored with its next change.
            track.alert = replace(track.alert, bound=table.targets[index].subject)
        if at.monotonic - track.breaching_since < rule.for_seconds or at.monotonic < self._settled_at:
            return
        if track.alert.state is AlertState.RESOLVED and not _is_same_incident(track, at):
            flips, flapping = track.alert.flips, track.alert.flapping_since
            alert = replace(self._new_alert(rule, table, index, at.now), bound=track.alert.bound)
            draft = drafts.begin(key, Track(alert, track.breaching_since, target=track.target))
            draft.change(flips=flips, flapping_since=flapping)
        else:
            draft = drafts.of(key, track)
        self._fire(rule, table, index, draft, at)

    def _follow_firing(
        self,
        rule: AlertRule,
        key: TrackKey,
        track: Track,
        table: FactTable,
        index: int,
        at: Moment,
        passed: float,
        drafts: Drafts,
    ) -> None:
        clear = is_clear(rule, table, index)
        if clear is None:
            track.freeze(passed)
            self._note_unknown(key, track, drafts)
            return
        if track.alert.is_unknown:
            drafts.of(key, track).change(_KNOWN, is_unknown=False)
        self._follow_value(rule, key, track, table, index, drafts)
        if not clear:
            track.clear_since = None
            return
        if track.clear_since is None:
            track.clear_since = at.monotonic
        if at.monotonic - track.clear_since >= rule.clear_seconds:
            self._resolve(drafts.of(key, track), describe_end(rule, table, index), at)

    def _follow_value(
        self, rule: AlertRule, key: TrackKey, track: Track, table: FactTable, index: int, drafts: Drafts
    ) -> None:
        value, alert = value_of(rule, table, index), drafts.current(key, track)
        severity = severity_of(rule, table, index)
        if rank(severity) > rank(alert.severity):
            draft = drafts.of(key, track)
            draft.change(
                Reason.of("the severity is now {severity}", "alert_severity", severity=_SEVERITIES[severity]),
                severity=severity,
                summary=fill(rule.summary, table, index),
                values=values_of(rule, table, index),
                notified=(),
            )
            draft.kinds.append(NotificationKind.FIRING)
        if value is None or value == alert.value:
            return
        peak = value if alert.peak is None else worse(rule, value, alert.peak)
        draft_now = drafts.get(key)
        if draft_now is not None:
            draft_now.change(value=value, peak=peak)
            return
        # Stored with its next change: each new degree would otherwise cause a write per second.
        track.alert = replace(track.alert, value=value, peak=peak)

    def _note_unknown(self, key: TrackKey, track: Track, drafts: Drafts) -> None:
        if track.alert.state is AlertState.FIRING and not track.alert.is_unknown:
            drafts.of(key, track).change(_UNKNOWN, is_unknown=True)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _resolve(self, draft: Draft, reason: str, at: Moment) -> None:
        draft.change(
            Reason(f"resolved: {reason}", _RESOLVED.said),
            state=AlertState.RESOLVED,
            resolved_at=at.now,
            resolution=reason,
            is_unknown=False,
            acknowledged_by=None,
            acknowledged_at=None,
            acknowledged_until=None,
            acknowledged_severity=None,
        )
        self._flip(draft, at, NotificationKind.RESOLVED)

    def _end(self, key: TrackKey, track: Track, reason: str, at: Moment, drafts: Drafts) -> None:
        if track.alert.state is AlertState.FIRING:
            self._resolve(drafts.of(key, track), reason, at)
        elif track.alert.state is AlertState.PENDING:
            drafts.of(key, track).change(state=AlertState.RESOLVED)

    def _check_calm(self, key: TrackKey, track: Track, at: Moment, drafts: Drafts) -> None:
        alert = drafts.current(key, track)
        if alert.flapping_since is None or not alert.flips:
            return
        # A change in the future was recorded before the clock was set back.
        if abs(at.now.timestamp() - alert.flips[-1]) < CALM_SECONDS:
            return
        draft = drafts.of(key, track)
        draft.change(_CALM, flapping_since=None, flips=())
        draft.kinds.append(NotificationKind.CALM)


#: Entries of the history. Summary and end of an alert, which follow, have texts of their own on the page.
_FIRES, _RESOLVED = Reason.of("fires", "alert_fires"), Reason.of("resolved", "alert_resolved")
_FLAPS = Reason.of("flapping: no notifications until it is stable for an hour", "alert_flaps")
_CALM = Reason.of("no longer flapping", "alert_calm")
_KNOWN = Reason.of("the condition is known again", "alert_known")
_UNKNOWN = Reason.of("the condition is unknown: the state stays as it is", "alert_unknown")
_SEVERITIES = {
    Severity.CRITICAL: Reason.of("critical", "severity_critical"),
    Severity.WARNING: Reason.of("warning", "severity_warning"),
    Severity.INFO: Reason.of("info", "severity_info"),
}


def _is_same_incident(track: Track, at: Moment) -> bool:
    ended = track.alert.resolved_at
    if ended is None or track.alert.flapping_since is not None:
        return True
    started_at = at.now - timedelta(seconds=at.monotonic - (track.breaching_since or at.monotonic))
    return abs(started_at - ended) < SAME_INCIDENT


def _title(rule: AlertRule, target: AlertTarget) -> str:
    return f"{rule.title}: {target.summary_values.get('name', target.key)}"
