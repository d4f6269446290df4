"""All facts that rules are held against: each kind is made anew when it may have changed, and kept until then."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from api.alerts.action_store import ActionStore
from api.alerts.ages import Ages
from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.gpu_facts import GPUFacts
from api.alerts.outbox_store import OutboxStore
from api.alerts.site_facts import (
    DiskFacts,
    NodeFacts,
    ServiceFacts,
    action_table,
    channel_table,
    key_table,
    user_table,
)
from api.alerts.task_facts import TaskFacts
from api.alerts.told_machines import ToldMachines
from api.domain.access import AccessKey, Quota, User
from api.domain.alert_rule import RuleScope
from api.domain.channel import Channel
from api.domain.usage import Usage
from api.errors import DatabaseUnavailable
from api.gpus.state import GPUState
from api.util.clock import Clock

#: Seconds for which facts are kept, unless something tells that they have changed.
_KEPT: Mapping[RuleScope, float] = {
    RuleScope.GPU: 5.0,
    RuleScope.TASK: 5.0,
    RuleScope.QUEUE: 5.0,
    RuleScope.DISK: 15.0,
    RuleScope.SERVICE: 1.0,
    RuleScope.NODE: 10.0,
    RuleScope.CHANNEL: 10.0,
    RuleScope.ACTION: 10.0,
    RuleScope.KEY: 300.0,
    RuleScope.USER: 300.0,
}


#: Actions that failed so long ago are history.
_FAILED = timedelta(hours=2)

#: Tasks are looked at once in so many seconds at most, however much happens to them.
NEWS_SECONDS = 1.0

#: A table that is older by so much than it should be is no longer made here: another server leads, or the database is
#: away.
_LATE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class People:
    """Where the keys and users come from; only where keys are asked for."""

    keys: Callable[[], Iterable[AccessKey]]
    users: Callable[[], Iterable[User]]
    quota_of: Callable[[str], Quota]
    usage_of: Callable[[Iterable[str]], Mapping[str, Usage]] | None


class FactBoard:
    """The tables of all scopes. One thread uses it, but for `note_news`."""

    def __init__(
        self,
        state: Callable[[], GPUState],
        gpus: GPUFacts,
        tasks: TaskFacts,
        disks: DiskFacts,
        service: ServiceFacts,
        nodes: NodeFacts,
        outbox: OutboxStore,
        actions: ActionStore,
        people: People | None,
        clock: Clock,
        told: ToldMachines | None = None,
    ) -> None:
        """`told` None: no other machine tells of its GPUs."""
        self._told = told
        self._told_tables: dict[RuleScope, FactTable] = {}
        self._told_at = float("-inf")
        self._state = state
        self._gpus = gpus
        self._tasks = tasks
        self._disks = disks
        self._service = service
        self._nodes = nodes
        self._outbox = outbox
        self._actions = actions
        self._people = people
        self._clock = clock
        self._unsent, self._failed = Ages(clock), Ages(clock)
        self._seen_state: GPUState | None = None
        self._made_at: dict[RuleScope, float] = {}
        self._tables: dict[RuleScope, FactTable] = {}
        self._latest: dict[RuleScope, FactTable] = {}
        self._has_news = False

    def note_news(self) -> None:
        """Says that something has happened to tasks; from any thread."""
        self._has_news = True

    def recent(self, scope: RuleScope) -> FactTable | None:
        """The latest table of a scope while it is made anew here; None once that has stopped. From any thread."""
        age = self._clock.monotonic() - self._made_at.get(scope, float("-inf"))
        return self._latest.get(scope) if age <= _KEPT[scope] + _LATE_SECONDS else None

    def tables(self, scopes: Iterable[RuleScope], channels: Iterable[Channel]) -> dict[RuleScope, FactTable]:
        """The tables of these scopes. One that the database does not give now is missing."""
        state, wanted = self._state(), set(scopes)
        self._age(state)
        for scope in sorted(wanted - self._tables.keys()):
            try:
                self._make(scope, state, channels)
            except DatabaseUnavailable:
                continue
        return {scope: self._tables[scope] for scope in wanted if scope in self._tables}

    def told(self, has_alerts: bool) -> dict[RuleScope, FactTable]:
        """The tables of the machines that only tell of their GPUs; none where there are no such machines, and no alerts
        of any. News of them come all the time, and are not waited for.
        """
        state, now = self._state(), self._clock.monotonic()
        if self._told is None or not (state.is_fleet or has_alerts):
            return {}
        if now - self._told_at >= _KEPT[RuleScope.GPU]:
            try:
                made = self._told.tables(state, self._waiting())
            except DatabaseUnavailable:
                return {}
            self._told_tables, self._told_at = {table.scope: table for table in made}, now
        return self._told_tables

    def _age(self, state: GPUState) -> None:
        now = self._clock.monotonic()
        news = self._has_news and now - self._made_at.get(RuleScope.TASK, float("-inf")) >= NEWS_SECONDS
        if news:
            self._has_news = False
        is_new_state = state is not self._seen_state
        self._seen_state = state
        for scope in list(self._tables):
            is_news = (news and scope in (RuleScope.TASK, RuleScope.QUEUE)) or (is_new_state and scope is RuleScope.GPU)
            if is_news or now - self._made_at[scope] >= _KEPT[scope]:
                del self._tables[scope]

    def _make(self, scope: RuleScope, state: GPUState, channels: Iterable[Channel]) -> None:
        if scope in self._tables:
            return
        made: tuple[FactTable, ...]
        if scope is RuleScope.GPU:
            made = (self._gpus.table(state, self._waiting()),)
        elif scope in (RuleScope.TASK, RuleScope.QUEUE):
            made = self._tasks.tables(state)
        elif scope is RuleScope.DISK:
            made = (self._disks.table(),)
        elif scope is RuleScope.SERVICE:
            made = (self._service.table(state),)
        elif scope is RuleScope.NODE:
            made = (self._nodes.table(),)
        elif scope is RuleScope.CHANNEL:
            made = (self._make_channels(channels),)
        elif scope is RuleScope.ACTION:
            made = (self._make_actions(),)
        else:
            made = self._make_people(scope)
        for table in made:
            self._tables[table.scope] = self._latest[table.scope] = table
            self._made_at[table.scope] = self._clock.monotonic()

    def _make_channels(self, channels: Iterable[Channel]) -> FactTable:
        unsent = self._outbox.oldest_unsent()
        self._unsent.keep(unsent)
        return channel_table(channels, unsent, self._unsent)

    def _make_actions(self) -> FactTable:
        failed = self._actions.failed_since(self._clock.steady.now() - _FAILED)
        self._failed.keep([action.action_id for action in failed])
        return action_table(failed, self._failed)

    def _make_people(self, scope: RuleScope) -> tuple[FactTable, ...]:
        people = self._people
        if people is None:
            return (FactTable(scope, (), {}),)
        if scope is RuleScope.KEY:
            return (key_table(people.keys(), self._clock.now()),)
        users = list(people.users())
        usage = {} if people.usage_of is None else people.usage_of([user.user_id for user in users])
        return (user_table(users, people.quota_of, usage),)

    def _waiting(self) -> float:
        """How many tasks wait, as far as that is known here already."""
        queue = self._tables.get(RuleScope.QUEUE)
        return UNKNOWN if queue is None or not queue.targets else queue.value("waiting", 0)
