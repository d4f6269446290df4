"""All facts on which rules are evaluated.

A table is computed again when it may have changed, and cached until then.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.facts.ages import Ages
from api.alerts.facts.gpu_facts import GPUFacts
from api.alerts.facts.site_facts import (
    DiskFacts,
    NodeFacts,
    ServiceFacts,
    action_table,
    channel_table,
    key_table,
    reported_service_table,
    user_table,
)
from api.alerts.facts.task_facts import TaskFacts
from api.alerts.records.action_store import ActionStore
from api.alerts.records.fact_store import AlertFactStore
from api.alerts.records.outbox_store import OutboxStore
from api.domain.access.principal import AccessKey, Quota, User
from api.domain.alerts.alert import Alert
from api.domain.alerts.alert_rule import RuleScope
from api.domain.alerts.channel import Channel
from api.domain.machines.node import NodeRole
from api.domain.tasks.usage import Usage
from api.errors import DatabaseUnavailable
from api.gpus.state import GPUState
from api.util.clock import Clock

#: Seconds for which each table is cached, unless a change is reported.
_CACHE_SECONDS: Mapping[RuleScope, float] = {
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


#: Age after which a failed action is no longer a fact.
_FAILED = timedelta(hours=2)

#: Minimum number of seconds between two reads of the tasks, however often they change.
MIN_TASK_SECONDS = 1.0

#: Seconds by which an outdated table may be late. An older one is no longer computed here: another server leads, or the
#: database is unavailable.
_LATE_SECONDS = 15.0


#: The scopes of the facts that are known about a machine without a server of its own.
REPORTED_SCOPES = frozenset({RuleScope.GPU, RuleScope.SERVICE})

#: Seconds for which the roles of the machines are cached.
_REPORTED_CACHE_SECONDS = 5.0


class ReportingMachines:
    """Computes the tables of these machines, and decides which alerts are theirs. Not thread-safe."""

    def __init__(self, store: AlertFactStore, gpus: GPUFacts, own: str, clock: Clock) -> None:
        """Create the tables. `own` is the name of this machine."""
        self._store = store
        self._gpus = gpus
        self._own = own
        self._clock = clock
        self._roles: Mapping[str, NodeRole | None] = {}
        self._read_at = float("-inf")

    def tables(self, state: GPUState, waiting: float) -> tuple[FactTable, FactTable]:
        """Return the facts of their GPUs and drivers.

        `waiting` is the number of queued tasks. Raises DatabaseUnavailable.
        """
        # A head that has just started has not received a report of every machine.
        names = [name for name, role in self._read_roles().items() if role is NodeRole.NODE]
        table = self._gpus.table_of_others(state, waiting, names)
        return table, reported_service_table(state, table.is_complete)

    def owns(self, alert: Alert) -> bool:
        """Return whether an alert is about one of these machines, or about a deleted machine.

        A machine with its own server evaluates its own alerts. Raises DatabaseUnavailable.
        """
        node = alert.labels.get("node")
        if alert.scope not in REPORTED_SCOPES or node is None or node == self._own:
            return False
        return self._read_roles().get(node, NodeRole.NODE) is NodeRole.NODE

    def _read_roles(self) -> Mapping[str, NodeRole | None]:
        now = self._clock.monotonic()
        if now - self._read_at >= _REPORTED_CACHE_SECONDS:
            self._roles, self._read_at = self._store.roles(), now
        return self._roles


@dataclass(frozen=True, slots=True)
class People:
    """The sources of keys and users. Used only if authentication is on."""

    keys: Callable[[], Iterable[AccessKey]]
    users: Callable[[], Iterable[User]]
    quota_of: Callable[[str], Quota]
    usage_of: Callable[[Iterable[str]], Mapping[str, Usage]] | None


@dataclass(frozen=True, slots=True)
class FactSources:
    """The sources of the facts of each scope."""

    gpus: GPUFacts
    tasks: TaskFacts
    disks: DiskFacts
    service: ServiceFacts
    nodes: NodeFacts
    outbox: OutboxStore
    actions: ActionStore
    people: People | None = None  #: None: authentication is off


class FactTables:
    """The tables of all scopes. Not thread-safe, except `recent`."""

    def __init__(
        self,
        state: Callable[[], GPUState],
        sources: FactSources,
        clock: Clock,
        reported: ReportingMachines | None = None,
    ) -> None:
        """Create the tables. `reported` is None if no other machine reports its GPUs."""
        self._reported = reported
        self._reported_tables: dict[RuleScope, FactTable] = {}
        self._reported_at = float("-inf")
        self._state = state
        self._sources = sources
        self._clock = clock
        self._unsent, self._failed = Ages(clock), Ages(clock)
        self._seen_state: GPUState | None = None
        self._made_at: dict[RuleScope, float] = {}
        self._tables: dict[RuleScope, FactTable] = {}
        self._latest: dict[RuleScope, FactTable] = {}
        self._tasks_changed = False

    def note_news(self) -> None:
        """Record that tasks have changed."""
        self._tasks_changed = True

    def recent(self, scope: RuleScope) -> FactTable | None:
        """Return the latest table of a scope; None once it is outdated.

        May be called from any thread.
        """
        age = self._clock.monotonic() - self._made_at.get(scope, float("-inf"))
        return self._latest.get(scope) if age <= _CACHE_SECONDS[scope] + _LATE_SECONDS else None

    def tables(self, scopes: Iterable[RuleScope], channels: Iterable[Channel]) -> dict[RuleScope, FactTable]:
        """Return the tables of these scopes, without those that the unavailable database prevents."""
        state, requested = self._state(), set(scopes)
        self._expire(state)
        for scope in sorted(requested - self._tables.keys()):
            try:
                self._make(scope, state, channels)
            except DatabaseUnavailable:
                continue
        return {scope: self._tables[scope] for scope in requested if scope in self._tables}

    def reported(self, has_alerts: bool) -> dict[RuleScope, FactTable]:
        """Return the tables of the machines that report their GPUs to this one.

        Empty without such machines and without alerts of them. Their reports arrive all the time and do not expire the
        cache.
        """
        state, now = self._state(), self._clock.monotonic()
        if self._reported is None or not (state.is_fleet or has_alerts):
            return {}
        if now - self._reported_at >= _CACHE_SECONDS[RuleScope.GPU]:
            try:
                made = self._reported.tables(state, self._waiting())
            except DatabaseUnavailable:
                return {}
            self._reported_tables, self._reported_at = {table.scope: table for table in made}, now
        return self._reported_tables

    def _expire(self, state: GPUState) -> None:
        now = self._clock.monotonic()
        tasks_changed = (
            self._tasks_changed and now - self._made_at.get(RuleScope.TASK, float("-inf")) >= MIN_TASK_SECONDS
        )
        if tasks_changed:
            self._tasks_changed = False
        is_new_state = state is not self._seen_state
        self._seen_state = state
        for scope in list(self._tables):
            is_changed = (tasks_changed and scope in (RuleScope.TASK, RuleScope.QUEUE)) or (
                is_new_state and scope is RuleScope.GPU
            )
            if is_changed or now - self._made_at[scope] >= _CACHE_SECONDS[scope]:
                del self._tables[scope]

    def _make(self, scope: RuleScope, state: GPUState, channels: Iterable[Channel]) -> None:
        if scope in self._tables:
            return
        made: tuple[FactTable, ...]
        if scope is RuleScope.GPU:
            made = (self._sources.gpus.table(state, self._waiting()),)
        elif scope in (RuleScope.TASK, RuleScope.QUEUE):
            made = self._sources.tasks.tables(state)
        elif scope is RuleScope.DISK:
            made = (self._sources.disks.table(),)
        elif scope is RuleScope.SERVICE:
            made = (self._sources.service.table(state),)
        elif scope is RuleScope.NODE:
            made = (self._sources.nodes.table(),)
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
        unsent = self._sources.outbox.oldest_unsent()
        self._unsent.retain(unsent)
        return channel_table(channels, unsent, self._unsent)

    def _make_actions(self) -> FactTable:
        failed = self._sources.actions.failed_since(self._clock.steady.now() - _FAILED)
        self._failed.retain([action.action_id for action in failed])
        return action_table(failed, self._failed)

    def _make_people(self, scope: RuleScope) -> tuple[FactTable, ...]:
        people = self._sources.people
        if people is None:
            return (FactTable(scope, (), {}),)
        if scope is RuleScope.KEY:
            return (key_table(people.keys(), self._clock.now()),)
        users = list(people.users())
        usage = {} if people.usage_of is None else people.usage_of([user.user_id for user in users])
        return (user_table(users, people.quota_of, usage),)

    def _waiting(self) -> float:
        """Return the number of queued tasks, or UNKNOWN if it was not read yet."""
        queue = self._tables.get(RuleScope.QUEUE)
        return UNKNOWN if queue is None or not queue.targets else queue.value("waiting", 0)
