"""Which GPUs are closed to trainings now: paused ones, and those outside the hours of the schedule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from api.domain.cause import Cause, CauseCode
from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.hold import Hold
from api.domain.reason import Reason
from api.domain.schedule import Schedule
from api.gpus.hold_store import HoldStore
from api.training.schedule_store import ScheduleStore
from api.util.clock import Clock

#: Codes of the reasons of closures, which a waiting task shows as its own reason.
CLOSED_CODES = frozenset({"gpu_paused", "outside_schedule", "never_open"})


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a GPU is closed, and until when. None: no window opens again."""

    reason: Reason
    until: datetime | None
    code: CauseCode

    def cause(self) -> Cause:
        """Return the cause of the end of an attempt that ran on the GPU."""
        if self.code is CauseCode.GPU_PAUSED:
            return Cause.of(
                self.code,
                "gpu_paused",
                "It has made room, because {why}.",
                "A training goes on by itself from its checkpoint. Start a rehearsal again later.",
                why=self.reason,
            )
        return Cause.of(
            self.code,
            "outside_schedule",
            "It has made room, because its hours are over: {why}.",
            "A training goes on by itself from its checkpoint. Start a rehearsal again in the next hours.",
            why=self.reason,
        )


class Closures:
    """Reads which GPUs are closed."""

    def __init__(self, holds: HoldStore, schedules: ScheduleStore, clock: Clock) -> None:
        self._holds = holds
        self._schedules = schedules
        self._clock = clock

    def of(self, offers: Iterable[GPUOffer]) -> dict[str, Closure]:
        """Return the closures of those of these GPUs that are closed now, by UUID. Raise DatabaseUnavailable."""
        now, schedule = self._clock.now(), self._schedules.read()
        pauses = {hold.gpu_uuid: hold for hold in self._holds.pauses() if (hold.expires_at or now) > now}
        if not pauses and not schedule.windows:
            return {}
        found = {gpu.uuid: _closure(gpu, pauses.get(gpu.uuid), schedule, now) for gpu in offers}
        return {uuid: closure for uuid, closure in found.items() if closure is not None}

    def end_expired(self) -> bool:
        """End the pauses that are over. Return whether there were any. Raise DatabaseUnavailable."""
        now = self._clock.now()
        is_over = any((hold.expires_at or now) <= now for hold in self._holds.pauses())
        return is_over and self._holds.end_expired(now) > 0


def _closure(gpu: GPUOffer, pause: Hold | None, schedule: Schedule, now: datetime) -> Closure | None:
    if pause is not None and pause.expires_at is not None:
        why = Reason.of(
            "GPU {gpu} is paused until {until}", "gpu_paused", gpu=gpu.index, until=_show(schedule, pause.expires_at)
        )
        return Closure(why, pause.expires_at, CauseCode.GPU_PAUSED)
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
