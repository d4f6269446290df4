"""Build the parts of alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import orjson

from api.access.audit_store import AuditStore
from api.alerts.actions.loop import ActionLoop
from api.alerts.actions.runner import ActionRunner, CommandOutcome, IdleCheck, IdleCommand, IdleCommandRunner
from api.alerts.delivery.channels import ChannelService
from api.alerts.delivery.courier import Courier
from api.alerts.delivery.environment_channel import EnvironmentChannel
from api.alerts.delivery.heartbeat import Heartbeat
from api.alerts.delivery.notifiers.addresses import AddressGuard
from api.alerts.delivery.notifiers.apprise_channel import AppriseNotifier
from api.alerts.delivery.notifiers.notifier import AddressRefused, Notifier
from api.alerts.delivery.notifiers.webhook import WebhookNotifier, ping
from api.alerts.delivery.outbox import Outbox
from api.alerts.delivery.thread_senders import ThreadSenders
from api.alerts.delivery.worker_senders import WorkerSenders
from api.alerts.facts.all_facts import REPORTED_SCOPES, FactSources, FactTables, People, ReportingMachines
from api.alerts.facts.exposition import AlertExposition
from api.alerts.facts.gpu_facts import GPUFacts
from api.alerts.facts.site_facts import DiskFacts, NodeFacts, ServiceFacts, ServiceSources, StartLog, machine_scope
from api.alerts.facts.task_facts import TaskFacts
from api.alerts.idle.copies import ChosenCopies
from api.alerts.idle.ends import ConfiguredEnd, IdleEnds, MachineEnd
from api.alerts.idle.pushes import ChosenPushes
from api.alerts.idle.store import IdleStore
from api.alerts.loop import AlertLoop, EmergencyNotifier, Section
from api.alerts.publisher import AlertPublisher
from api.alerts.records.action_store import ActionStore
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.fact_store import AlertFactStore
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.current_rules import CurrentRules
from api.alerts.rules.service import RuleService
from api.alerts.service import AlertService
from api.alerts.state_machine import AlertStateMachine
from api.composition.access import AccessParts
from api.composition.library import Library
from api.composition.observability.celery_transport import CeleryTransport
from api.composition.training import TrainingParts
from api.config import Config, ConfigError, child_environment
from api.db.audit_chain import log
from api.db.database import Database
from api.db.leadership import Leadership
from api.db.sealing import Sealer
from api.domain.access.audit import AuditEntry
from api.domain.alerts.alert import Alert
from api.domain.alerts.alert_rule import RuleScope
from api.domain.alerts.channel import ChannelKind
from api.domain.alerts.idle_end import IdleAction, IdleRule, IdleView
from api.errors import DatabaseUnavailable
from api.executors.bounded_program import run_command
from api.gpus.service import GPUService
from api.gpus.sharing.hold_store import HoldStore
from api.gpus.sources import host
from api.nodes.server_identity import ServerIdentity
from api.nodes.server_store import ServerStore
from api.streaming.models import Message
from api.system.storage_watch import StorageWatch
from api.training.queue.quotas import Quotas
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.extras import describe_missing
from api.util.text.ids import new_task_id

#: The leadership scope of all alerts that do not belong to one machine.
SHARED_SCOPE = "alerts"

_OF_MACHINE = frozenset(scope for scope in RuleScope if scope.is_of_machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSources:
    """The parts whose facts the rules evaluate, and on which actions act."""

    gpus: GPUService
    watch: StorageWatch
    access: AccessParts
    quotas: Quotas | None
    training: TrainingParts
    library: Library


@dataclass(frozen=True, slots=True)
class AlertServices:
    """The services of alerts that routes call."""

    service: AlertService
    rules: RuleService
    channels: ChannelService
    idle_ends: IdleEnds


class AlertParts:
    """All parts of alerts. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        node: str,
        clock: Clock,
        sources: AlertSources,
        publish: Callable[[Message], None],
    ) -> None:
        """Raise ConfigError if PRIVATE_HOSTS_ALLOWED is invalid."""
        root, gpus, training = config.storage_root.absolute(), sources.gpus, sources.training
        self._clock = clock
        self.store, self.rule_store = AlertStore(database), RuleStore(database)
        self.outbox_store, self.channel_store = OutboxStore(database), ChannelStore(database)
        self.starts = _create_starts(root, node, clock)
        notifiers, sealer = _create_notifiers(config), create_sealer(config)
        self.environment = _create_environment(config, database, notifiers, sealer, node, clock)
        self._create_outbox(config, sealer, notifiers)
        self.news = AlertPublisher(self.store, publish)
        self.emergency = EmergencyNotifier(self.courier, clock, new_alert_id)
        self.idle = IdleCheck(lambda: gpus.state, AlertFactStore(database), node, clock)
        self.idle_ends = build_idle_ends(config, database, training, sources.library, self.idle, node, clock)
        self.action_store = ActionStore(database)
        self.actions = build_action_loop(config, database, training, self.idle, node, clock, self.news.wake)
        facts = GPUFacts(clock)
        machines = ReportingMachines(AlertFactStore(database), facts, node, clock)
        self.board = self._create_board(config, database, sources, node, facts, machines)
        guard, url = _create_guard(config), config.sign_of_life_url
        self.dead_man = Heartbeat(partial(ping, url, guard) if url else None, clock)
        own = ServerIdentity.own(node, root)
        self.loop = self._create_loop(_create_sections(database, own, machines, config.gpu_monitor_interval, clock))
        self.loop.on_round = self.dead_man.note_round
        self.exposition = AlertExposition(self.board.recent, self.loop.open_alerts)
        gpus.subscribe(lambda number, documents: self.loop.evaluate_gpus())
        database.on_append(self.loop.evaluate_tasks)
        self._create_services(gpus, sealer, notifiers, bool(config.idle_command), training.owners.of)

    def _create_loop(self, sections: tuple[Section, ...]) -> AlertLoop:
        return AlertLoop(
            sections,
            self.board,
            self.store,
            CurrentRules(self.store, self.rule_store, BUILTIN_RULES, self.channel_store, self._clock),
            self.emergency,
            self._clock,
            self._note_changes,
        )

    def _create_services(
        self,
        gpus: GPUService,
        sealer: Sealer,
        notifiers: dict[ChannelKind, Notifier],
        has_idle_command: bool,
        owner_of: Callable[[str], str | None],
    ) -> None:
        self.service = AlertService(
            self.store, self.rule_store, self.outbox_store, self.action_store, owner_of, self._clock, self._note_request
        )
        self.rules = RuleService(
            self.rule_store,
            BUILTIN_RULES,
            self._clock,
            self._note_request,
            has_idle_command,
        )
        self.channels = ChannelService(
            self.channel_store, self.outbox_store, sealer, notifiers, self._clock, self._note_request
        )

    def services(self) -> AlertServices:
        """Return what routes call."""
        return AlertServices(self.service, self.rules, self.channels, self.idle_ends)

    def _create_outbox(self, config: Config, sealer: Sealer, notifiers: dict[ChannelKind, Notifier]) -> None:
        self.courier = Courier(self.outbox_store, sealer, notifiers, self._clock, public_url=config.public_url)
        self.carriers = ThreadSenders(self.courier)
        self.remote = _create_remote(config, self.carriers, self._clock)
        self.outbox = Outbox(
            self.outbox_store, self.channel_store, self.remote or self.carriers, self._clock, new_delivery_id
        )
        self.carriers.on_done = self.outbox.wake
        if self.remote is not None:
            self.remote.on_down = self.outbox.wake

    def _create_board(
        self,
        config: Config,
        database: Database,
        sources: AlertSources,
        node: str,
        gpu_facts: GPUFacts,
        machines: ReportingMachines,
    ) -> FactTables:
        facts, root = AlertFactStore(database), config.storage_root.absolute()
        gpus, watch, access, training = sources.gpus, sources.watch, sources.access, sources.training
        people = None
        if config.needs_keys:
            usage_of = None if sources.quotas is None else sources.quotas.usage_of
            people = People(access.store.list, access.store.users, access.ring.quota_of, usage_of)
        sources_of_facts = FactSources(
            gpu_facts,
            TaskFacts(facts, self._clock, HoldStore(database).list),
            DiskFacts([Path("/"), root], node, self._clock),
            ServiceFacts(
                node,
                lambda: watch.trouble,
                self.starts,
                facts,
                self._clock,
                ServiceSources(
                    self.idle.fact,
                    self._find_end,
                    lambda: {each.name: each.problem for each in training.trackers},
                    config.comfyui_gpus,
                ),
            ),
            NodeFacts(facts, node, self._clock, lambda: tuple(gpus.state.parts.values())),
            self.outbox_store,
            self.action_store,
            people,
        )
        return FactTables(lambda: gpus.state, sources_of_facts, self._clock, machines)

    def _find_end(self) -> IdleView | None:
        try:
            return self.idle_ends.find()
        except DatabaseUnavailable:
            return None

    def _note_changes(self, is_published: bool) -> None:
        self.news.wake()
        self.actions.wake()
        if is_published:
            self.outbox.wake()

    def _note_request(self) -> None:
        self.loop.wake()
        self.news.wake()
        self.outbox.wake()

    def start(self) -> None:
        """Start every loop."""
        self.starts.note_start()
        self.environment.update()
        self.news.start()
        self.carriers.start()
        if self.remote is not None:
            self.remote.start()
        self.outbox.start()
        self.emergency.start()
        self.actions.start()
        self.idle_ends.start()
        self.dead_man.start()
        self.loop.start()

    def stop(self) -> None:
        """Stop every loop in reverse order. Waiting notifications are delivered after the next start."""
        self.dead_man.stop()
        self.loop.stop()
        self.idle_ends.stop()
        self.actions.stop()
        self.emergency.stop()
        self.outbox.stop()
        if self.remote is not None:
            self.remote.stop()
        self.carriers.stop()
        self.news.stop()
        self.starts.note_end()


