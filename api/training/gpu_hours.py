"""The return of used GPU hours to a quota, 24 hours after their use. Pure functions."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from api.domain.usage import DAY_SECONDS, GPUHold


def when_below(holds: Iterable[GPUHold], gpu_seconds: float, now: datetime) -> datetime | None:
    """Return when the use of the last day falls to this figure if running attempts continue. None: never."""
    began = at = now.timestamp()
    used, pace, turns = _at(holds, began)
    if gpu_seconds <= 0:
        return None
    for turn, change in sorted(turns):
        then = used + pace * (turn - at)
        if then <= gpu_seconds and pace < 0:
            reached = turn - (gpu_seconds - then) / -pace
            return now + timedelta(seconds=max(0.0, reached - began))
        used, at, pace = then, turn, pace + change
    return None


def _at(holds: Iterable[GPUHold], at: float) -> tuple[float, int, list[tuple[float, int]]]:
    """Return the GPU seconds of the last day, their growth per second, and the times and amounts of its changes."""
    since, used, pace = at - DAY_SECONDS, 0.0, 0
    turns: list[tuple[float, int]] = []
    for hold in holds:
        ended = at if hold.ended_at is None else min(hold.ended_at, at)
        if ended <= since or hold.began_at > ended:
            continue
        used += hold.gpus * (ended - max(hold.began_at, since))
        # Use grows at the end of the window while GPUs are held, and shrinks at its start a day later.
        if hold.ended_at is None:
            pace += hold.gpus
        else:
            turns.append((ended + DAY_SECONDS, hold.gpus))
        if hold.began_at <= since:
            pace -= hold.gpus
        else:
            turns.append((hold.began_at + DAY_SECONDS, -hold.gpus))
    return used, pace, turns
