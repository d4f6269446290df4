"""Whether the readings of the GPUs can be relied on. Pure functions."""

from api.domain.reading import FaultKind
from api.domain.reason import text_of
from api.domain.system import Readiness
from api.gpus.state import GPUState

#: The service is not ready when its readings are older than this many sweeps.
READY_SWEEPS = 3


def judge_readiness(state: GPUState, now: float, interval: float) -> Readiness:
    """Whether the readings can be relied on at the monotonic time `now`, and the reasons when not. `interval`: seconds
    between two sweeps.
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
            why = text_of(gpu.reading.fault_reason or "no sweep since")
            reasons.append(f"the reading of GPU {gpu.reading.index} is older than {READY_SWEEPS} sweeps: {why}")
    if not reasons and ages[0] > limit:
        reasons.append(f"the last sweep is older than {READY_SWEEPS} sweeps should be")
    return Readiness(
        status="not_ready" if reasons else "ready",
        reasons=tuple(reasons),
        source=state.snapshot.source,
        reading_age=round(max(ages), 1),
    )
