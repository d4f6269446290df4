"""Decides whether a machine is idle: nothing runs, waits or is being uploaded, and no GPU is in use.

Unknown is not idle.
"""

from collections.abc import Callable

from api.alerts.evaluation import UNKNOWN
from api.alerts.fact_store import AlertFactStore
from api.domain.reading import FaultKind
from api.errors import DatabaseUnavailable
from api.gpus.foreign_use import is_in_use
from api.gpus.judgement import JudgedGPU
from api.gpus.state import GPUState
from api.util.clock import Clock

#: Seconds for which the result of the database query is cached.
CACHE_SECONDS = 15.0

#: Seconds after a start in which a machine is not idle: its user has just switched it on.
STARTING_SECONDS = 120.0


class IdleCheck:
    """Checks whether this machine is idle."""

    def __init__(self, state: Callable[[], GPUState], store: AlertFactStore, node: str, clock: Clock) -> None:
        self._state = state
        self._store = store
        self._node = node
        self._clock = clock
        self._started_at = clock.monotonic()
        self._read_at = float("-inf")
        self._work: str | None = None

    def fact(self) -> float:
        """Return 1 if the machine is idle, 0 if not, NaN if unknown; at most CACHE_SECONDS old."""
        now = self._clock.monotonic()
        if now - self._started_at < STARTING_SECONDS:
            return 0.0
        if now - self._read_at >= CACHE_SECONDS:
            try:
                self._work = self._store.unfinished_work(self._node, self._clock.steady.now())
            except DatabaseUnavailable:
                return UNKNOWN
            self._read_at = now
        if self._work is not None:
            return 0.0
        found = [_find_use(gpu) for gpu in self._state().gpus]
        if any(found):
            return 0.0
        return UNKNOWN if self._is_unknown() else 1.0

    def find_work(self) -> str | None:
        """Return why the machine is not idle now; None if it is. Raises DatabaseUnavailable."""
        work = self._store.unfinished_work(self._node, self._clock.steady.now())
        if work is not None:
            return work
        for gpu in self._state().gpus:
            use = _find_use(gpu)
            if use is not None:
                return use
        return "the use of its GPUs is unknown" if self._is_unknown() else None

    def _is_unknown(self) -> bool:
        state = self._state()
        return state.snapshot.problem is not None or any(_is_unknown(gpu) for gpu in state.gpus)


def _find_use(gpu: JudgedGPU) -> str | None:
    if gpu.task is not None and gpu.task.hold is None:
        return f"{gpu.task.task_id} uses GPU {gpu.reading.index}"
    return f"a program uses GPU {gpu.reading.index}" if is_in_use(gpu.reading) else None


def _is_unknown(gpu: JudgedGPU) -> bool:
    reading = gpu.reading
    if reading.fault is FaultKind.LOST:
        return False
    return gpu.judgement.stale or reading.fault is not None or reading.vitals is None or reading.processes is None
