from api.domain.tasks.progress import Point
from api.training.attempts.watch.updates import MOST_POINTS, NewsDesk


def point(step: int) -> Point:
    return Point("train/loss", step, 0.5, float(step))


def test_news_is_returned_once_and_wakes_the_publisher():
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


def test_empty_points_are_not_news():
    desk, woken = NewsDesk(), []
    desk.wake = lambda: woken.append(True)
    desk.note_points("a", [])
    assert (woken, desk.take()) == ([], (set(), {}))


def test_only_the_latest_points_are_stored():
    desk = NewsDesk()
    desk.note_points("a", [point(step) for step in range(MOST_POINTS + 10)])
    _, points = desk.take()
    assert [points["a"][0].step, len(points["a"])] == [10, MOST_POINTS]
