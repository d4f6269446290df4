"""Whether a machine is idle: nothing runs, waits or comes in, and no GPU is at work. What is unknown is not idle."""

from collections.abc import Callable

from api.alerts.evaluation import UNKNOWN
from api.alerts.fact_store import AlertFactStore
from api.domain.reading import FaultKind
from api.errors import DatabaseUnavailable
from api.gpus.foreign_use import is_in_use
from api.gpus.judgement import JudgedGPU
from api.gpus.state import GPUState
from api.util.clock import Clock

#: Seconds for which what the database says is kept.
KEPT_SECONDS = 15.0

#: A machine that has just come up is not idle yet: who has switched it on wants it.
STARTING_SECONDS = 120.0


class IdleLook:
    """Looks whether this machine is idle."""

    def __init__(self, state: Callable[[], GPUState], store: AlertFactStore, node: str, clock: Clock) -> None:
        self._state = state
        self._store = store
        self._node = node
        self._clock = clock
        self._began_at = clock.monotonic()
        self._asked_at = float("-inf")
        self._work: str | None = None

    def fact(self) -> float:
        """1 while it is idle, 0 while it is not, NaN while nobody knows; at most KEPT_SECONDS old."""
        now = self._clock.monotonic()
        if now - self._began_at < STARTING_SECONDS:
            return 0.0
        if now - self._asked_at >= KEPT_SECONDS:
            try:
                self._work = self._store.unfinished_work(self._node, self._clock.steady.now())
            except DatabaseUnavailable:
                return UNKNOWN
            self._asked_at = now
        if self._work is not None:
            return 0.0
        found = [_why_busy(gpu) for gpu in self._state().gpus]
        if any(found):
            return 0.0
        return UNKNOWN if self._is_unknown() else 1.0

    def why_not(self) -> str | None:
        """Why the machine is not idle now, in words; None when it is. Raises DatabaseUnavailable."""
        work = self._store.unfinished_work(self._node, self._clock.steady.now())
        if work is not None:
            return work
        for gpu in self._state().gpus:
            why = _why_busy(gpu)
            if why is not None:
                return why
        return "who is at work on its GPUs is not known" if self._is_unknown() else None

    def _is_unknown(self) -> bool:
        state = self._state()
        return state.snapshot.problem is not None or any(_is_unknown(gpu) for gpu in state.gpus)


def _why_busy(gpu: JudgedGPU) -> str | None:
    if gpu.task is not None and gpu.task.hold is None:
        return f"{gpu.task.task_id} has GPU {gpu.reading.index}"
    return f"a program is at work on GPU {gpu.reading.index}" if is_in_use(gpu.reading) else None


def _is_unknown(gpu: JudgedGPU) -> bool:
    reading = gpu.reading
    if reading.fault is FaultKind.LOST:
        return False
    return gpu.judgement.stale or reading.fault is not None or reading.vitals is None or reading.processes is None
