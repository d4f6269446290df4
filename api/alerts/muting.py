"""Of which alerts nobody is told: by a silence that somebody has made, or since a graver alert says it all."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from api.alerts.builtin_rules import INHIBITIONS
from api.alerts.tracks import Drafts, Track, TrackKey
from api.domain.alert import Alert, AlertState, Matcher, Silence

#: How the ids of silences begin; other values of `muted_by` are alerts.
SILENCE = "silence"


def matches(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher fits these labels. A label that is missing fits no matcher, not even `*`."""
    return all(_fits(matcher, labels.get(matcher.label)) for matcher in matchers)


def _fits(matcher: Matcher, value: str | None) -> bool:
    if value is None:
        return False
    return fnmatch.fnmatchcase(value, matcher.value) if matcher.is_glob else value == matcher.value


def all_labels(alert: Alert) -> dict[str, str]:
    """The labels by which people choose alerts: its own, its rule, severity and scope."""
    return {**alert.labels, "rule": alert.rule_id, "severity": alert.severity, "scope": alert.scope}


class Muting:
    """Finds what mutes an alert, among the silences and the alerts that fire."""

    def __init__(self, silences: Iterable[Silence], firing: Iterable[Alert], now: datetime) -> None:
        self._silences = [silence for silence in silences if silence.is_active(now)]
        self._sources = {
            (alert.rule_id, alert.labels.get(label, "")): alert.alert_id
            for alert in firing
            for rule_id, _, label in INHIBITIONS
            if alert.rule_id == rule_id and label in alert.labels
        }

    def find(self, alert: Alert) -> str | None:
        """What mutes this alert: the id of a silence, or of another alert; None when nothing does."""
        if self._silences:
            labels = all_labels(alert)
            for silence in self._silences:
                if silence.owner in (None, alert.owner) and matches(silence.matchers, labels):
                    return silence.silence_id
        if not self._sources:
            return None
        for rule_id, muted, label in INHIBITIONS:
            if alert.rule_id in muted and label in alert.labels:
                source = self._sources.get((rule_id, alert.labels[label]))
                if source is not None:
                    return source
        return None


def mute(
    tracks: Mapping[TrackKey, Track],
    drafts: Drafts,
    silences: Sequence[Silence],
    now: datetime,
    *,
    only_drafts: bool = False,
) -> None:
    """Notes on each alert that fires what mutes it now, where that has changed; or only on those that change."""
    seen = {key: (track, drafts.current(key, track)) for key, track in tracks.items()}
    seen |= {draft.key: (draft.track, draft.after) for draft in drafts.all}
    firing = {key: pair for key, pair in seen.items() if pair[1].state is AlertState.FIRING}
    muting = Muting(silences, [alert for _, alert in firing.values()], now)
    for key, (track, alert) in firing.items():
        if only_drafts and drafts.get(key) is None:
            continue
        by = muting.find(alert)
        if by == alert.muted_by:
            continue
        draft = drafts.get(key) or drafts.of(key, track)
        if by is None:
            draft.change("told of again", muted_by=None)
        else:
            draft.change("silenced" if by.startswith(SILENCE) else f"told of by {by}", muted_by=by)
