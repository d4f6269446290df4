"""Builds the actions that alert rules can trigger."""

from collections.abc import Callable

from api.access.audit_store import AuditStore
from api.alerts.action_loop import ActionLoop
from api.alerts.action_runner import ActionRunner, CommandOutcome, IdleCommand
from api.alerts.action_store import ActionStore
from api.alerts.idle import IdleCheck
from api.composition.training import TrainingParts
from api.config import Config, child_environment
from api.db.audit_chain import log
from api.db.database import Database
from api.domain.audit import AuditEntry
from api.executors.operator_command import run_command
from api.training.store import TaskStore
from api.util.clock import Clock


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
        training.service,
        training.holds,
        TaskStore(database),
        store,
        idle,
        _build_command(config),
        clock,
    )
    audit = AuditStore(database)

    def note(entry: AuditEntry) -> None:
        for record in audit.append([entry]):
            log(record)

    return ActionLoop(store, runner, training.holds, node, clock, note, on_end)


def _build_command(config: Config) -> IdleCommand | None:
    if not config.idle_command:
        return None
    return lambda: CommandOutcome(run_command(config.idle_command, child_environment()))
