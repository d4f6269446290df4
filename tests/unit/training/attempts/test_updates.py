from api.domain.progress import Point
from api.training.attempts.updates import MOST_POINTS, NewsDesk


def point(step: int) -> Point:
    return Point("train/loss", step, 0.5, float(step))


def test_what_was_noted_is_taken_once_and_wakes_who_tells_it():
    desk, woken = NewsDesk(), []
    desk.wake = lambda: woken.append(True)
    desk.note_progress("a")
    desk.note_progress("a")
    desk.note_points("b", [point(1)])
    desk.note_points("b", [point(2)])
    changed, points = desk.take()
    assert (changed, dict(points)) == ({"a"}, {"b": [point(1), point(2)]})
    assert len(woken) == 4
    assert desk.take() == (set(), {})


def test_no_points_are_no_news():
    desk, woken = NewsDesk(), []
    desk.wake = lambda: woken.append(True)
    desk.note_points("a", [])
    assert (woken, desk.take()) == ([], (set(), {}))


def test_of_very_many_points_the_latest_wait():
    desk = NewsDesk()
    desk.note_points("a", [point(step) for step in range(MOST_POINTS + 10)])
    _, points = desk.take()
    assert [points["a"][0].step, len(points["a"])] == [10, MOST_POINTS]
