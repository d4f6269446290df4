"""End a rented machine when it has been idle: a countdown that users can hold, copies, pushes, then the action, once.

Times are counted by the monotonic clock of the leading server, so that neither a set clock nor a restart shortens a
countdown: after a restart the machine is idle anew. What must survive (a hold, the begun action, its outcome) is
stored.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from api.alerts.actions.runner import IdleCheck
from api.alerts.idle.copies import ChosenCopies, CopyInterrupted
from api.alerts.idle.pushes import ChosenPushes
from api.alerts.idle.store import OPEN, IdleStore
from api.db.leadership import Leadership
from api.domain.access.audit import AuditEntry, AuditOutcome
from api.domain.access.principal import Permission, Principal
from api.domain.alerts.idle_end import IdleEnd, IdleRule, IdleStage, IdleView, show_idle_end
from api.domain.reason import Reason, ReasonOrText, text_of
from api.errors import Conflict, DatabaseUnavailable, NotYours
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds.
ROUND_SECONDS = 2.0

#: An action without an outcome counts as interrupted after this many seconds. No action takes longer.
INTERRUPTED_SECONDS = 120.0

#: Seconds between two checks for work and holds while models are copied.
CHECK_SECONDS = 2.0


class MachineEnd(Protocol):
    """Ends the machine: calls the webhook, runs the command or switches it off."""

    def __call__(self) -> str | None:
        """Return the problem, or None. Takes less than INTERRUPTED_SECONDS."""
        ...


class FakeMachineEnd:
    """Counts how often the machine would end."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem
        self.count = 0

    def __call__(self) -> str | None:
        self.count += 1
        return self.problem


@dataclass(frozen=True, slots=True)
class ConfiguredEnd:
    """The end of the machine as the operator has configured it."""

    rule: IdleRule
    copies: ChosenCopies  #: made before the end
    pushes: ChosenPushes  #: made when the machine becomes idle, and checked before the end
    end: MachineEnd


