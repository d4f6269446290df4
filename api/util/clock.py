"""Clocks that are passed as values, so that tests control them."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

#: Seconds by which the clocks of two servers, or one clock before and after a correction, may differ. A stored time
#: that is further in the future was written before the clock was set back.
SLACK_SECONDS = 30.0

#: The last second of a `datetime`, in Unix seconds.
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def time_of(seconds: float) -> datetime:
    """Return the UTC time of these Unix seconds.

    Times out of range become the nearest valid one, NaN becomes 1970.
    """
    return datetime.fromtimestamp(seconds if 0 <= seconds <= LAST_SECOND else LAST_SECOND * (seconds > 0), UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment by a clock that cannot be set.

    It can be compared with later moments even after a restart of the service.
    """

    boot_id: str  #: identifies the boot of the machine
    seconds: float  #: since that boot, including sleep


@dataclass(frozen=True, slots=True)
class SteadyMark:
    """A steady time, and the moment when it was read, to continue after a restart."""

    at: datetime
    mark: Mark


#: Seconds per second by which the steady time follows a wall clock that was set forward.
CATCH_UP = 4.0

#: Difference in seconds between the progress of the wall clock and of monotonic time that shows that the clock was set.
SET_SECONDS = 60.0


class Clock(Protocol):
    """Wall time for people, and monotonic time for measuring."""

    def now(self) -> datetime:
        """Return the wall clock's time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary start; never jumps."""
        ...

    def mark(self) -> Mark:
        """Return this moment, comparable even after a restart of the service."""
        ...

    @property
    def steady(self) -> "SteadyTime":
        """The wall time for deciding what is old enough to be deleted."""
        ...


class SteadyTime:
    """Wall time without jumps forward, for deciding what is old enough to be deleted.

    It is never ahead of the wall clock: it goes back together with it. If the clock is set forward, or moves while the
    machine is off, it follows by CATCH_UP seconds per second. So a wrong clock ages nothing by more than a few times
    the duration of the error, and every deletion is bounded. The only cost is that data is kept longer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wall, self._mark = clock.now(), clock.mark()
        self._at = self._wall

    def now(self) -> datetime:
        """Return the steady time in UTC."""
        return self.read().at

    def behind(self) -> timedelta:
        """Return how far the wall clock is ahead of the steady time; 0 unless it was set forward."""
        with self._lock:
            self._update()
            return self._wall - self._at

    def read(self) -> SteadyMark:
        """Return the steady time for `resume` after a restart."""
        with self._lock:
            self._update()
            return SteadyMark(self._at, self._mark)

    def resume(self, known: SteadyMark) -> None:
        """Continue from a time that was read before a restart.

        The time during which the machine was off is caught up.
        """
        with self._lock:
            wall, mark = self._clock.now(), self._clock.mark()
            is_same_boot = mark.boot_id != "" and mark.boot_id == known.mark.boot_id
            self._at = known.at
            self._advance(wall, mark, max(0.0, mark.seconds - known.mark.seconds) if is_same_boot else 0.0)

    def _update(self) -> None:
        wall, mark = self._clock.now(), self._clock.mark()
        passed = mark.seconds - self._mark.seconds
        was_set = abs((wall - self._wall).total_seconds() - passed) > SET_SECONDS
        self._advance(wall, mark, passed if was_set else passed * CATCH_UP)

    def _advance(self, wall: datetime, mark: Mark, seconds: float) -> None:
        self._at = min(wall, self._at + timedelta(seconds=seconds))
        self._wall, self._mark = wall, mark


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._steady = SteadyTime(self)

    @property
    def steady(self) -> SteadyTime:
        return self._steady

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def mark(self) -> Mark:
        return Mark(read_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def read_boot_id() -> str:
    """Return the kernel's id of the current boot of the machine; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class FakeClock:
    """A clock that only tests move."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = now
        self._elapsed = 0.0
        self._steady = SteadyTime(self)

    @property
    def steady(self) -> SteadyTime:
        return self._steady

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    def mark(self) -> Mark:
        return Mark("boot", 5000.0 + self._elapsed)

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward by these seconds. No time passes."""
        self._start += timedelta(seconds=seconds)

    def restart(self) -> None:
        """Forget the steady time, as a new process does."""
        self._steady = SteadyTime(self)
