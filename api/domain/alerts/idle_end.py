"""The end of a rented machine: what happens when it has been idle for a while. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import Reason, ReasonCode, ReasonOrText, text_of


class IdleAction(StrEnum):
    """What happens to an idle machine."""

    WEBHOOK = "webhook"  #: WHEN_IDLE_URL is called, such as the provider's
    COMMAND = "command"  #: IDLE_COMMAND is run
    POWER_OFF = "power_off"  #: the machine is switched off


class IdleStage(StrEnum):
    """How far the end of a machine is."""

    OFF = "off"  #: nothing is configured
    BUSY = "busy"  #: something runs, waits or is uploaded, or a GPU is in use
    IDLE = "idle"  #: idle for less than WHEN_IDLE_MINUTES
    COUNTDOWN = "countdown"  #: announced; it can be held
    HELD = "held"  #: a user holds it
    ENDING = "ending"  #: the chosen models are copied, then the action is carried out
    ENDED = "ended"  #: the action was carried out; nothing more until new work has run
    BLOCKED = "blocked"  #: it failed; nothing more until new work has run or a user tries again


@dataclass(frozen=True, slots=True)
class IdleRule:
    """When a machine ends, and how."""

    action: IdleAction
    idle_seconds: float
    countdown_seconds: float


@dataclass(frozen=True, slots=True)
class IdleEnd:
    """The stored state of a machine's end."""

    stage: IdleStage = IdleStage.IDLE
    boot_id: str = ""  #: the boot of the machine in which the stage was reached
    idle_since: datetime | None = None
    ends_at: datetime | None = None  #: for display
    held_by: str | None = None  #: None: no hold
    held_until: datetime | None = None  #: None: until the hold is ended
    problem: ReasonOrText | None = None
    changed_at: datetime | None = None

    def is_held(self, now: datetime) -> bool:
        """Return whether a hold is in force."""
        return self.held_by is not None and (self.held_until is None or self.held_until > now)


@dataclass(frozen=True, slots=True)
class IdleView:
    """When this machine ends because nothing runs on it, and how."""

    action: IdleAction | None  #: what happens then; null: WHEN_IDLE_MINUTES is not set
    idle_minutes: float | None  #: minutes without work before the countdown; null: never
    countdown_seconds: float  #: length of the countdown
    stage: IdleStage  #: how far it is
    idle_since: datetime | None  #: since when nothing runs or waits; null if something does, or it is not known
    ends_at: datetime | None  #: end of the countdown; null outside of it
    held_by: str | None  #: who holds it; null if no user does
    held_until: datetime | None  #: when the hold expires; null: it never expires, or there is none
    problem: str | None  #: why the action was not carried out, and what to do; null if nothing failed
    problem_code: ReasonCode | None  #: code and parameters of the problem, for programs and translations


def show_idle_end(rule: IdleRule | None, known: IdleEnd, now: datetime) -> IdleView:
    """Return the view of a machine's end."""
    if rule is None:
        return IdleView(None, None, 0.0, IdleStage.OFF, None, None, None, None, None, None)
    held = known.is_held(now)
    is_idle = known.stage in (IdleStage.IDLE, IdleStage.COUNTDOWN)
    stage = IdleStage.HELD if held and is_idle else known.stage
    problem = known.problem
    return IdleView(
        rule.action,
        round(rule.idle_seconds / 60, 2),
        rule.countdown_seconds,
        stage,
        known.idle_since,
        known.ends_at if stage is IdleStage.COUNTDOWN else None,
        known.held_by if held else None,
        known.held_until if held else None,
        None if problem is None else text_of(problem),
        problem.said if isinstance(problem, Reason) else None,
    )
