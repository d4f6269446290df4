"""The loop that evaluates the rules.

Facts become drafts, and drafts become stored changes with their notifications.

For the facts that only a machine itself knows (its GPUs, its disks, its service), one server of that machine evaluates
the rules. For everything else, one server of all on the database does, also for machines that only report their GPUs. A
server writes only while it is the leader.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from api.alerts.actions.plan import plan_actions
from api.alerts.delivery.courier import Courier
from api.alerts.delivery.messages import write
from api.alerts.delivery.notifiers.notifier import Delivered
from api.alerts.delivery.planning import Planner, is_reached, mute
from api.alerts.evaluation import FactTable, fill, is_breaching
from api.alerts.facts.all_facts import FactTables
from api.alerts.records.alert_store import AlertsChanged, AlertStore
from api.alerts.rules.current_rules import CurrentRules, KnownChannels
from api.alerts.state_machine import REMEMBERED, AlertStateMachine, rank
from api.alerts.tracks import Draft, Drafts
from api.db.leadership import Leadership, LeadershipLost
from api.domain.alerts.alert import IS_OVER, Alert, AlertState, NotificationKind
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import AlertSnapshot, Channel
from api.domain.reason import Reason
from api.errors import DatabaseUnavailable
from api.util.clock import SLACK_SECONDS, Clock
from api.util.periodic import LoopOwner, PeriodicThread
from api.util.text.ids import new_task_id

logger = logging.getLogger(__name__)

#: Seconds between two rounds. A new GPU state and a request wake the loop immediately.
ROUND_SECONDS = 1.0

#: Seconds between two checks for repeated notifications.
REMIND_SECONDS = 5.0

#: Age at which resolved alerts are deleted, and the seconds between two deletions.
RETENTION = timedelta(days=90)
_DELETE_SECONDS = 3600.0

#: The rule whose alerts are sent directly.
RULE_ID = "database_away"


class EmergencyNotifier(LoopOwner):
    """Sends one message when the database becomes unreachable, and one when it is back.

    It uses the channels that were last read, and its own thread, since the outbox is in that database.
    """

    _stop_seconds = 0.5

    def __init__(self, courier: Courier, clock: Clock, new_id: Callable[[datetime], str]) -> None:
        self._courier = courier
        self._clock = clock
        self._new_id = new_id
        self._sent: AlertSnapshot | None = None
        self._resolution = IS_OVER
        self._pending: list[tuple[KnownChannels, AlertSnapshot]] = []
        self._thread = PeriodicThread("alert-emergency", None, self.send_pending)

    def check(self, rule: AlertRule | None, table: FactTable | None, channels: KnownChannels) -> None:
        """Send a message if the state has changed since the last call."""
        if rule is None or table is None or table.scope is not RuleScope.SERVICE or not rule.enabled:
            return
        is_away = is_breaching(rule, table, 0)
        now = self._clock.now()
        if is_away and self._sent is None:
            self._sent = self._describe(rule, table, now)
            self._resolution = fill(rule.resolved, table, 0) or IS_OVER
            self._enqueue(channels, self._sent)
        elif is_away is False and self._sent is not None:
            snapshot, self._sent = self._sent, None
            ended = replace(
                snapshot,
                kind=NotificationKind.RESOLVED,
                state=AlertState.RESOLVED,
                resolved_at=now,
                number=2,
                resolution=self._resolution,
            )
            self._enqueue(channels, ended)

    def _enqueue(self, channels: KnownChannels, snapshot: AlertSnapshot) -> None:
        self._pending.append((channels, snapshot))
        self._thread.trigger()

    def send_pending(self) -> None:
        """Send the pending messages; the body of the thread."""
        while self._pending:
            channels, snapshot = self._pending.pop(0)
            for channel, sealed in channels:
                settings = channel.settings
                is_selected = channel.enabled and not settings.only_opted_in
                if is_selected and rank(snapshot.severity) >= rank(settings.min_severity):
                    self._send(channel, sealed, snapshot)

    def _send(self, channel: Channel, sealed: bytes, snapshot: AlertSnapshot) -> None:
        message_id = f"{snapshot.alert_id}.{snapshot.number}.{channel.channel_id}"
        message = write(message_id, channel, (snapshot,), 1, self._clock.now(), self._courier.public_url)
        outcome = self._courier.send_now(channel, sealed, message)
        if not isinstance(outcome, Delivered):
            extra = {"channel": channel.name, "result": outcome.reason}
            logger.warning("the notification of the unreachable database could not be sent", extra=extra)

    def _describe(self, rule: AlertRule, table: FactTable, now: datetime) -> AlertSnapshot:
        target = table.targets[0]
        return AlertSnapshot(
            alert_id=self._new_id(now),
            number=1,
            kind=NotificationKind.FIRING,
            state=AlertState.FIRING,
            severity=rule.severity,
            rule_id=rule.rule_id,
            fingerprint=f"{rule.rule_id}@{target.key}"[:16],
            title=f"{rule.title}: {target.summary_values.get('name', target.key)}",
            summary=fill(rule.summary, table, 0),
            remedy=fill(rule.remedy, table, 0),
            link=rule.link,
            labels=dict(target.labels),
            since=now,
            fired_at=now,
            resolved_at=None,
        )


def new_action_id(now: datetime) -> str:
    """Return a new id of an action."""
    return new_task_id("action", now)


class Section:
    """The alerts of some scopes, which one server evaluates."""

    def __init__(
        self,
        scopes: frozenset[RuleScope],
        owns: Callable[[Alert], bool],
        leadership: Leadership,
        machine: AlertStateMachine,
        reported_scopes: frozenset[RuleScope] = frozenset(),
    ) -> None:
        """Create a section.

        `owns` returns whether a stored alert belongs to it. `reported_scopes` are its scopes for the machines that only
        report their GPUs.
        """
        self.scopes = scopes
        self.reported_scopes = reported_scopes
        self.owns = owns
        self.leadership = leadership
        self.machine = machine
        self.is_loaded = False
        self.is_stale = False  #: another writer has changed its alerts
        self.has_new_channels = False


class AlertLoop(LoopOwner):
    """The loop. `wake`, `evaluate_gpus` and `evaluate_tasks` may be called from any thread."""

    def __init__(
        self,
        sections: tuple[Section, ...],
        board: FactTables,
        store: AlertStore,
        current: CurrentRules,
        emergency: EmergencyNotifier,
        clock: Clock,
        on_change: Callable[[bool], None],
    ) -> None:
        """Create the loop. `on_change` is called after each stored change, with whether it has notifications."""
        self._sections = sections
        self._board = board
        self._store = store
        self._current = current
        self._emergency = emergency
        self._clock = clock
        self._on_change = on_change
        self.on_round: Callable[[], None] = lambda: None  #: called after each completed round
        self._reminded_at = self._deleted_at = float("-inf")
        self._has_task_news = False
        self._is_failing = False
        self._thread = PeriodicThread("alerts", ROUND_SECONDS, self.run_once)

    def stop(self) -> None:
        """Stop the loop. Another server takes over immediately."""
        if self._thread.stop(timeout=5.0):
            for section in self._sections:
                try:
                    section.leadership.release()
                except DatabaseUnavailable:
                    return

    def wake(self) -> None:
        """Run the next round immediately, and read the changes by requests."""
        self._current.expire()
        self._thread.trigger()

    def evaluate_gpus(self) -> None:
        """Evaluate a new GPU state immediately."""
        self._thread.trigger()

    def evaluate_tasks(self) -> None:
        """Evaluate changed tasks immediately."""
        self._has_task_news = True
        self._thread.trigger()

    def open_alerts(self) -> list[Alert]:
        """Return the open alerts that this server evaluates. May be called from any thread."""
        tracks = [
            track for section in self._sections if section.is_loaded for track in list(section.machine.tracks.values())
        ]
        return [track.alert for track in tracks if track.alert.is_open]

    def run_once(self) -> None:
        """Run one round."""
        if self._has_task_news:
            self._has_task_news = False
            self._board.note_news()
        try:
            self._round()
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("alerts cannot be stored: the database is unavailable", extra={"problem": error.detail})
            self._is_failing = True
        else:
            self._is_failing = False
        self._check_database()
        self.on_round()

    def _check_database(self) -> None:
        tables = self._board.tables([RuleScope.SERVICE], self._current.channels.values())
        self._emergency.check(self._current.rules.get(RULE_ID), tables.get(RuleScope.SERVICE), self._current.secrets)

    def _round(self) -> None:
        if self._current.refresh():
            for section in self._sections:
                section.is_stale = section.has_new_channels = True
        monotonic = self._clock.monotonic()
        reminds = monotonic - self._reminded_at >= REMIND_SECONDS
        if reminds:
            self._reminded_at = monotonic
        left = list(self._sections)
        while left:
            # If thousands of alerts change together, each step is stored before the next, so that the first need not
            # wait.
            left = [section for section in left if self._try_step(section, reminds)]
            reminds = False
        if monotonic - self._deleted_at >= _DELETE_SECONDS and any(each.is_loaded for each in self._sections):
            self._deleted_at = monotonic
            self._store.forget(self._clock.steady.now() - RETENTION)

    def _try_step(self, section: Section, reminds: bool) -> bool:
        """Run one step. Return whether there is more to do in this round."""
        try:
            return self._run_step(section, reminds)
        except LeadershipLost:
            section.is_loaded = False
        except (AlertsChanged, IntegrityError):
            # A user has acknowledged an alert in the meantime, or a failure followed the first part of a long list.
            section.is_stale = True
        return False

    def _run_step(self, section: Section, reminds: bool) -> bool:
        if not section.leadership.hold():
            section.is_loaded = False
            return False
        if not section.is_loaded or section.is_stale:
            self._load(section)
        tables = self._find_tables(section)
        drafts = section.machine.step(self._rules_of(section), tables)
        now = self._clock.now()
        if drafts.all or reminds or section.has_new_channels:
            self._expire_acknowledgements(section, drafts, now)
            mute(section.machine.tracks, drafts, self._current.silences, now, only_drafts=drafts.is_partial)
            self._plan(section, drafts, now, reminds)
        if drafts.all:
            self._store_drafts(section, drafts.all, now)
        section.has_new_channels = False
        return drafts.is_partial

    def _find_tables(self, section: Section) -> dict[RuleScope, FactTable]:
        tables = self._board.tables(section.scopes, self._current.channels.values())
        if section.reported_scopes:
            has_alerts = any(track.alert.scope in section.reported_scopes for track in section.machine.tracks.values())
            tables |= self._board.reported(has_alerts)
        return tables

    def _load(self, section: Section) -> None:
        known = self._store.load(self._clock.now() - REMEMBERED)
        section.machine.load(filter(section.owns, known), is_start=not section.is_loaded)
        section.is_loaded, section.is_stale = True, False

    def _rules_of(self, section: Section) -> dict[str, AlertRule]:
        return {
            rule_id: rule
            for rule_id, rule in self._current.rules.items()
            if rule.scope in section.scopes | section.reported_scopes
        }

    def _expire_acknowledgements(self, section: Section, drafts: Drafts, now: datetime) -> None:
        """End an acknowledgement at its time, and if the alert has become more severe."""
        for key, track in section.machine.tracks.items():
            alert = drafts.current(key, track)
            if alert.acknowledged_by is None or alert.state is not AlertState.FIRING:
                continue
            before, until = alert.acknowledged_severity, alert.acknowledged_until
            is_worse = before is not None and rank(alert.severity) > rank(before)
            if is_worse or (until is not None and not _holds(alert.acknowledged_at, until, now)):
                message = (
                    Reason.of("no longer acknowledged: the severity has increased", "alert_worse")
                    if is_worse
                    else Reason.of("no longer acknowledged: its time is over", "alert_acknowledgement_over")
                )
                cleared = dict.fromkeys(
                    ("acknowledged_by", "acknowledged_at", "acknowledged_until", "acknowledged_severity")
                )
                drafts.of(key, track).change(message, **cleared)

    def _plan(self, section: Section, drafts: Drafts, now: datetime, reminds: bool) -> None:
        planner = Planner(self._current.channels, now, self._clock.monotonic())
        if section.has_new_channels:
            self._notify_new_channels(section, drafts)
        for draft in drafts.all:
            rule = self._current.rules.get(draft.key[0])
            is_reported = draft.after.scope in section.reported_scopes
            plan_actions(draft, rule, now, new_action_id, anywhere=is_reported)
            planner.plan(draft, rule, draft.track.target)
        if not reminds:
            return
        for key, track in section.machine.tracks.items():
            if drafts.get(key) is None and planner.has_reminder(track):
                planner.remind(drafts.of(key, track))

    def _notify_new_channels(self, section: Section, drafts: Drafts) -> None:
        """Plan notifications of firing alerts to channels that were created, changed or enabled.

        A disabled channel counts as not notified, since its outbox was dropped.
        """
        used = {channel.channel_id for channel in self._current.channels.values() if channel.enabled}
        for key, track in section.machine.tracks.items():
            alert, rule = track.alert, self._current.rules.get(key[0])
            if alert.state is not AlertState.FIRING or drafts.get(key) is not None or alert.muted_by is not None:
                continue
            if not used.issuperset(alert.notified):
                drafts.of(key, track).change(notified=tuple(each for each in alert.notified if each in used))
            reached = (
                channel.channel_id
                for channel in self._current.channels.values()
                if is_reached(channel, alert, rule, track.target)
            )
            if any(channel_id not in alert.notified for channel_id in reached):
                drafts.of(key, track)

    def _store_drafts(self, section: Section, drafts: list[Draft], now: datetime) -> None:
        changes = [draft.finished(now) for draft in drafts]
        with section.leadership.guarding():
            self._store.apply(changes, now)
        section.machine.commit(drafts, now)
        self._on_change(any(change.notifications for change in changes))


def _holds(since: datetime | None, until: datetime, now: datetime) -> bool:
    """Return whether a period holds now. It does not if the clock was set back to before its start."""
    return now < until and (since is None or since <= now + timedelta(seconds=SLACK_SECONDS))
