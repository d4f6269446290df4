"""From facts to alerts: pending, firing, resolved; with hysteresis, flapping damped, and the unknown left as it was.

It keeps no time but the one it is given, and changes nothing durable itself: a round makes drafts, and `commit` takes
over those that were kept. Times are monotonic, so that a clock that is set fires nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.alerts.evaluation import (
    FactTable,
    fill,
    find_breaching,
    is_breaching,
    is_clear,
    say_over,
    severity_of,
    value_of,
    worse,
)
from api.alerts.tracks import Draft, Drafts, Track, TrackKey, fingerprint
from api.domain.alert import RULE_GONE, TARGET_GONE, Alert, AlertState, AlertTarget, NotificationKind
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.event import Severity
from api.util.clock import Clock

#: One that fires again so soon after it ended continues the same incident.
SAME_INCIDENT = timedelta(minutes=5)

#: More changes between firing and resolved than this within an hour is flapping; it ends after an hour without one.
MOST_FLIPS = 4
CALM_SECONDS = 3600.0

#: Alerts that one step changes and looks at, and rules that it tries: it takes some ms, however many there are.
MOST_CHANGES, MOST_LOOKS, MOST_RULES = 150, 1_500, 300

#: Seconds between two looks for what is to be forgotten.
_FORGET_SECONDS = 60.0

#: An alert that has ended is remembered for so long: to know it again, and to count how often it changes.
REMEMBERED = timedelta(seconds=CALM_SECONDS + 300)

_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


def rank(severity: Severity) -> int:
    """The weight of a severity, to compare."""
    return _RANK[severity]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a round is made."""

    now: datetime
    monotonic: float