class IdleEnds(LoopOwner):
    """The end of this machine. Requests read and hold it; the loop of one server carries it out.

    After a stop another server takes over.
    """

    _stop_seconds = 5.0

    def __init__(
        self,
        configured: ConfiguredEnd | None,
        store: IdleStore,
        idle: IdleCheck,
        leadership: Leadership,
        node: str,
        clock: Clock,
        note: Callable[[AuditEntry], None],
    ) -> None:
        """Create the loop.

        `configured` is None if the machine has no end. `note` stores an audit entry before it returns.
        """
        self._configured = configured
        self._rule = None if configured is None else configured.rule
        self._store = store
        self._idle = idle
        self._leadership = leadership
        self._node = node
        self._clock = clock
        self._note = note
        self._idle_from: tuple[float, datetime] | None = None  #: by the monotonic and the wall clock
        self._counts_from: tuple[float, datetime] | None = None
        self._checked_at = float("-inf")
        self._thread = PeriodicThread("idle-end", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Start the loop, if an end is configured."""
        if self._rule is not None:
            self._thread.start()

    # -- requests ------------------------------------------------------------------------------------------------------

    def find(self) -> IdleView:
        """Return how far the end is. Raise DatabaseUnavailable."""
        known = IdleEnd() if self._rule is None else self._store.read()
        return show_idle_end(self._rule, known, self._clock.steady.now())

    def hold(self, seconds: float | None, principal: Principal) -> IdleView:
        """Hold the end for some seconds, or with None until the hold is ended. Raise Conflict or NotYours."""
        if self._rule is None:
            raise Conflict("This machine has no end: WHEN_IDLE_MINUTES is not set, so there is nothing to hold.")
        now = self._clock.steady.now()
        until = None if seconds is None else now + timedelta(seconds=seconds)

        def check(known: IdleEnd) -> None:
            if until is not None and (known.held_until is None or known.held_until > until):
                self._check_may_shorten(known, principal)

        self._store.hold(principal.actor, until, now, check)
        self._thread.trigger()
        return self.find()

    def release(self, principal: Principal) -> IdleView:
        """End the hold. A failed end is tried again after another countdown. Raise NotYours."""
        if self._rule is not None:
            now = self._clock.steady.now()
            self._store.hold(None, None, now, lambda known: self._check_may_shorten(known, principal))
            self._thread.trigger()
        return self.find()

    def _check_may_shorten(self, known: IdleEnd, principal: Principal) -> None:
        is_own = known.held_by == principal.actor or principal.may(Permission.SYSTEM_WRITE)
        if known.is_held(self._clock.steady.now()) and not is_own:
            raise NotYours("Another user holds this machine. Ask them or an administrator to end or shorten the hold.")

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Run one round."""
        if self._configured is None:
            return
        try:
            if self._leadership.hold():
                self._run_step(self._configured)
                return
        except DatabaseUnavailable as error:
            # Unknown is not idle.
            logger.debug("the end of the machine cannot be decided", extra={"problem": error.detail})
        self._forget()

    def _run_step(self, configured: ConfiguredEnd) -> None:
        rule = configured.rule
        boot, known = self._clock.mark().boot_id, self._store.read()
        if known.stage not in OPEN and known.boot_id != boot:
            self._store.rearm(self._clock.steady.now())
            known = self._store.read()
        if known.stage is IdleStage.ENDING:
            self._check_interrupted(known)
            return
        if self._idle.find_work() is not None:
            self._forget()
            if known.stage not in OPEN:
                self._store.rearm(self._clock.steady.now())
            self._show(known, IdleStage.BUSY, boot)
            return
        monotonic = self._clock.monotonic()
        if self._idle_from is None and known.stage in OPEN:
            # The countdown begins after them. A problem is reported at its end.
            with suppress(CopyInterrupted):
                configured.pushes.make(self._may_go_on)
        self._idle_from = self._idle_from or (monotonic, self._clock.now())
        is_held = known.is_held(self._clock.steady.now())
        if known.stage not in OPEN or is_held or monotonic - self._idle_from[0] < rule.idle_seconds:
            self._counts_from = None
            self._show(known, IdleStage.IDLE, boot)
            return
        if self._counts_from is None:
            ends_at = self._clock.now() + timedelta(seconds=rule.countdown_seconds)
            self._counts_from = monotonic, ends_at
            logger.warning("the machine is idle and ends soon", extra={"action": rule.action, "ends_at": ends_at})
        self._show(known, IdleStage.COUNTDOWN, boot)
        if monotonic - self._counts_from[0] >= rule.countdown_seconds:
            self._carry_out(configured)

    def _show(self, known: IdleEnd, stage: IdleStage, boot: str) -> None:
        since = None if self._idle_from is None else self._idle_from[1]
        ends_at = None if self._counts_from is None else self._counts_from[1]
        if (known.stage, known.boot_id, known.idle_since, known.ends_at) != (stage, boot, since, ends_at):
            self._store.show(stage, boot, since, ends_at)

    def _forget(self) -> None:
        self._idle_from = self._counts_from = None

    def _check_interrupted(self, known: IdleEnd) -> None:
        """Record that a server died during the action. It is not repeated, because its progress is unknown."""
        now = self._clock.steady.now()
        if known.changed_at is not None and (now - known.changed_at).total_seconds() < INTERRUPTED_SECONDS:
            return
        problem = Reason.of(
            "The service stopped while it ended the machine. Check whether it should keep running, then try again.",
            "end_interrupted",
        )
        if self._store.finish(problem, now, (IdleStage.ENDING,)):
            self._audit(problem)

    def _carry_out(self, configured: ConfiguredEnd) -> None:
        try:
            problem: ReasonOrText | None = configured.copies.make(self._may_go_on)
            problem = problem or configured.pushes.make(self._may_go_on)
        except CopyInterrupted:
            return  # the next round sees why
        if problem is None and not self._begin():
            return
        stage = IdleStage.COUNTDOWN
        if problem is None:
            stage, why = IdleStage.ENDING, configured.end()
            if why is not None:
                action = configured.rule.action.value
                problem = Reason.of(
                    "The end by {action} failed: {why}. Correct this, then try again.",
                    "end_failed",
                    action=action,
                    why=why,
                )
        self._counts_from = None
        if self._store.finish(problem, self._clock.steady.now(), (stage,)):
            self._audit(problem)

    def _begin(self) -> bool:
        """Store and audit that the action begins, since it may leave no time for that."""
        if self._idle.find_work() is not None or not self._store.begin(self._clock.steady.now()):
            return False
        self._audit(None, "started")
        return True

    def _may_go_on(self) -> bool:
        """Return whether nothing prevents the end; it keeps the leadership meanwhile."""
        now = self._clock.monotonic()
        if now - self._checked_at < CHECK_SECONDS:
            return True
        self._checked_at = now
        is_held = self._store.read().is_held(self._clock.steady.now())
        return self._leadership.hold() and not is_held and self._idle.find_work() is None

    def _audit(self, problem: ReasonOrText | None, result: str = "done") -> None:
        failed = problem is not None
        after = {"result": text_of(problem) if problem is not None else result}
        log = logger.error if failed else logger.warning
        log("the end of the idle machine", extra=after)
        outcome = AuditOutcome.REFUSED if failed else AuditOutcome.DONE
        code = "idle_end_failed" if failed else None
        now, operation = self._clock.now(), "end of the idle machine"
        self._note(AuditEntry(now, "service", operation, outcome, object=self._node, code=code, after=after))
