"""Decide which channels are notified of an alert, and when. Pure functions."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api.alerts.rules.builtin import INHIBITIONS
from api.alerts.state_machine import rank
from api.alerts.tracks import Draft, Drafts, Track, TrackKey
from api.domain.alerts.alert import (
    Alert,
    AlertNotification,
    AlertState,
    AlertTarget,
    Matcher,
    NotificationKind,
    Silence,
)
from api.domain.alerts.alert_rule import AlertRule
from api.domain.alerts.channel import Channel, ChannelSettings, QuietHours
from api.domain.machines.gpu_event import Severity
from api.domain.reason import Reason

#: Rules that NOTIFY_URL receives although they are opt-in or below its severity, since it may be a user's only channel.
_ENVIRONMENT_RULES = frozenset({"training_finished"})


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
            draft.change(Reason.of("no longer muted", "alert_unmuted"), muted_by=None)
        else:
            is_silence = by.startswith(SILENCE)
            silenced = Reason.of("silenced", "alert_silenced")
            inhibited = Reason.of("inhibited by {alert}", "alert_inhibited", alert=by)
            draft.change(silenced if is_silence else inhibited, muted_by=by)


@dataclass(frozen=True, slots=True)
class Planner:
    """The channels at one moment."""

    channels: Mapping[str, Channel]  #: by id
    now: datetime
    monotonic: float = 0.0

    def plan(self, draft: Draft, rule: AlertRule | None, target: AlertTarget | None) -> None:
        """Add notifications to a draft, and record the notified channels."""
        kinds, alert = draft.kinds, draft.after
        if NotificationKind.FLAPPING in kinds:
            self._notify(draft, self._reached(draft, rule, target) | set(alert.notified), NotificationKind.FLAPPING)
        elif alert.flapping_since is not None:
            return
        elif alert.state is AlertState.RESOLVED:
            self._plan_end(draft, rule)
        elif alert.state is AlertState.FIRING:
            self._plan_firing(draft, rule, target)

    def _plan_end(self, draft: Draft, rule: AlertRule | None) -> None:
        ends = {NotificationKind.RESOLVED, NotificationKind.CALM} & set(draft.kinds)
        if not ends:
            return
        is_silenced = (draft.after.muted_by or "").startswith(SILENCE)
        target = draft.track.target
        is_recovery = (rule is None or not rule.is_event) and (target is None or not target.has_failed)
        notified = [self.channels[each] for each in draft.after.notified if each in self.channels]
        if is_recovery and not is_silenced:
            for channel in notified:
                if channel.enabled and channel.settings.send_resolved:
                    self._add(draft, channel, NotificationKind.RESOLVED)
        draft.change(notified=(), muted_by=None)

    def _plan_firing(self, draft: Draft, rule: AlertRule | None, target: AlertTarget | None) -> None:
        alert = draft.after
        if alert.muted_by is not None or (rule is not None and rule.is_event and not _is_new(draft)):
            return
        kind = NotificationKind.CALM if NotificationKind.CALM in draft.kinds else NotificationKind.FIRING
        reached = self._reached(draft, rule, target)
        fresh = reached if kind is NotificationKind.CALM else reached - set(alert.notified)
        self._notify(draft, fresh, kind)

    def remind(self, draft: Draft) -> None:
        """Add the due repetitions for an alert that still fires."""
        alert, now = draft.after, draft.track.now(self.monotonic, self.now)
        if not needs_reminding(alert):
            return
        for channel_id in alert.notified:
            channel = self.channels.get(channel_id)
            if channel is not None and channel.enabled and is_repeat_due(alert, channel.settings, now):
                self._add(draft, channel, NotificationKind.REPEAT)
        if draft.notifications:
            draft.change(notified_at=now)

    def has_reminder(self, track: Track) -> bool:
        """Return whether `remind` would add anything."""
        alert, now = track.alert, track.now(self.monotonic, self.now)
        if not needs_reminding(alert):
            return False
        return any(
            channel.enabled and channel.channel_id in alert.notified and is_repeat_due(alert, channel.settings, now)
            for channel in self.channels.values()
        )

    def _reached(self, draft: Draft, rule: AlertRule | None, target: AlertTarget | None) -> set[str]:
        channels = self.channels.values()
        return {channel.channel_id for channel in channels if is_reached(channel, draft.after, rule, target)}

    def _notify(self, draft: Draft, channel_ids: set[str], kind: NotificationKind) -> None:
        known = sorted(each for each in channel_ids if each in self.channels)
        for channel_id in known:
            self._add(draft, self.channels[channel_id], kind)
        if known:
            draft.change(
                notified=tuple(sorted({*draft.after.notified, *known})),
                notified_at=draft.track.now(self.monotonic, self.now),
            )

    def _add(self, draft: Draft, channel: Channel, kind: NotificationKind) -> None:
        alert, settings = draft.after, channel.settings
        at, group = self.now + timedelta(seconds=_wait(alert, settings)), group_key(alert)
        until = None if settings.quiet_hours is None else quiet_until(settings.quiet_hours, self.now)
        if until is not None and alert.severity is not Severity.CRITICAL:
            # All notifications of the quiet hours form one message.
            at, group = max(at, until), f"quiet hours until {until.isoformat()}"
        note = AlertNotification(alert.alert_id, 0, kind, channel.channel_id, alert.severity, group, at)
        draft.notifications.append(note)


def _is_new(draft: Draft) -> bool:
    """Return whether an event happens now, or was muted until now.

    A channel that is created later is not notified of it.
    """
    was_muted = draft.before is not None and draft.before.muted_by is not None
    return was_muted or NotificationKind.FIRING in draft.kinds


def group_key(alert: Alert) -> str:
    """Return the key of the group with which an alert is sent."""
    return f"{alert.rule_id} {alert.labels.get('node', '')}".strip()


def _wait(alert: Alert, settings: ChannelSettings) -> float:
    return settings.critical_wait_seconds if alert.severity is Severity.CRITICAL else settings.group_wait_seconds


def is_reached(channel: Channel, alert: Alert, rule: AlertRule | None, target: AlertTarget | None) -> bool:
    """Return whether an alert is sent through this channel."""
    if not channel.enabled or alert.labels.get("channel_id") == channel.channel_id:
        # The other channels report that this channel is broken.
        return False
    if target is not None and channel.name in target.channels and alert.rule_id in target.notified_of:
        return True
    if channel.is_from_environment and alert.rule_id in _ENVIRONMENT_RULES:
        return True
    if channel.settings.only_opted_in or (rule is not None and rule.is_opt_in):
        return False
    is_severe = rank(alert.severity) >= rank(channel.settings.min_severity)
    return is_severe and matches(channel.settings.matchers, all_labels(alert))


def needs_reminding(alert: Alert) -> bool:
    """Return whether notifications are repeated.

    They are not for an acknowledged, muted or flapping alert.
    """
    is_quiet = alert.muted_by is not None or alert.acknowledged_by is not None or alert.flapping_since is not None
    return alert.state is AlertState.FIRING and not is_quiet


def is_repeat_due(alert: Alert, settings: ChannelSettings, now: datetime) -> bool:
    """Return whether a repetition is due: at whole multiples of its interval since the alert fired."""
    intervals = {
        Severity.CRITICAL: settings.repeat_critical_seconds,
        Severity.WARNING: settings.repeat_warning_seconds,
    }
    interval = intervals.get(alert.severity)
    if interval is None or alert.fired_at is None or alert.notified_at is None:
        return False
    fired = alert.fired_at
    return (now - fired).total_seconds() // interval > (alert.notified_at - fired).total_seconds() // interval


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """Return the end of the current quiet hours, or None.

    By the wall clock of their zone, so that they stay correct when daylight saving time changes.
    """
    local = now.astimezone(ZoneInfo(quiet.zone))
    time, begins, ends = local.time(), quiet.begins, quiet.ends
    is_quiet = begins <= time < ends if begins <= ends else time >= begins or time < ends
    if not is_quiet:
        return None
    day = local.date() if time < ends else local.date() + timedelta(days=1)
    return datetime.combine(day, ends, local.tzinfo).astimezone(now.tzinfo)
