"""Time as a value that is passed in, so that tests own it."""

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

from api.utils.frozen import frozen

#: The last second that a `datetime` can hold, in Unix seconds.
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def time_of(seconds: float) -> datetime:
    """The UTC time of these Unix seconds; one out of a datetime's range becomes the nearest within, NaN 1970."""
    return datetime.fromtimestamp(seconds if 0 <= seconds <= LAST_SECOND else LAST_SECOND * (seconds > 0), UTC)


@frozen
class Mark:
    """A moment by a clock that nobody sets; it can be compared with later ones even after a restart of the service."""

    boot_id: str  #: identifies the machine's boot that it belongs to
    seconds: float  #: since that boot, sleep included


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


class SystemClock:
    """The machine's clocks."""

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