def new_alert_id(now: datetime) -> str:
    """Return a new alert id."""
    return new_task_id("alert", now)


def new_delivery_id(now: datetime) -> str:
    """Return a new delivery id."""
    return new_task_id("delivery", now)


def build_courier(config: Config, database: Database, clock: Clock) -> Courier:
    """Build only the delivery of notifications, for a worker. Raises ConfigError."""
    sealer, notifiers = create_sealer(config), _create_notifiers(config)
    return Courier(OutboxStore(database), sealer, notifiers, clock, public_url=config.public_url)


def create_sealer(config: Config) -> Sealer:
    """Create the encryption of secrets in the database."""
    return Sealer(config.channel_key_file or config.storage_root.absolute() / "channels.key")


def _create_environment(
    config: Config,
    database: Database,
    notifiers: dict[ChannelKind, Notifier],
    sealer: Sealer,
    node: str,
    clock: Clock,
) -> EnvironmentChannel:
    try:
        notifier, servers = notifiers[ChannelKind.APPRISE], ServerStore(database)
        return EnvironmentChannel(config.notify_url, notifier, ChannelStore(database), servers, sealer, node, clock)
    except AddressRefused as error:
        raise ConfigError(f"NOTIFY_URL: the address {error}") from None


def _create_remote(config: Config, local: ThreadSenders, clock: Clock) -> WorkerSenders | None:
    if not config.celery_broker_url:
        return None
    if missing := describe_missing("celery", "CELERY_BROKER_URL"):
        raise ConfigError(missing)
    return WorkerSenders(CeleryTransport(config.celery_broker_url), local, clock, lambda: None)


