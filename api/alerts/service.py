"""The service of alerts and silences."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.alerts.delivery.channels import check_id
from api.alerts.records.action_store import ActionStore
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rows import PERSONAL
from api.alerts.records.rule_store import RuleStore
from api.alerts.views import AlertDetailView, AlertView, SilenceView, show_alert, show_silence
from api.domain.access.principal import Permission, Principal
from api.domain.access.read_scope import current_scope
from api.domain.alerts.alert import Alert, AlertCounts, AlertFilter, Matcher, Silence
from api.domain.alerts.alert_action import show_action
from api.domain.alerts.channel import DeliveryFilter
from api.domain.finding import TIME_NOT_IN_FUTURE, make_finding
from api.errors import AlertNotFound, Conflict, FindingText, Invalid, NotYours, TaskNotFound
from api.util.clock import Clock
from api.util.http.pagination import Page, PageRequest
from api.util.text.ids import new_task_id

#: Longest silence, since a forgotten silence would hide alerts forever.
LONGEST_SILENCE = timedelta(days=30)

#: Maximum numbers of current and future silences: in total, and of one user without `alerts:manage`.
MOST_SILENCES, MOST_OWN_SILENCES = 1_000, 100

#: Maximum number of deliveries in the view of an alert.
_DELIVERIES = 100


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """A requested silence."""

    matchers: tuple[Matcher, ...]
    ends_at: datetime
    comment: str
    starts_at: datetime | None = None  #: None: now


class AlertService:
    """Reads and acknowledges alerts; creates and ends silences."""

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
        """Create the service. `owner_of` returns the owner of a task by its id, or raises TaskNotFound."""
        self._owner_of = owner_of
        self._store = store
        self._rules = rules
        self._outbox = outbox
        self._actions = actions
        self._clock = clock
        self._on_change = on_change

    def get_page(self, criteria: AlertFilter, page: PageRequest) -> Page[AlertView]:
        """Return alerts that the caller may see, newest first."""
        return self._store.page(criteria, page).map(show_alert)

    def count(self) -> AlertCounts:
        """Return the numbers of open alerts that the caller may see."""
        return self._store.count(current_scope.get().only_of)

    def get(self, alert_id: str, by: Principal) -> AlertDetailView:
        """Return an alert with its history.

        If the principal may manage channels, the deliveries are included. Raises AlertNotFound.
        """
        alert = self._find(alert_id)
        deliveries = None
        if by.may(Permission.ALERTS_MANAGE):
            deliveries = self._outbox.page(DeliveryFilter(alert_id=alert_id), PageRequest(_DELIVERIES)).rows
        actions = tuple(
            show_action(action, current_scope.get().sees(action.owner)) for action in self._actions.of_alert(alert_id)
        )
        return AlertDetailView(show_alert(alert), tuple(self._store.history(alert_id)), deliveries, actions)

    def acknowledge(self, alert_id: str, until: datetime | None, comment: str, by: Principal) -> AlertView:
        """Acknowledge an alert: it is not repeated, but its end is notified.

        Raises AlertNotFound, NotYours, Conflict, Invalid.
        """
        self._find_to_change(alert_id, by)
        if until is not None and until <= self._clock.now():
            raise Invalid(mistakes=[make_finding("/until", TIME_NOT_IN_FUTURE)])
        alert = self._store.acknowledge(alert_id, by.actor, until, comment, self._clock.now())
        self._on_change()
        return show_alert(alert)

    def withdraw(self, alert_id: str, by: Principal) -> AlertView:
        """Withdraw an acknowledgement. Raises AlertNotFound, NotYours, Conflict."""
        self._find_to_change(alert_id, by)
        alert = self._store.acknowledge(alert_id, None, None, "", self._clock.now())
        self._on_change()
        return show_alert(alert)

    def _find(self, alert_id: str) -> Alert:
        check_id(alert_id, "alert")
        alert, scope = self._store.get(alert_id), current_scope.get()
        if alert.scope in PERSONAL and not scope.sees(alert.owner):
            raise AlertNotFound(f'No alert has the id "{alert_id[:80]}".')
        return alert

    def _find_to_change(self, alert_id: str, by: Principal) -> None:
        """Raise AlertNotFound, or NotYours if the alert does not concern the principal's own resources."""
        alert, owner = self._find(alert_id), _limited_to(by)
        if owner is not None and alert.owner != owner:
            raise NotYours(f"{alert_id} does not concern your tasks. Ask an administrator to acknowledge it.")

    # -- silences ------------------------------------------------------------------------------------------------------

    def get_silences(self, with_ended: bool, page: PageRequest) -> Page[SilenceView]:
        """Return silences that the caller may see, newest first."""
        now, owner = self._clock.now(), current_scope.get().only_of
        return self._rules.silence_page(now, with_ended, owner, page).map(lambda silence: show_silence(silence, now))

    def get_silence(self, silence_id: str) -> SilenceView:
        """Return one silence. Raises AlertNotFound."""
        return show_silence(self._rules.get_silence(silence_id), self._clock.now())

    def silence(self, request: SilenceRequest, by: Principal) -> SilenceView:
        """Create a silence. Raises Invalid, Conflict, and NotYours if it would silence other users' alerts."""
        now, owner = self._clock.now(), _limited_to(by)
        starts_at = request.starts_at or now
        if owner is not None and not any(self._is_own(matcher, owner) for matcher in request.matchers):
            raise NotYours(
                "You may silence only alerts about your own tasks. Add a matcher without a glob: "
                f'"owner" with the value "{owner}", or "task_id" with the id of one of your tasks.'
            )
        if request.ends_at <= max(now, starts_at):
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/until", FindingText("time_not_after_start", "must be in the future and after the start")
                    )
                ]
            )
        if request.ends_at - starts_at > LONGEST_SILENCE:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/until",
                        FindingText("silence_too_long", "must be at most {days} days after the start"),
                        days=LONGEST_SILENCE.days,
                    )
                ]
            )
        self._check_limit(owner, now)
        silence_id = new_task_id("silence", now)
        made = Silence(silence_id, request.matchers, starts_at, request.ends_at, by.actor, request.comment, now, owner)
        self._rules.add_silence(made)
        self._on_change()
        return show_silence(made, now)

    def _check_limit(self, owner: str | None, now: datetime) -> None:
        """Raise Conflict if there are too many silences. The check may be exceeded by concurrent requests."""
        bounds = [(None, MOST_SILENCES)] if owner is None else [(None, MOST_SILENCES), (owner, MOST_OWN_SILENCES)]
        for whose, most in bounds:
            count = self._rules.silence_page(now, False, whose, PageRequest(1)).pagination.total
            if count >= most:
                raise Conflict(f"There are already {count:,} silences, the maximum. End some first.")

    def _is_own(self, matcher: Matcher, owner: str) -> bool:
        """Return whether a matcher matches only alerts about the owner's tasks."""
        if matcher.is_glob or matcher.label not in ("owner", "task_id"):
            return False
        if matcher.label == "owner":
            return matcher.value == owner
        try:
            return self._owner_of(matcher.value) == owner
        except TaskNotFound:
            return False

    def end_silence(self, silence_id: str, by: Principal) -> SilenceView:
        """End a silence now. Raises AlertNotFound, and NotYours for another user's silence."""
        check_id(silence_id, "silence")
        now, owner = self._clock.now(), _limited_to(by)
        if owner is not None:
            found = self._rules.get_silence(silence_id)
            if found.owner != owner and not current_scope.get().sees(found.owner):
                raise AlertNotFound(f'No silence has the id "{silence_id[:80]}".')
            if found.owner != owner:
                raise NotYours(f"{silence_id} is not your silence. Ask an administrator to end it.")
        ended = self._rules.end_silence(silence_id, now)
        self._on_change()
        return show_silence(ended, now)


def _limited_to(by: Principal) -> str | None:
    """Return the user to whose alerts the principal is limited; None if it may manage all alerts."""
    return None if by.may(Permission.ALERTS_MANAGE) else by.user_id