class AlertMachine:
    """The alerts of some scopes. One thread uses it."""

    def __init__(self, clock: Clock, new_id: Callable[[datetime], str], settle_seconds: float = 10.0) -> None:
        """`settle_seconds`: for so long after a start nothing new fires, since first readings deceive."""
        self._clock = clock
        self._new_id = new_id
        self._settle_seconds = settle_seconds
        self._settled_at = float("-inf")
        self._rules_left: deque[str] = deque()
        self._keys_left: deque[TrackKey] = deque()
        self._has_keys = False
        self._forgot_at = float("-inf")
        self.tracks: dict[TrackKey, Track] = {}

    def load(self, alerts: Iterable[Alert], *, is_start: bool) -> None:
        """Takes these alerts for all that there are. After a start what was pending must hold for a moment more."""
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
                track.fired_at = monotonic - self._age_since(alert.fired_at, alert.told_at)
            self.tracks[key] = track
        if is_start:
            self._settled_at = monotonic + self._settle_seconds

    def _age_since(self, fired_at: datetime, told_at: datetime | None) -> float:
        """For how long an alert that another process knew has fired: until it was last told of, at the least."""
        latest = self._clock.steady.now() if told_at is None else max(self._clock.steady.now(), told_at)
        return max(0.0, (latest - fired_at).total_seconds())

    def step(self, rules: Mapping[str, AlertRule], tables: Mapping[RuleScope, FactTable]) -> Drafts:
        """What these facts make of the alerts, MOST_CHANGES of them at most: where that is `is_partial`, the next call
        goes on from there. Rules of scopes without a table are left as they are.
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
            if rule is not None and table is not None and rule.enabled and not self._begin_new(rule, table, at, drafts):
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
        for _ in range(MOST_LOOKS):
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
        """Takes over what was kept, and forgets what ended long ago."""
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
        if monotonic - self._forgot_at < _FORGET_SECONDS:
            return
        self._forgot_at, old = monotonic, now - REMEMBERED
        for key, track in list(self.tracks.items()):
            ended = track.alert.resolved_at
            is_old = track.alert.state is AlertState.RESOLVED and ended is not None and ended < old
            if is_old and track.alert.flapping_since is None:
                del self.tracks[key]

    # -- beginning -----------------------------------------------------------------------------------------------------

    def _begin_new(self, rule: AlertRule, table: FactTable, at: Moment, drafts: Drafts) -> bool:
        """False where there are more than this step may change."""
        for place in find_breaching(rule, table):
            target = table.targets[place]
            key = (rule.rule_id, target.key)
            if key in self.tracks:
                continue
            if len(drafts) >= MOST_CHANGES:
                return False
            alert = self._new_alert(rule, table, place, at.now)
            track = Track(alert, breaching_since=at.monotonic, target=target)
            if rule.for_seconds > 0 or at.monotonic < self._settled_at:
                drafts.begin(key, track)
            else:
                self._fire(rule, table, place, drafts.begin(key, track), at)
        return True

    def _new_alert(self, rule: AlertRule, table: FactTable, place: int, now: datetime) -> Alert:
        target = table.targets[place]
        value = value_of(rule, table, place)
        return Alert(
            alert_id=self._new_id(now),
            fingerprint=fingerprint(rule, target),
            rule_id=rule.rule_id,
            scope=rule.scope,
            target=target.key,
            labels={**target.labels, **rule.labels},
            severity=severity_of(rule, table, place),
            state=AlertState.PENDING,
            number=0,
            title=_title(rule, target),
            summary=fill(rule.summary, table, place),
            remedy=fill(rule.remedy, table, place),
            link=rule.link,
            since=now,
            updated_at=now,
            value=value,
            peak=value,
            owner=target.owner,
            bound=target.subject,
        )

    def _fire(self, rule: AlertRule, table: FactTable, place: int, draft: Draft, at: Moment) -> None:
        severity = severity_of(rule, table, place)
        draft.change(
            f"fires: {fill(rule.summary, table, place)}",
            state=AlertState.FIRING,
            fired_at=draft.after.fired_at or at.now,
            resolved_at=None,
            resolution=None,
            severity=severity,
            title=_title(rule, table.targets[place]),
            summary=fill(rule.summary, table, place),
            remedy=fill(rule.remedy, table, place),
            value=value_of(rule, table, place),
        )
        draft.track.clear_since = None
        self._flip(draft, at, NotificationKind.FIRING)

    def _flip(self, draft: Draft, at: Moment, kind: NotificationKind) -> None:
        """Counts a change between firing and resolved, and says what is to be told of it."""
        seconds = at.now.timestamp()
        flips = (*(flip for flip in draft.after.flips if abs(seconds - flip) < CALM_SECONDS), seconds)
        draft.change(flips=flips[-2 * MOST_FLIPS :])
        if draft.after.flapping_since is not None:
            return
        if len(flips) > MOST_FLIPS:
            draft.change("comes and goes: nothing is told until it is calm for an hour", flapping_since=at.now)
            kind = NotificationKind.FLAPPING
        draft.kinds.append(kind)

    # -- going on ------------------------------------------------------------------------------------------------------

    def _follow(
        self, rule: AlertRule, key: TrackKey, track: Track, table: FactTable, at: Moment, passed: float, drafts: Drafts
    ) -> None:
        place = table.places.get(key[1])
        if place is None:
            if table.is_complete:
                self._end(key, track, TARGET_GONE, at, drafts)
            else:
                track.freeze(passed)
                self._note_unknown(key, track, drafts)
        else:
            track.target = table.targets[place]
            breaching = is_breaching(rule, table, place)
            if track.alert.state is AlertState.FIRING:
                self._follow_firing(rule, key, track, table, place, at, passed, drafts)
            elif breaching is None:
                track.freeze(passed)
            else:
                self._follow_other(rule, key, track, table, place, at, breaching, drafts)
        self._look_for_calm(key, track, at, drafts)

    def _follow_other(
        self,
        rule: AlertRule,
        key: TrackKey,
        track: Track,
        table: FactTable,
        place: int,
        at: Moment,
        breaching: bool,
        drafts: Drafts,
    ) -> None:
        """One that is pending, or has ended and may begin again."""
        if not breaching:
            track.breaching_since = None
            if track.alert.state is AlertState.PENDING:
                # It ends without a word: nobody was told of it.
                drafts.of(key, track).change(state=AlertState.RESOLVED)
            return
        if track.breaching_since is None:
            track.breaching_since = at.monotonic
            # Kept with its next change.
            track.alert = replace(track.alert, bound=table.targets[place].subject)
        if at.monotonic - track.breaching_since < rule.for_seconds or at.monotonic < self._settled_at:
            return
        if track.alert.state is AlertState.RESOLVED and not _is_same_incident(track, at):
            flips, flapping = track.alert.flips, track.alert.flapping_since
            alert = replace(self._new_alert(rule, table, place, at.now), bound=track.alert.bound)
            draft = drafts.begin(key, Track(alert, track.breaching_since, target=track.target))
            draft.change(flips=flips, flapping_since=flapping)
        else:
            draft = drafts.of(key, track)
        self._fire(rule, table, place, draft, at)

    def _follow_firing(
        self,
        rule: AlertRule,
        key: TrackKey,
        track: Track,
        table: FactTable,
        place: int,
        at: Moment,
        passed: float,
        drafts: Drafts,
    ) -> None:
        clear = is_clear(rule, table, place)
        if clear is None:
            track.freeze(passed)
            self._note_unknown(key, track, drafts)
            return
        if track.alert.is_unknown:
            drafts.of(key, track).change("known again", is_unknown=False)
        self._follow_value(rule, key, track, table, place, drafts)
        if not clear:
            track.clear_since = None
            return
        if track.clear_since is None:
            track.clear_since = at.monotonic
        if at.monotonic - track.clear_since >= rule.clear_seconds:
            self._resolve(drafts.of(key, track), say_over(rule, table, place), at)

    def _follow_value(
        self, rule: AlertRule, key: TrackKey, track: Track, table: FactTable, place: int, drafts: Drafts
    ) -> None:
        value, alert = value_of(rule, table, place), drafts.current(key, track)
        severity = severity_of(rule, table, place)
        if rank(severity) > rank(alert.severity):
            draft = drafts.of(key, track)
            draft.change(f"is {severity} now", severity=severity, summary=fill(rule.summary, table, place), told=())
            draft.kinds.append(NotificationKind.FIRING)
        if value is None or value == alert.value:
            return
        peak = value if alert.peak is None else worse(rule, value, alert.peak)
        draft_now = drafts.get(key)
        if draft_now is not None:
            draft_now.change(value=value, peak=peak)
            return
        # Kept with its next change: a write for each new degree would be a write a second.
        track.alert = replace(track.alert, value=value, peak=peak)

    def _note_unknown(self, key: TrackKey, track: Track, drafts: Drafts) -> None:
        if track.alert.state is AlertState.FIRING and not track.alert.is_unknown:
            drafts.of(key, track).change("unknown at present: it stays as it was", is_unknown=True)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _resolve(self, draft: Draft, why: str, at: Moment) -> None:
        draft.change(
            f"resolved: {why}",
            state=AlertState.RESOLVED,
            resolved_at=at.now,
            resolution=why,
            is_unknown=False,
            acknowledged_by=None,
            acknowledged_at=None,
            acknowledged_until=None,
            acknowledged_severity=None,
        )
        self._flip(draft, at, NotificationKind.RESOLVED)

    def _end(self, key: TrackKey, track: Track, why: str, at: Moment, drafts: Drafts) -> None:
        if track.alert.state is AlertState.FIRING:
            self._resolve(drafts.of(key, track), why, at)
        elif track.alert.state is AlertState.PENDING:
            drafts.of(key, track).change(state=AlertState.RESOLVED)

    def _look_for_calm(self, key: TrackKey, track: Track, at: Moment, drafts: Drafts) -> None:
        alert = drafts.current(key, track)
        if alert.flapping_since is None or not alert.flips:
            return
        # A change that lies ahead was made before the clock was set back.
        if abs(at.now.timestamp() - alert.flips[-1]) < CALM_SECONDS:
            return
        draft = drafts.of(key, track)
        draft.change("is calm again", flapping_since=None, flips=())
        draft.kinds.append(NotificationKind.CALM)


def _is_same_incident(track: Track, at: Moment) -> bool:
    ended = track.alert.resolved_at
    if ended is None or track.alert.flapping_since is not None:
        return True
    began = at.now - timedelta(seconds=at.monotonic - (track.breaching_since or at.monotonic))
    return abs(began - ended) < SAME_INCIDENT


def _title(rule: AlertRule, target: AlertTarget) -> str:
    return f"{rule.title}: {target.words.get('name', target.key)}"