def _create_starts(root: Path, node: str, clock: Clock) -> StartLog:
    return StartLog(root / "starts.json", host.own_identity(node), lambda other: host.is_alive(other, node), clock)


def _create_guard(config: Config) -> AddressGuard:
    try:
        return AddressGuard.of(config.private_hosts_allowed)
    except ValueError as error:
        raise ConfigError(f"PRIVATE_HOSTS_ALLOWED: {error}") from error


def _create_notifiers(config: Config) -> dict[ChannelKind, Notifier]:
    guard = _create_guard(config)
    return {ChannelKind.APPRISE: AppriseNotifier(guard), ChannelKind.WEBHOOK: WebhookNotifier(guard)}


def _candidacy(database: Database, own: ServerIdentity, scope: str, clock: Clock) -> Leadership:
    return Leadership(
        database, scope, lambda: own.as_leader(False), clock, lambda other: own.knows_gone(other, lambda: False)
    )


def _create_sections(
    database: Database, own: ServerIdentity, machines: ReportingMachines, interval: float, clock: Clock
) -> tuple[Section, Section]:
    """Return two sections of alerts: those of this machine, and those shared by all servers on the database."""

    def is_of_here(alert: Alert) -> bool:
        return alert.scope.is_of_machine and alert.labels.get("node") == own.node

    def is_shared(alert: Alert) -> bool:
        return not alert.scope.is_of_machine or machines.owns(alert)

    settle = 2 * interval
    return (
        Section(
            _OF_MACHINE,
            is_of_here,
            _candidacy(database, own, machine_scope(own.node), clock),
            AlertStateMachine(clock, new_alert_id, settle),
        ),
        Section(
            frozenset(RuleScope) - _OF_MACHINE,
            is_shared,
            _candidacy(database, own, SHARED_SCOPE, clock),
            AlertStateMachine(clock, new_alert_id, settle),
            REPORTED_SCOPES,
        ),
    )


