"""When GPU hours that were used come back: each counts for a day. Pure functions."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from api.domain.usage import DAY_SECONDS, GPUHold


def when_below(holds: Iterable[GPUHold], gpu_seconds: float, now: datetime) -> datetime | None:
    """The time at which the use of the last day falls to this figure, if what goes on goes on.

    None: it never does, as with a figure of 0.
    """
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
    """The GPU seconds of the day before this time, by how much they grow each second, and when that changes by what."""
    since, used, pace = at - DAY_SECONDS, 0.0, 0
    turns: list[tuple[float, int]] = []
    for hold in holds:
        ended = at if hold.ended_at is None else min(hold.ended_at, at)
        if ended <= since or hold.began_at > ended:
            continue
        used += hold.gpus * (ended - max(hold.began_at, since))
        # The use grows at one end of the day while GPUs are held, and shrinks at the other a day later.
        if hold.ended_at is None:
            pace += hold.gpus
        else:
            turns.append((ended + DAY_SECONDS, hold.gpus))
        if hold.began_at <= since:
            pace -= hold.gpus
        else:
            turns.append((hold.began_at + DAY_SECONDS, -hold.gpus))
    return used, pace, turns
