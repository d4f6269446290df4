"""Determines whether the GPU readings are reliable. Pure functions."""

from api.domain.reading import FaultKind
from api.domain.reason import text_of
from api.domain.system import Readiness
from api.gpus.state import GPUState

#: The number of sweeps after which readings are too old for the service to be ready.
READY_SWEEPS = 3


def judge_readiness(state: GPUState, now: float, interval: float) -> Readiness:
    """Return whether the readings are reliable at the monotonic time `now`, and the reasons if not.

    `interval` is the number of seconds between two sweeps.
    """
    limit = READY_SWEEPS * interval
    reasons = [] if state.snapshot.problem is None else [text_of(state.snapshot.problem)]
    ages = [now - (state.snapshot.taken_monotonic)]
    for gpu in state.own_gpus:
        if gpu.reading.fault is FaultKind.LOST:
            continue
        read = gpu.reading.read_monotonic
        ages.append(now - (state.snapshot.taken_monotonic if read is None else read))
        if read is None:
            reasons.append(f"GPU {gpu.reading.index} has not been read yet: {text_of(gpu.reading.fault_reason or '')}")
        elif now - read > limit:
            why = text_of(gpu.reading.fault_reason or "no later sweep")
            reasons.append(f"the reading of GPU {gpu.reading.index} is older than {READY_SWEEPS} sweeps: {why}")
    if not reasons and ages[0] > limit:
        reasons.append(f"the last sweep is older than {READY_SWEEPS} intervals")
    return Readiness(
        status="not_ready" if reasons else "ready",
        reasons=tuple(reasons),
        source=state.snapshot.source,
        reading_age=round(max(ages), 1),
    )
