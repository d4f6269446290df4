"""Weekly windows in which trainings may run. No I/O.

A window is in local time, so that "22:00 to 07:00" stays so when clocks change. A time that a change skips counts as
the moment of the change; of a time that occurs twice, a window begins at the first and ends at the second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from api.domain.finding import make_finding
from api.errors import Finding, FindingText


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_WEEKDAYS = {day: number for number, day in enumerate(Day)}

#: Days to look ahead. Each window occurs once a week at least, so that two weeks show every change.
_DAYS_AHEAD = 15


@dataclass(frozen=True, slots=True)
class Window:
    """Hours on some days of the week."""

    days: tuple[Day, ...]  #: the days on which it begins
    begins: time  #: in local time
    ends: time  #: in local time; on the next day if it is not after `begins`, so that equal times mean 24 hours
    gpus: tuple[str, ...] = ()  #: the GPUs to which it applies, by index, node and index, or UUID; empty: all


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether trainings may run, and the next changes. None: it stays so."""

    is_open: bool
    next_open: datetime | None
    next_close: datetime | None


ALWAYS_OPEN = Opening(True, None, None)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The windows in which trainings may run. A GPU to which no window applies is always open."""

    time_zone: str = "UTC"  #: name in the IANA database
    windows: tuple[Window, ...] = ()

    def localise(self, at: datetime) -> datetime:
        """Return the same moment in the schedule's time zone."""
        return at.astimezone(ZoneInfo(self.time_zone))

    def opening(self, at: datetime, names: Sequence[str] | None = None) -> Opening:
        """Return whether a GPU with these names is open, or, with None, whether any GPU with windows is."""
        windows = [
            window
            for window in self.windows
            if names is None or not window.gpus or not frozenset(names).isdisjoint(window.gpus)
        ]
        if not windows:
            return ALWAYS_OPEN
        times = self.open_times(at, at + timedelta(days=_DAYS_AHEAD), windows)
        current = next((end for begin, end in times if begin <= at < end), None)
        later = next((begin for begin, _ in times if begin > at), None)
        if current is not None and current >= at + timedelta(days=_DAYS_AHEAD - 1):
            return ALWAYS_OPEN
        return Opening(current is not None, later, current)

    def open_times(
        self, begin: datetime, end: datetime, windows: Sequence[Window] | None = None
    ) -> list[tuple[datetime, datetime]]:
        """Return the times from `begin` to `end` in which a window is open, in order, without overlaps, in UTC."""
        zone = ZoneInfo(self.time_zone)
        first = begin.astimezone(zone).date() - timedelta(days=2)
        last = end.astimezone(zone).date() + timedelta(days=1)
        merged = _merge(zone, first, last, self.windows if windows is None else tuple(windows))
        return [(opens, closes) for opens, closes in merged if closes > begin and opens < end]


# Each GPU of each request has the same times for a day.
@lru_cache(maxsize=256)
def _merge(zone: ZoneInfo, day: date, last: date, windows: tuple[Window, ...]) -> list[tuple[datetime, datetime]]:
    """Return the times in which a window is open, in order, without overlaps."""
    merged = list[tuple[datetime, datetime]]()
    for opens, closes in sorted(_occurrences(zone, day, last, windows)):
        if merged and opens <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], closes)
        else:
            merged.append((opens, closes))
    return merged


def _occurrences(
    zone: ZoneInfo, day: date, last: date, windows: Sequence[Window]
) -> Iterator[tuple[datetime, datetime]]:
    while day <= last:
        for window in windows:
            if any(_WEEKDAYS[each] == day.weekday() for each in window.days):
                until = day if window.ends > window.begins else day + timedelta(days=1)
                opens = _moment(zone, day, window.begins, is_end=False)
                closes = _moment(zone, until, window.ends, is_end=True)
                if closes > opens:
                    yield opens, closes
        day += timedelta(days=1)


def _moment(zone: ZoneInfo, day: date, at: time, *, is_end: bool) -> datetime:
    """Return the moment of a local time in UTC."""
    local = datetime.combine(day, at, zone).replace(fold=int(is_end))
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # The change skips this time. Between its two readings lies the change: find it to the second.
    before = local.replace(fold=1).astimezone(UTC)
    after = local.replace(fold=0).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def check_time_zone(name: str) -> list[Finding]:
    """Return an error at `/time_zone` if this is not a name in the IANA database."""
    # Some systems have more names, whose meaning differs from machine to machine.
    is_known = name in available_timezones() and (name == "UTC" or "/" in name)
    return (
        []
        if is_known
        else [
            make_finding(
                "/time_zone",
                FindingText(
                    "unknown_time_zone",
                    '"{name}" is no time zone that this machine knows.',
                    'Write a name of the IANA database, such as "Europe/Berlin".',
                ),
                name=name,
            )
        ]
    )


def dump_window(window: Window) -> dict[str, Any]:
    """Return a window as JSON."""
    return asdict(window) | {"begins": f"{window.begins:%H:%M}", "ends": f"{window.ends:%H:%M}"}


def read_window(stored: dict[str, Any]) -> Window:
    """Return a window from its JSON."""
    return Window(
        tuple(map(Day, stored["days"])),
        time.fromisoformat(stored["begins"]),
        time.fromisoformat(stored["ends"]),
        tuple(stored["gpus"]),
    )