def build_action_loop(
    config: Config,
    database: Database,
    training: TrainingParts,
    idle: IdleCheck,
    node: str,
    clock: Clock,
    on_end: Callable[[], None],
) -> ActionLoop:
    """Build the loop without starting it."""
    store = ActionStore(database)
    runner = ActionRunner(
        training.stops,
        training.services.files,
        training.services.holds,
        TaskStore(database),
        store,
        IdleCommandRunner(_build_command(config), idle, store, clock),
        clock,
    )
    return ActionLoop(store, runner, training.services.holds, node, clock, _create_note(database), on_end)


def _create_note(database: Database) -> Callable[[AuditEntry], None]:
    audit = AuditStore(database)

    def note(entry: AuditEntry) -> None:
        for record in audit.append([entry]):
            log(record)

    return note


def build_idle_ends(
    config: Config,
    database: Database,
    training: TrainingParts,
    library: Library,
    idle: IdleCheck,
    node: str,
    clock: Clock,
) -> IdleEnds:
    """Build the end of an idle machine without starting it. Raises ConfigError."""
    root, rule = config.storage_root.absolute(), _read_idle_rule(config)
    chosen = TaskStore(database).chosen_models
    copies = ChosenCopies(chosen, root, config.when_idle_copy_to)
    registry = library.registry.service
    pushes = ChosenPushes(
        chosen, root, training.services.files, registry, library.catalog.pushes, config.when_idle_push_to
    )
    end = _create_machine_end(config, rule, node)
    return IdleEnds(
        None if rule is None else ConfiguredEnd(rule, copies, pushes, end),
        IdleStore(database, node),
        idle,
        _candidacy(database, ServerIdentity.own(node, root), machine_scope(node, "idle"), clock),
        node,
        clock,
        _create_note(database),
    )


def _read_idle_rule(config: Config) -> IdleRule | None:
    if config.when_idle_minutes is None:
        return None
    if config.when_idle is None:
        raise ConfigError("WHEN_IDLE_MINUTES is set: set WHEN_IDLE to webhook, command or power_off, too")
    action = IdleAction(config.when_idle)
    needed = {IdleAction.WEBHOOK: config.when_idle_url, IdleAction.COMMAND: config.idle_command}
    if not needed.get(action, True):
        name = "WHEN_IDLE_URL" if action is IdleAction.WEBHOOK else "IDLE_COMMAND"
        raise ConfigError(f"WHEN_IDLE={action} needs {name}")
    return IdleRule(action, 60 * config.when_idle_minutes, config.when_idle_countdown_seconds)


def _create_machine_end(config: Config, rule: IdleRule | None, node: str) -> MachineEnd:
    if rule is not None and rule.action is IdleAction.WEBHOOK:
        body, guard = orjson.dumps({"event": "machine_idle", "node": node}), _create_guard(config)
        return lambda: ping(config.when_idle_url, guard, body)
    is_command = rule is not None and rule.action is IdleAction.COMMAND
    command = config.idle_command if is_command else config.when_idle_power_off_command
    return lambda: run_command(command, child_environment())


def _build_command(config: Config) -> IdleCommand | None:
    if not config.idle_command:
        return None
    return lambda: CommandOutcome(run_command(config.idle_command, child_environment()))
