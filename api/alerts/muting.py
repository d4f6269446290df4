"""Mutes alerts: by a silence, or by another alert that inhibits them."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from api.alerts.builtin_rules import INHIBITIONS
from api.alerts.tracks import Drafts, Track, TrackKey
from api.domain.alert import Alert, AlertState, Matcher, Silence

#: Prefix of the ids of silences. Other values of `muted_by` are ids of alerts.
SILENCE = "silence"


def matches(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether every matcher matches these labels. A missing label matches no matcher, not even `*`."""
    return all(_fits(matcher, labels.get(matcher.label)) for matcher in matchers)


def _fits(matcher: Matcher, value: str | None) -> bool:
    if value is None:
        return False
    return fnmatch.fnmatchcase(value, matcher.value) if matcher.is_glob else value == matcher.value


def all_labels(alert: Alert) -> dict[str, str]:
    """Return the labels by which users select alerts: its own, and its rule, severity and scope."""
    return {**alert.labels, "rule": alert.rule_id, "severity": alert.severity, "scope": alert.scope}


class Muting:
    """Finds what mutes an alert, among the silences and the firing alerts."""

    def __init__(self, silences: Iterable[Silence], firing: Iterable[Alert], now: datetime) -> None:
        self._silences = [silence for silence in silences if silence.is_active(now)]
        self._sources = {
            (alert.rule_id, alert.labels.get(label, "")): alert.alert_id
            for alert in firing
            for rule_id, _, label in INHIBITIONS
            if alert.rule_id == rule_id and label in alert.labels
        }

    def find(self, alert: Alert) -> str | None:
        """Return the id of the silence or alert that mutes this alert; None if nothing does."""
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
    """Update `muted_by` of each firing alert, or only of those in `drafts`."""
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
            draft.change("no longer muted", muted_by=None)
        else:
            draft.change("silenced" if by.startswith(SILENCE) else f"inhibited by {by}", muted_by=by)
