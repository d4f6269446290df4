"""Time as a value that is passed in, so that tests own it."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

#: Clocks of two servers, or of one before and after it is corrected, may differ by so many seconds: a stored time that
#: is later than that was written before the clock was set back.
SLACK_SECONDS = 30.0

#: The last second that a `datetime` can hold, in Unix seconds.
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def time_of(seconds: float) -> datetime:
    """The UTC time of these Unix seconds; one out of a datetime's range becomes the nearest within, NaN 1970."""
    return datetime.fromtimestamp(seconds if 0 <= seconds <= LAST_SECOND else LAST_SECOND * (seconds > 0), UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment by a clock that nobody sets; it can be compared with later ones even after a restart of the service."""

    boot_id: str  #: identifies the machine's boot that it belongs to
    seconds: float  #: since that boot, sleep included


@dataclass(frozen=True, slots=True)
class SteadyMark:
    """A steady time and the moment at which it was read, to go on from after a restart."""

    at: datetime
    mark: Mark


#: How fast the steady time follows a wall clock that was set forward: so many seconds per second.
CATCH_UP = 4.0

#: Seconds between wall clock and monotonic time, from one look to the next, that only a clock that was set explains.
SET_SECONDS = 60.0


class Clock(Protocol):
    """Wall time to show to people, monotonic time to measure with."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never jumps."""
        ...

    def mark(self) -> Mark:
        """This moment, in a form that is still comparable after a restart of the service."""
        ...

    @property
    def steady(self) -> "SteadyTime":
        """The wall time to decide by what is old enough to be removed."""
        ...


class SteadyTime:
    """Wall time without its jumps forward: decides what is old enough to be removed or forgotten.

    It never runs ahead of the wall clock: it goes back with it at once, and follows one that was set forward, or that
    moved while the machine was off, by CATCH_UP seconds per second. So a wrong clock ages nothing by more than a few
    times the seconds for which it was wrong, and every prune is bounded. Keeping things longer is the only cost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wall, self._mark = clock.now(), clock.mark()
        self._at = self._wall

    def now(self) -> datetime:
        """Return the steady time, in UTC."""
        return self.read().at

    def behind(self) -> timedelta:
        """Return by how much the wall clock is ahead of the steady time; 0 unless it was set forward."""
        with self._lock:
            self._look()
            return self._wall - self._at

    def read(self) -> SteadyMark:
        """Return the steady time in a form that `resume` takes after a restart."""
        with self._lock:
            self._look()
            return SteadyMark(self._at, self._mark)

    def resume(self, known: SteadyMark) -> None:
        """Go on from what was read before a restart; the time for which the machine was off is caught up with."""
        with self._lock:
            wall, mark = self._clock.now(), self._clock.mark()
            is_same_boot = mark.boot_id != "" and mark.boot_id == known.mark.boot_id
            self._at = known.at
            self._go_on(wall, mark, max(0.0, mark.seconds - known.mark.seconds) if is_same_boot else 0.0)

    def _look(self) -> None:
        wall, mark = self._clock.now(), self._clock.mark()
        passed = mark.seconds - self._mark.seconds
        was_set = abs((wall - self._wall).total_seconds() - passed) > SET_SECONDS
        self._go_on(wall, mark, passed if was_set else passed * CATCH_UP)

    def _go_on(self, wall: datetime, mark: Mark, seconds: float) -> None:
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
    """The kernel's id of the machine's present boot; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class FakeClock:
    """A clock that moves only when a test moves it."""

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
        """Sets the wall clock forward by so many seconds; no time passes."""
        self._start += timedelta(seconds=seconds)

    def restart(self) -> None:
        """Forget the steady time, as a new process does."""
        self._steady = SteadyTime(self)
