from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.schedule import Day, Schedule, Window

WEEKDAYS = (Day.MON, Day.TUE, Day.WED, Day.THU, Day.FRI)
NIGHTS = Window(WEEKDAYS, time(22), time(7))
WEEKENDS = Window((Day.SAT, Day.SUN), time(0), time(0))
BERLIN = Schedule("Europe/Berlin", (NIGHTS, WEEKENDS))


def local(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("at", "is_open", "changes_at"),
    [
        ("2026-11-30T21:59", False, "2026-11-30T22:00"),  # a Monday
        ("2026-11-30T22:00", True, "2026-12-01T07:00"),
        ("2026-12-01T06:59", True, "2026-12-01T07:00"),
        ("2026-12-01T07:00", False, "2026-12-01T22:00"),
        ("2026-12-04T23:00", True, "2026-12-07T00:00"),  # Friday night joins the weekend
        ("2026-12-07T00:00", False, "2026-12-07T22:00"),  # no window begins on Sunday evening but the weekend's
    ],
)
def test_week(at: str, is_open: bool, changes_at: str) -> None:
    opening = BERLIN.opening(local(at))
    assert opening.is_open is is_open
    assert (opening.next_close if is_open else opening.next_open) == local(changes_at)


@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends", "hours"),
    [
        ("Europe/Berlin", "2026-03-28", "22:00", "07:00", 8),
        ("Europe/Berlin", "2026-10-24", "22:00", "07:00", 10),
        ("Europe/Berlin", "2027-03-27", "22:00", "07:00", 8),
        ("Europe/Berlin", "2027-10-30", "22:00", "07:00", 10),
        ("America/New_York", "2026-03-07", "22:00", "07:00", 8),
        ("America/New_York", "2026-10-31", "22:00", "07:00", 10),
        ("America/New_York", "2027-03-13", "22:00", "07:00", 8),
        ("America/New_York", "2027-11-06", "22:00", "07:00", 10),
        # Lord Howe Island moves its clocks by half an hour.
        ("Australia/Lord_Howe", "2026-04-04", "22:00", "07:00", 9.5),
        ("Australia/Lord_Howe", "2026-10-03", "22:00", "07:00", 8.5),
        ("Australia/Lord_Howe", "2027-04-03", "22:00", "07:00", 9.5),
        ("Australia/Lord_Howe", "2027-10-02", "22:00", "07:00", 8.5),
        # 02:30 does not exist: it counts as 03:00, when the clocks have changed.
        ("Europe/Berlin", "2026-03-29", "02:30", "04:00", 1),
        ("Europe/Berlin", "2026-03-29", "01:00", "02:30", 1),
        # 02:30 occurs twice: from the first, or to the second.
        ("Europe/Berlin", "2026-10-25", "02:30", "03:00", 1.5),
        ("Europe/Berlin", "2026-10-25", "02:00", "02:30", 1.5),
    ],
)
def test_change_of_clocks(zone: str, day: str, begins: str, ends: str, hours: float) -> None:
    window = Window(tuple(Day), time.fromisoformat(begins), time.fromisoformat(ends))
    start = datetime.fromisoformat(f"{day}T{begins}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    times = Schedule(zone, (window,)).open_times(start - timedelta(hours=2), start + timedelta(hours=12))
    opens, closes = next(each for each in times if each[0] >= start - timedelta(hours=1))
    assert (closes - opens) / timedelta(hours=1) == hours


def test_windows_of_some_gpus_leave_the_others_open() -> None:
    schedule = Schedule("UTC", (Window(tuple(Day), time(22), time(7), ("1", "GPU-x")),))
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert [schedule.opening(noon, names).is_open for names in (["0"], ["1"], ["5", "GPU-x"])] == [True, False, False]


def test_windows_that_cover_the_week_never_close() -> None:
    schedule = Schedule("Europe/Berlin", (Window(tuple(Day), time(0), time(0)),))
    opening = schedule.opening(local("2026-12-01T12:00"))
    assert (opening.is_open, opening.next_close) == (True, None)
    assert Schedule().opening(local("2026-12-01T12:00")).is_open


times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
windows = st.builds(Window, st.sets(st.sampled_from(Day), min_size=1).map(tuple), times, times)


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.lists(windows, min_size=1, max_size=3).map(tuple),
    st.floats(0, 2 * 365 * 86400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)
def test_nothing_changes_before_the_announced_change(zone: str, chosen: tuple[Window, ...], at: datetime) -> None:
    schedule = Schedule(zone, chosen)
    opening = schedule.opening(at)
    change = opening.next_close if opening.is_open else opening.next_open
    if change is None:
        assert schedule.opening(at + timedelta(days=3)).is_open
        return
    assert at < change
    assert schedule.opening(change).is_open is not opening.is_open
    for share in (0.25, 0.5, 0.99):
        assert schedule.opening(at + (change - at) * share).is_open is opening.is_open
