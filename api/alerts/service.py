"""Alerts and silences, as people see and handle them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.alerts.action_store import ActionStore
from api.alerts.known_ids import check_id
from api.alerts.outbox_store import OutboxStore
from api.alerts.pages import read_page
from api.alerts.rows import PERSONAL
from api.alerts.rule_store import RuleStore
from api.alerts.store import AlertStore
from api.alerts.views import AlertDetailView, AlertView, SilenceView, show_alert, show_silence
from api.domain.access import Permission, Principal
from api.domain.alert import Alert, AlertCounts, AlertFilter, Matcher, Silence
from api.domain.alert_action import show_action
from api.domain.channel import DeliveryFilter
from api.domain.sight import current_sight
from api.errors import AlertNotFound, Conflict, Invalid, Mistake, NotYours, TaskNotFound
from api.util.clock import Clock
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest

#: A silence ends some day: what nobody remembers is as bad as no alert.
LONGEST_SILENCE = timedelta(days=30)

#: Silences that hold or will, of everybody together, and of one user who may silence only their own alerts.
MOST_SILENCES, MOST_OWN_SILENCES = 1_000, 100

#: Deliveries that are shown with an alert.
_DELIVERIES = 100


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """A silence that is wanted."""

    matchers: tuple[Matcher, ...]
    ends_at: datetime
    comment: str
    starts_at: datetime | None = None  #: None: now


class AlertService:
    """Alerts and silences."""

    def __init__(
        self,
        store: AlertStore,
        rules: RuleStore,
        outbox: OutboxStore,
        actions: ActionStore,
        owner_of: Callable[[str], str | None],
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        """`owner_of` returns the owner of a task by its id, or raises TaskNotFound."""
        self._owner_of = owner_of
        self._store = store
        self._rules = rules
        self._outbox = outbox
        self._actions = actions
        self._clock = clock
        self._on_change = on_change

    def get_page(self, wanted: AlertFilter, page: PageRequest) -> Page[AlertView]:
        """Alerts, newest first, as far as whoever asks may see them."""
        return read_page(lambda *cut: self._store.page(wanted, *cut), page).map(show_alert)

    def count(self) -> AlertCounts:
        """How many are open, as far as whoever asks may see them."""
        return self._store.count(current_sight.get().only_of)

    def get(self, alert_id: str, by: Principal) -> AlertDetailView:
        """One alert with its history, and for who manages channels what was told of it. Raises AlertNotFound."""
        alert = self._find(alert_id)
        deliveries = None
        if by.may(Permission.ALERTS_MANAGE):
            rows, _ = self._outbox.page(DeliveryFilter(alert_id=alert_id), _DELIVERIES, 0, None)
            deliveries = tuple(row for _, row in rows)
        actions = tuple(
            show_action(action, current_sight.get().sees(action.owner)) for action in self._actions.of_alert(alert_id)
        )
        return AlertDetailView(show_alert(alert), tuple(self._store.history(alert_id)), deliveries, actions)

    def acknowledge(self, alert_id: str, until: datetime | None, comment: str, by: Principal) -> AlertView:
        """Says that somebody knows of an alert: it is not repeated, and its end is told.

        Raises AlertNotFound, NotYours, Conflict, Invalid.
        """
        self._find_to_change(alert_id, by)
        if until is not None and until <= self._clock.now():
            raise Invalid(mistakes=[Mistake("/until", "must be in the future")])
        alert = self._store.acknowledge(alert_id, by.actor, until, comment, self._clock.now())
        self._on_change()
        return show_alert(alert)

    def withdraw(self, alert_id: str, by: Principal) -> AlertView:
        """Takes an acknowledgement back. Raises AlertNotFound, NotYours, Conflict."""
        self._find_to_change(alert_id, by)
        alert = self._store.acknowledge(alert_id, None, None, "", self._clock.now())
        self._on_change()
        return show_alert(alert)

    def _find(self, alert_id: str) -> Alert:
        check_id(alert_id, "alert")
        alert, sight = self._store.get(alert_id), current_sight.get()
        if alert.scope in PERSONAL and not sight.sees(alert.owner):
            raise AlertNotFound(f'No alert has the id "{alert_id[:80]}".')
        return alert

    def _find_to_change(self, alert_id: str, by: Principal) -> None:
        """Raises AlertNotFound, and NotYours for an alert about what is not the principal's own."""
        alert, owner = self._find(alert_id), _limited_to(by)
        if owner is not None and alert.owner != owner:
            raise NotYours(f"{alert_id} is not about one of your tasks: ask an administrator to acknowledge it.")

    # -- silences ------------------------------------------------------------------------------------------------------

    def get_silences(self, with_ended: bool, page: PageRequest) -> Page[SilenceView]:
        """Silences, newest first, as far as the caller may see them."""
        now, owner = self._clock.now(), current_sight.get().only_of
        rows = read_page(lambda *cut: self._rules.silence_page(now, with_ended, owner, *cut), page)
        return rows.map(lambda silence: show_silence(silence, now))

    def get_silence(self, silence_id: str) -> SilenceView:
        """Return one silence. Raises AlertNotFound."""
        return show_silence(self._rules.get_silence(silence_id), self._clock.now())

    def silence(self, wanted: SilenceRequest, by: Principal) -> SilenceView:
        """Makes a silence. Raises Invalid, Conflict, and NotYours where it would silence alerts of others."""
        now, owner = self._clock.now(), _limited_to(by)
        starts_at = wanted.starts_at or now
        if owner is not None and not any(self._is_own(matcher, owner) for matcher in wanted.matchers):
            raise NotYours(
                "You may silence alerts about your own tasks only: add a matcher, without a glob, "
                f'that is "owner" with the value "{owner}", or "task_id" with the id of a task of yours.'
            )
        if wanted.ends_at <= max(now, starts_at):
            raise Invalid(mistakes=[Mistake("/until", "must be in the future, and after its beginning")])
        if wanted.ends_at - starts_at > LONGEST_SILENCE:
            raise Invalid(mistakes=[Mistake("/until", f"must be within {LONGEST_SILENCE.days} days")])
        self._check_room(owner, now)
        silence_id = new_task_id("silence", now)
        made = Silence(silence_id, wanted.matchers, starts_at, wanted.ends_at, by.actor, wanted.comment, now, owner)
        self._rules.add_silence(made)
        self._on_change()
        return show_silence(made, now)

    def _check_room(self, owner: str | None, now: datetime) -> None:
        """Raises Conflict where there are too many silences already. One more at the same time does no harm."""
        bounds = [(None, MOST_SILENCES)] if owner is None else [(None, MOST_SILENCES), (owner, MOST_OWN_SILENCES)]
        for whose, most in bounds:
            _, count = self._rules.silence_page(now, False, whose, 0, 0, None)
            if count >= most:
                raise Conflict(f"There are {count:,} silences already, which is the most: end some.")

    def _is_own(self, matcher: Matcher, owner: str) -> bool:
        """Whether what fits this matcher is about the owner's tasks."""
        if matcher.is_glob or matcher.label not in ("owner", "task_id"):
            return False
        if matcher.label == "owner":
            return matcher.value == owner
        try:
            return self._owner_of(matcher.value) == owner
        except TaskNotFound:
            return False

    def end_silence(self, silence_id: str, by: Principal) -> SilenceView:
        """Ends a silence now. Raises AlertNotFound, and NotYours for one of somebody else."""
        check_id(silence_id, "silence")
        now, owner = self._clock.now(), _limited_to(by)
        if owner is not None:
            found = self._rules.get_silence(silence_id)
            if found.owner != owner and not current_sight.get().sees(found.owner):
                raise AlertNotFound(f'No silence has the id "{silence_id[:80]}".')
            if found.owner != owner:
                raise NotYours(f"{silence_id} is not one of your silences: only administrators may end it.")
        ended = self._rules.end_silence(silence_id, now)
        self._on_change()
        return show_silence(ended, now)


def _limited_to(by: Principal) -> str | None:
    """Return the user whose alerts alone the principal may silence and acknowledge; None: everybody's."""
    return None if by.may(Permission.ALERTS_MANAGE) else by.user_id
