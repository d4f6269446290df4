"""Which GPUs are closed to trainings now: paused, used by a neighbour, or outside the hours of the schedule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.machines.hold import Hold, HoldKind
from api.domain.reason import Reason
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.schedule import Schedule
from api.gpus.sharing.hold_store import HoldStore
from api.training.queue.holds import claim_id
from api.training.schedule.store import ScheduleStore
from api.util.clock import SET_SECONDS, Clock

#: Codes of the reasons of closures, which a waiting task shows as its own reason.
CLOSED_CODES = frozenset({"gpu_paused", "outside_schedule", "never_open", "neighbour"})


class NeighbourRule(StrEnum):
    """Who gets a GPU that another program (a neighbour) uses, too."""

    TRAINING_WAITS = "training_waits"  #: a training starts when the GPU is free
    FREE_IDLE = "free_idle"  #: idle neighbours are asked to free their memory before
    NEIGHBOUR_FIRST = "neighbour_first"  #: a training also leaves a GPU whose neighbour is busy


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a GPU is closed, and until when. None: no window opens again, or the time is unknown."""

    reason: Reason
    until: datetime | None
    code: CauseCode
    leaves: bool = True  #: whether tasks that run on it must leave

    def cause(self) -> Cause:
        """Return the cause of the end of an attempt that ran on the GPU."""
        if self.code is CauseCode.GPU_PAUSED:
            return Cause.of(
                self.code,
                "gpu_paused",
                "It has made room, because {why}.",
                "A training resumes automatically from its checkpoint. Start a rehearsal again later.",
                why=self.reason,
            )
        if self.code is CauseCode.NEIGHBOUR:
            return Cause.of(
                self.code,
                "neighbour",
                "It has made room for another program: {why}.",
                "A training resumes automatically when that program is idle. Start a rehearsal again later.",
                why=self.reason,
            )
        return Cause.of(
            self.code,
            "outside_schedule",
            "It has made room, because its hours are over: {why}.",
            "A training resumes automatically from its checkpoint. Start a rehearsal again when trainings may run.",
            why=self.reason,
        )


class Closures:
    """Reads which GPUs are closed."""

    #: How GPUs with neighbours are shared. It may change at run time.
    rule = NeighbourRule.FREE_IDLE
    #: The neighbours that hold memory of GPUs, as `neighbour_reason`, by UUID. Replaced as a whole.
    neighbours: Mapping[str, Reason] = MappingProxyType({})

    def __init__(self, holds: HoldStore, schedules: ScheduleStore, clock: Clock) -> None:
        self._holds = holds
        self._schedules = schedules
        self._clock = clock

    def read(self) -> "ReadClosures":
        """Read what closes GPUs now. Raise DatabaseUnavailable."""
        return ReadClosures(self._clock.now(), self._schedules.read(), self._holds.timed(), self.neighbours, self.rule)

    def of(self, offers: Iterable[GPUOffer]) -> dict[str, Closure]:
        """Return the closures of those of these GPUs that are closed now, by UUID. Raise DatabaseUnavailable."""
        return self.read().of(offers)

    def why_queue_is_held(self) -> Reason | None:
        """Return why no task of the queue may start, or None. Raise DatabaseUnavailable."""
        hold = self._holds.of_queue()
        return None if hold is None else Reason.of("the queue is held: {why}", "queue_held", why=hold.reason)

    def claim(self, uuid: str, name: str, seconds: float) -> None:
        """Close a GPU for another program, or renew its claim. Raise Conflict."""
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        self._holds.put(Hold(claim_id(uuid, name), HoldKind.CLAIM, uuid, name, "service", None, now, until))

    def end_expired(self, known: "ReadClosures") -> bool:
        """End the pauses and claims that are over. Return whether there were any. Raise DatabaseUnavailable."""
        now, timed = known.now, [hold for held in known.timed.values() for hold in held]
        # After the clock was set back, they would close their GPUs for longer than requested.
        if any((hold.created_at - now).total_seconds() > SET_SECONDS for hold in timed):
            self._holds.begin_again(now)
        is_over = any((hold.expires_at or now) <= now for hold in timed)
        return is_over and self._holds.end_expired(now) > 0


