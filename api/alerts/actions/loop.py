"""The loop that runs the actions of alerts.

A lease on its row ensures that one server runs an action, and once.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from api.alerts.actions.runner import ActionRunner, StepResult, again_at
from api.alerts.records.action_store import ActionStore
from api.domain.access.audit import AuditEntry, AuditOutcome
from api.domain.alerts.alert_action import ActionState, AlertAction
from api.errors import DatabaseUnavailable
from api.training.queue.holds import Holds
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two polls for due actions; a changed alert wakes the loop immediately.
ROUND_SECONDS = 5.0

#: Length of an action's lease; longer than any step takes.
LEASE = timedelta(seconds=180)

#: Attempts of an action whose step raises an unexpected error.
_MOST_CRASHES = 5


class ActionLoop(LoopOwner):
    """The loop. `wake` may be called from any thread.

    Actions that a stop interrupts are checked after the next start.
    """

    _stop_seconds = 5.0

    def __init__(
        self,
        store: ActionStore,
        runner: ActionRunner,
        holds: Holds,
        node: str,
        clock: Clock,
        note: Callable[[AuditEntry], None],
        on_end: Callable[[], None],
    ) -> None:
        """Create the loop.

        `note` stores an audit entry before it returns. `on_end` is called when an action is over.
        """
        self._store = store
        self._runner = runner
        self._holds = holds
        self._node = node
        self._clock = clock
        self._note = note
        self._on_end = on_end
        self._is_failing = False
        self._thread = PeriodicThread("alert-actions", ROUND_SECONDS, self.run_once)

    def wake(self) -> None:
        """Run the next round immediately."""
        self._thread.trigger()

    def run_once(self) -> None:
        """Run one round: end the holds of resolved alerts, and run the next step of each due action."""
        try:
            self._holds.end_orphans()
            for action in self._store.due(self._node, self._clock.now()):
                if self._runner.is_ready(action):
                    self._run(action)
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning(
                    "the actions of alerts cannot run: the database is unavailable", extra={"problem": error.detail}
                )
            self._is_failing = True
        else:
            self._is_failing = False

    def _run(self, seen: AlertAction) -> None:
        claimed = self._store.claim(seen.action_id, self._clock.now(), LEASE)
        if claimed is None:
            return
        action, token = claimed
        result = self._do(action, token)
        if result.state.is_over:
            self._finish(action, token, result)
        else:
            at = again_at(result, self._clock.now())
            self._store.reschedule(action.action_id, token, result.state, result.result, at)

    def _do(self, action: AlertAction, token: str) -> StepResult:
        try:
            return self._runner.run_step(action, lambda: self._begin(action, token))
        except DatabaseUnavailable:
            # The lease expires, and then a server tries again.
            raise
        except Exception as error:
            logger.exception("an action of an alert failed unexpectedly", extra={"action": action.action_id})
            if action.attempts >= _MOST_CRASHES or action.kind.is_tried_once:
                return StepResult(ActionState.FAILED, f"{type(error).__name__}: {error}")
            return StepResult(action.state, action.result, 15.0)

    def _begin(self, action: AlertAction, token: str) -> bool:
        """Record that the action starts now, since a crash might prevent recording it afterwards."""
        if not self._store.begin(action.action_id, token):
            return False
        self._audit(action, AuditOutcome.DONE, "started")
        return True

    def _finish(self, action: AlertAction, token: str, result: StepResult) -> None:
        message = result.result or result.state
        if not self._store.finish(action, token, result.state, message, self._clock.now()):
            return
        outcome = AuditOutcome.REFUSED if result.state is ActionState.FAILED else AuditOutcome.DONE
        self._audit(action, outcome, f"{result.state}: {message}")
        extra = {"action": action.kind, "about": action.about, "alert": action.alert_id, "result": message}
        log = logger.warning if result.state is ActionState.FAILED else logger.info
        log("an action of a rule has ended", extra=extra)
        self._on_end()

    def _audit(self, action: AlertAction, outcome: AuditOutcome, message: str) -> None:
        details = {
            "alert_id": action.alert_id,
            "set_by": action.set_by,
            "action_id": action.action_id,
            "result": message,
        }
        about = action.about or action.node
        code = "action_failed" if outcome is AuditOutcome.REFUSED else None
        operation = f"alert action {action.kind}"
        self._note(
            AuditEntry(self._clock.now(), action.actor, operation, outcome, object=about, code=code, after=details)
        )
