"""Evaluates the rules, in one loop: facts become drafts, drafts become kept changes with what is to be told of them.

Of what only a machine itself knows (its GPUs, disks, its service) one server of that machine makes alerts; of
everything else, also of machines that only tell of their GPUs, one server of all on the database. Each writes as
leader, or not at all.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from api.alerts.action_plan import plan_actions
from api.alerts.channel_store import ChannelStore
from api.alerts.emergency import RULE_ID, EmergencyWord
from api.alerts.evaluation import FactTable
from api.alerts.facts import FactBoard
from api.alerts.machine import REMEMBERED, AlertMachine, rank
from api.alerts.muting import mute
from api.alerts.planning import Planner, is_reached
from api.alerts.rule_store import RuleStore
from api.alerts.store import AlertsChanged, AlertStore
from api.alerts.tracks import Draft, Drafts
from api.db.leadership import Leadership, LeadershipLost
from api.domain.alert import Alert, AlertState, Silence
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.channel import Channel
from api.errors import DatabaseUnavailable
from api.util.clock import SLACK_SECONDS, Clock
from api.util.ids import new_task_id
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds; a new state of the GPUs and a request wake the loop at once.
ROUND_SECONDS = 1.0

#: Seconds between two looks for what another server's requests have changed.
LOOK_SECONDS = 2.0

#: Seconds between two looks for who is to be told again.
REMIND_SECONDS = 5.0

#: Alerts that ended so long ago are forgotten, looked for once an hour.
KEPT = timedelta(days=90)
_FORGET_SECONDS = 3600.0


def new_action_id(now: datetime) -> str:
    """The id of an action."""
    return new_task_id("action", now)


class Section:
    """The alerts of some scopes, which one server looks after."""

    def __init__(
        self,
        scopes: frozenset[RuleScope],
        owns: Callable[[Alert], bool],
        leadership: Leadership,
        machine: AlertMachine,
        told_scopes: frozenset[RuleScope] = frozenset(),
    ) -> None:
        """`owns` tells whether a kept alert belongs to it; of the machines that only tell of their GPUs it looks after
        `told_scopes`.
        """
        self.scopes = scopes
        self.told_scopes = told_scopes
        self.owns = owns
        self.leadership = leadership
        self.machine = machine
        self.is_loaded = False
        self.is_stale = False  #: somebody else has changed its alerts
        self.has_new_channels = False


class AlertLoop:
    """The loop. `wake` and `note_news` may be called from any thread."""

    def __init__(
        self,
        sections: tuple[Section, ...],
        board: FactBoard,
        store: AlertStore,
        rules: RuleStore,
        builtin: Mapping[str, AlertRule],
        channels: ChannelStore,
        emergency: EmergencyWord,
        clock: Clock,
        on_change: Callable[[bool], None],
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called after each change that was kept, with whether anybody is to be told of it; `on_round`
        after each round that has come to its end.
        """
        self._on_round = on_round
        self._sections = sections
        self._board = board
        self._store = store
        self._rule_store = rules
        self._builtin = builtin
        self._channel_store = channels
        self._emergency = emergency
        self._clock = clock
        self._on_change = on_change
        self._version: int | None = None
        self._offset = 0.0  #: of the wall clock from the monotonic one, when silences were last read
        self._looked_at = self._reminded_at = self._forgot_at = float("-inf")
        self._rules: Mapping[str, AlertRule] = {}
        self._channels: dict[str, Channel] = {}
        self._secrets: list[tuple[Channel, bytes]] = []
        self._silences: list[Silence] = []
        self._is_failing = False
        self._thread = PeriodicThread("alerts", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to evaluate."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop; another server takes over at once."""
        if self._thread.stop(timeout=5.0):
            for section in self._sections:
                try:
                    section.leadership.release()
                except DatabaseUnavailable:
                    return

    def wake(self) -> None:
        """Has the next round begin at once, with a look for what was changed by requests."""
        self._looked_at = float("-inf")
        self._thread.trigger()

    def note_state(self) -> None:
        """Has a new state of the GPUs evaluated at once."""
        self._thread.trigger()

    def open_alerts(self) -> list[Alert]:
        """The alerts that this server looks after and that have not ended. From any thread."""
        tracks = [
            track for section in self._sections if section.is_loaded for track in list(section.machine.tracks.values())
        ]
        return [track.alert for track in tracks if track.alert.is_open]

    def run_once(self) -> None:
        """Makes one round."""
        try:
            self._round()
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("alerts cannot be kept at present", extra={"problem": error.detail})
            self._is_failing = True
        else:
            self._is_failing = False
        self._look_at_database()
        self._on_round()

    def _look_at_database(self) -> None:
        tables = self._board.tables([RuleScope.SERVICE], self._channels.values())
        self._emergency.look(self._rules.get(RULE_ID), tables.get(RuleScope.SERVICE), self._secrets)

    def _round(self) -> None:
        self._take_up_changes()
        monotonic = self._clock.monotonic()
        reminds = monotonic - self._reminded_at >= REMIND_SECONDS
        if reminds:
            self._reminded_at = monotonic
        left = list(self._sections)
        while left:
            # Where thousands change at once, each step is kept before the next is made, and nobody waits for all.
            left = [section for section in left if self._go_step(section, reminds)]
            reminds = False
        if monotonic - self._forgot_at >= _FORGET_SECONDS and any(each.is_loaded for each in self._sections):
            self._forgot_at = monotonic
            self._store.forget(self._clock.steady.now() - KEPT)

    def _go_step(self, section: Section, reminds: bool) -> bool:
        """Whether there is more to be done in this round."""
        try:
            return self._go_round(section, reminds)
        except LeadershipLost:
            section.is_loaded = False
        except (AlertsChanged, IntegrityError):
            # Somebody has acknowledged one meanwhile, or part of a long list of changes was kept before a failure.
            section.is_stale = True
        return False

    def _take_up_changes(self) -> None:
        """Reads rules, silences and channels again when a request has changed one of them, on whichever server."""
        monotonic = self._clock.monotonic()
        if monotonic - self._looked_at < LOOK_SECONDS:
            return
        version, offset = self._store.version(), self._clock.now().timestamp() - monotonic
        # A clock that was set can have ended silences, or begun them.
        if version != self._version or abs(offset - self._offset) > SLACK_SECONDS:
            self._offset = offset
            self._rules = self._rule_store.load(self._builtin)
            self._silences = self._rule_store.active_silences(self._clock.now())
            self._secrets = self._channel_store.with_secrets()
            self._channels = {channel.channel_id: channel for channel, _ in self._secrets}
            for section in self._sections:
                section.is_stale = section.has_new_channels = True
        self._version, self._looked_at = version, monotonic

    def _go_round(self, section: Section, reminds: bool) -> bool:
        if not section.leadership.hold():
            section.is_loaded = False
            return False
        if not section.is_loaded or section.is_stale:
            self._load(section)
        tables = self._find_tables(section)
        drafts = section.machine.step(self._of(section), tables)
        now = self._clock.now()
        if drafts.all or reminds or section.has_new_channels:
            self._note_acknowledged(section, drafts, now)
            mute(section.machine.tracks, drafts, self._silences, now, only_drafts=drafts.is_partial)
            self._plan(section, drafts, now, reminds)
        if drafts.all:
            self._keep(section, drafts.all, now)
        section.has_new_channels = False
        return drafts.is_partial

    def _find_tables(self, section: Section) -> dict[RuleScope, FactTable]:
        tables = self._board.tables(section.scopes, self._channels.values())
        if section.told_scopes:
            has_alerts = any(track.alert.scope in section.told_scopes for track in section.machine.tracks.values())
            tables |= self._board.told(has_alerts)
        return tables

    def _load(self, section: Section) -> None:
        known = self._store.load(self._clock.now() - REMEMBERED)
        section.machine.load(filter(section.owns, known), is_start=not section.is_loaded)
        section.is_loaded, section.is_stale = True, False

    def _of(self, section: Section) -> dict[str, AlertRule]:
        return {
            rule_id: rule for rule_id, rule in self._rules.items() if rule.scope in section.scopes | section.told_scopes
        }

    def _note_acknowledged(self, section: Section, drafts: Drafts, now: datetime) -> None:
        """An acknowledgement ends by its time, and when the alert has become graver since."""
        for key, track in section.machine.tracks.items():
            alert = drafts.current(key, track)
            if alert.acknowledged_by is None or alert.state is not AlertState.FIRING:
                continue
            before, until = alert.acknowledged_severity, alert.acknowledged_until
            is_graver = before is not None and rank(alert.severity) > rank(before)
            if is_graver or (until is not None and not _holds(alert.acknowledged_at, until, now)):
                why = "it has become graver" if is_graver else "its time is over"
                gone = dict.fromkeys(
                    ("acknowledged_by", "acknowledged_at", "acknowledged_until", "acknowledged_severity")
                )
                drafts.of(key, track).change(f"no longer acknowledged: {why}", **gone)

    def _plan(self, section: Section, drafts: Drafts, now: datetime, reminds: bool) -> None:
        planner = Planner(self._channels, now, self._clock.monotonic())
        if section.has_new_channels:
            self._tell_new_channels(section, drafts)
        for draft in drafts.all:
            rule = self._rules.get(draft.key[0])
            is_told_of = draft.after.scope in section.told_scopes
            plan_actions(draft, rule, now, new_action_id, anywhere=is_told_of)
            planner.plan(draft, rule, draft.track.target)
        if not reminds:
            return
        for key, track in section.machine.tracks.items():
            if drafts.get(key) is None and planner.has_reminder(track):
                planner.remind(drafts.of(key, track))

    def _tell_new_channels(self, section: Section, drafts: Drafts) -> None:
        """What fires is told to a channel that was made, changed or switched on since. One that is switched off counts
        as not told: what it had in the outbox was dropped.
        """
        used = {channel.channel_id for channel in self._channels.values() if channel.enabled}
        for key, track in section.machine.tracks.items():
            alert, rule = track.alert, self._rules.get(key[0])
            if alert.state is not AlertState.FIRING or drafts.get(key) is not None or alert.muted_by is not None:
                continue
            if not used.issuperset(alert.told):
                drafts.of(key, track).change(told=tuple(each for each in alert.told if each in used))
            reached = (
                channel.channel_id
                for channel in self._channels.values()
                if is_reached(channel, alert, rule, track.target)
            )
            if any(channel_id not in alert.told for channel_id in reached):
                drafts.of(key, track)

    def _keep(self, section: Section, drafts: list[Draft], now: datetime) -> None:
        changes = [draft.finished(now) for draft in drafts]
        with section.leadership.guarding():
            self._store.apply(changes, now)
        section.machine.commit(drafts, now)
        self._on_change(any(change.notifications for change in changes))


def _holds(since: datetime | None, until: datetime, now: datetime) -> bool:
    """Whether something that was set at one time, until another, holds now: not once the clock was set back before."""
    return now < until and (since is None or since <= now + timedelta(seconds=SLACK_SECONDS))