@dataclass(frozen=True, slots=True)
class ReadClosures:
    """What closes GPUs, as it was read."""

    now: datetime
    schedule: Schedule
    timed: Mapping[str, Sequence[Hold]]  #: pauses and claims, by UUID
    neighbours: Mapping[str, Reason]
    rule: NeighbourRule

    def of(self, offers: Iterable[GPUOffer]) -> dict[str, Closure]:
        """Return the closures of those of these GPUs that are closed, by UUID."""
        if not (self.timed or self.schedule.windows or self.neighbours):
            return {}
        found = dict[str, Closure]()
        for gpu in offers:
            holds = [hold for hold in self.timed.get(gpu.uuid, ()) if (hold.expires_at or self.now) > self.now]
            closure = _pause(gpu, holds, self.schedule)
            claim = _claim(gpu, holds, self.schedule, leaves=self.rule is NeighbourRule.NEIGHBOUR_FIRST)
            if claim is not None and claim.leaves:
                closure = closure or claim
            closure = closure or _outside_hours(gpu, self.schedule, self.now)
            if closure is None and gpu.held_by is None:
                closure = claim or self._neighbour(gpu)
            if closure is not None:
                found[gpu.uuid] = closure
        return found

    def _neighbour(self, gpu: GPUOffer) -> Closure | None:
        """Return the closure of a GPU of which a neighbour holds memory."""
        why = None if gpu.is_available else self.neighbours.get(gpu.uuid)
        return None if why is None else Closure(why, None, CauseCode.NEIGHBOUR, leaves=False)


def neighbour_reason(gpu: int, name: str, why: Reason) -> Reason:
    """Return why a GPU is left to a neighbour."""
    return Reason.of("{name} uses GPU {gpu}: {why}", "neighbour", gpu=gpu, name=name, why=why)


def _pause(gpu: GPUOffer, holds: Iterable[Hold], schedule: Schedule) -> Closure | None:
    for hold in holds:
        if hold.kind is HoldKind.PAUSE and hold.expires_at is not None:
            until = _show(schedule, hold.expires_at)
            why = Reason.of("GPU {gpu} is paused until {until}", "gpu_paused", gpu=gpu.index, until=until)
            return Closure(why, hold.expires_at, CauseCode.GPU_PAUSED)
    return None


def _claim(gpu: GPUOffer, holds: Iterable[Hold], schedule: Schedule, *, leaves: bool) -> Closure | None:
    """Return the closure by the claim that lasts longest."""
    ends = [(hold.expires_at, hold.reason) for hold in holds if hold.kind is HoldKind.CLAIM and hold.expires_at]
    if not ends:
        return None
    expires_at, name = max(ends)
    until = Reason.of("claimed until {until}", "claimed", until=_show(schedule, expires_at))
    return Closure(neighbour_reason(gpu.index, name, until), expires_at, CauseCode.NEIGHBOUR, leaves)


def _outside_hours(gpu: GPUOffer, schedule: Schedule, now: datetime) -> Closure | None:
    opening = schedule.opening(now, gpu.names)
    if opening.is_open:
        return None
    if opening.next_open is None:
        never = Reason.of("the schedule has no hours for GPU {gpu}", "never_open", gpu=gpu.index)
        return Closure(never, None, CauseCode.OUTSIDE_SCHEDULE)
    why = Reason.of(
        "the hours for trainings on GPU {gpu} begin at {until}",
        "outside_schedule",
        gpu=gpu.index,
        until=_show(schedule, opening.next_open),
    )
    return Closure(why, opening.next_open, CauseCode.OUTSIDE_SCHEDULE)


def _show(schedule: Schedule, at: datetime) -> str:
    return f"{schedule.localise(at):%Y-%m-%d %H:%M %Z}"


def close(offers: Sequence[GPUOffer], closures: Mapping[str, Closure]) -> list[GPUOffer]:
    """Return the offers, with closed GPUs as unavailable."""
    return [
        gpu
        if (found := closures.get(gpu.uuid)) is None
        else replace(gpu, is_available=False, held_by=None, status=GPUStatus.BUSY, reason=found.reason)
        for gpu in offers
    ]
