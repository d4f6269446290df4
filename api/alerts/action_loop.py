"""Has the actions of alerts done: each row is claimed by a lease, so that of all servers one does it, and once."""

import logging
from collections.abc import Callable
from datetime import timedelta

from api.alerts.action_deeds import ActionDeeds, DeedResult, again_at
from api.alerts.action_store import ActionStore
from api.domain.alert_action import ActionState, AlertAction
from api.domain.audit import AuditEntry, AuditOutcome
from api.errors import DatabaseUnavailable
from api.training.holds import Holds
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks for what is due; a change of an alert wakes the loop at once.
ROUND_SECONDS = 5.0

#: Whoever claims an action has it for so long; longer than any step takes.
LEASE = timedelta(seconds=180)

#: What comes to an end by a fault of ours is tried so often.
_MOST_CRASHES = 5


class ActionLoop:
    """The loop. `wake` may be called from any thread."""

    def __init__(
        self,
        store: ActionStore,
        deeds: ActionDeeds,
        holds: Holds,
        node: str,
        clock: Clock,
        note: Callable[[AuditEntry], None],
        on_end: Callable[[], None],
    ) -> None:
        """`note` keeps an entry of the audit before it returns; `on_end` is called when an action is over."""
        self._store = store
        self._deeds = deeds
        self._holds = holds
        self._node = node
        self._clock = clock
        self._note = note
        self._on_end = on_end
        self._is_failing = False
        self._thread = PeriodicThread("alert-actions", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to act."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop; what is under way is looked at after the next start."""
        self._thread.stop(timeout=5.0)

    def wake(self) -> None:
        """Has the next round begin at once."""
        self._thread.trigger()

    def run_once(self) -> None:
        """Makes one round: ends the holds of alerts that have ended, and takes each action that is due a step on."""
        try:
            self._holds.end_orphans()
            for action in self._store.due(self._node, self._clock.now()):
                if self._deeds.is_for_here(action):
                    self._go_on(action)
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("actions of alerts wait for the database", extra={"problem": error.detail})
            self._is_failing = True
        else:
            self._is_failing = False

    def _go_on(self, seen: AlertAction) -> None:
        claimed = self._store.claim(seen.action_id, self._clock.now(), LEASE)
        if claimed is None:
            return
        action, token = claimed
        result = self._do(action, token)
        if result.state.is_over:
            self._finish(action, token, result)
        else:
            at = again_at(result, self._clock.now())
            self._store.look_again(action.action_id, token, result.state, result.result, at)

    def _do(self, action: AlertAction, token: str) -> DeedResult:
        try:
            return self._deeds.go_on(action, lambda: self._begin(action, token))
        except DatabaseUnavailable:
            # Its lease ends, and then somebody tries again.
            raise
        except Exception as error:
            logger.exception("an action of an alert has failed", extra={"action": action.action_id})
            if action.attempts >= _MOST_CRASHES or action.kind.is_tried_once:
                return DeedResult(ActionState.FAILED, f"{type(error).__name__}: {error}")
            return DeedResult(action.state, action.result, 15.0)

    def _begin(self, action: AlertAction, token: str) -> bool:
        """Notes what is about to be done where nobody may be able to note it afterwards."""
        if not self._store.begin(action.action_id, token):
            return False
        self._audit(action, AuditOutcome.DONE, "is begun")
        return True

    def _finish(self, action: AlertAction, token: str, result: DeedResult) -> None:
        said = result.result or result.state
        if not self._store.finish(action, token, result.state, said, self._clock.now()):
            return
        outcome = AuditOutcome.REFUSED if result.state is ActionState.FAILED else AuditOutcome.DONE
        self._audit(action, outcome, f"{result.state}: {said}")
        extra = {"action": action.kind, "about": action.about, "alert": action.alert_id, "result": said}
        log = logger.warning if result.state is ActionState.FAILED else logger.info
        log("a rule has acted", extra=extra)
        self._on_end()

    def _audit(self, action: AlertAction, outcome: AuditOutcome, said: str) -> None:
        told = {"alert_id": action.alert_id, "set_by": action.set_by, "action_id": action.action_id, "result": said}
        about = action.about or action.node
        code = "action_failed" if outcome is AuditOutcome.REFUSED else None
        operation = f"alert action {action.kind}"
        self._note(AuditEntry(self._clock.now(), action.actor, operation, outcome, object=about, code=code, after=told))
