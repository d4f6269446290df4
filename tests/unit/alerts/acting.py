"""A machine with trainings, and with alerts whose rules act, for tests."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from api.alerts.actions.loop import ActionLoop
from api.alerts.actions.runner import STARTING_SECONDS, ActionRunner, CommandOutcome, IdleCheck, IdleCommandRunner
from api.alerts.records.action_store import ActionStore
from api.alerts.records.alert_store import AlertStore
from api.alerts.records.fact_store import AlertFactStore
from api.domain.access.audit import AuditEntry
from api.domain.alerts.alert import Alert, AlertChange, AlertState
from api.domain.alerts.alert_action import ActionKind, AlertAction, PlannedAction
from api.domain.alerts.alert_rule import RuleScope
from tests.unit.alerts.fact_builders import firing
from tests.unit.trainings import TrainingMachine


@dataclass
class ActingMachine:
    """Real stores and services; the command is a fake, and tests run the rounds."""

    machine: TrainingMachine
    command: list[CommandOutcome] = field(default_factory=lambda: [CommandOutcome(None)])
    runs: int = 0
    audited: list[AuditEntry] = field(default_factory=list)
    ends: int = 0
    has_command: bool = True

    def __post_init__(self) -> None:
        database, self.clock = self.machine.database, self.machine.clock
        self.store, self.alerts = ActionStore(database), AlertStore(database)
        self.idle = IdleCheck(lambda: self.machine.gpus.state, AlertFactStore(database), "here", self.clock)
        self.loop = self.server()

    def server(self, node: str = "here") -> ActionLoop:
        """Return the loop of another server on the same database."""
        parts, command = self.machine.parts, self.run_command if self.has_command else None
        runner = ActionRunner(
            parts.stops,
            parts.services.files,
            parts.services.holds,
            self.machine.tasks,
            self.store,
            IdleCommandRunner(command, self.idle, self.store, self.clock),
            self.clock,
        )
        return ActionLoop(
            self.store, runner, parts.services.holds, node, self.clock, self.audited.append, self.note_end
        )

    def run_command(self) -> CommandOutcome:
        self.runs += 1
        return self.command[0]

    def note_end(self) -> None:
        self.ends += 1

    def fire(self, kind: ActionKind, about: str | None = None, wait: float = 0.0, **more: Any) -> Alert:
        """Store a firing alert whose rule acts."""
        task = {"scope": RuleScope.TASK, "labels": {"task_id": about}} if kind.is_of_task else {}
        labels = {"scope": RuleScope.GPU, "labels": more["labels"]} if "labels" in more else task
        alert = replace(firing(**labels), since=self.clock.now(), fired_at=self.clock.now())
        at, owner = self.clock.now() + timedelta(seconds=wait), more.get("owner")
        node = "here" if kind in (ActionKind.HOLD_GPU, ActionKind.IDLE_COMMAND) else None
        planned = PlannedAction("action_1", kind, node, about, owner, more.get("acts_for"), "root", at)
        planned = replace(planned, attempt=more.get("attempt"))
        self.alerts.apply([AlertChange(None, alert, "fires", actions=(planned,))], self.clock.now())
        return alert

    def resolve(self, alert: Alert) -> None:
        ended = replace(alert, number=alert.number + 1, state=AlertState.RESOLVED, resolved_at=self.clock.now())
        self.alerts.apply([AlertChange(alert, ended, "over")], self.clock.now())

    def round(self, after: float = 0.0) -> AlertAction:
        """Let time pass and run a round; return the action after it."""
        self.clock.advance(after)
        self.loop.run_once()
        return self.action

    def pass_start_time(self) -> None:
        """Let enough time pass for the machine to count as idle."""
        self.clock.advance(STARTING_SECONDS)
        self.machine.gpus._monitor.sweep()

    @property
    def gpu(self) -> str:
        """Return the UUID of a GPU of the machine."""
        return self.machine.gpus.state.gpus[1].reading.uuid or ""

    @property
    def action(self) -> AlertAction:
        (action,) = self.store.of_alert("alert_1")
        return action
