"""Pass news of the training loop to the streams."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from api.domain.tasks.progress import Point

#: Limit of waiting points per task. It is only reached after a standstill, and `/metrics` has all points.
MOST_POINTS = 2_000


class TrainingNews(Protocol):
    """Receives news from the training loop. Calls return immediately and never fail."""

    def note_progress(self, task_id: str) -> None: ...
    def note_points(self, task_id: str, points: Sequence[Point]) -> None: ...


class FakeNews:
    """Records the calls."""

    def __init__(self) -> None:
        self.progress: list[str] = []
        self.points: list[tuple[str, Point]] = []

    def note_progress(self, task_id: str) -> None:
        self.progress.append(task_id)

    def note_points(self, task_id: str, points: Sequence[Point]) -> None:
        self.points += [(task_id, point) for point in points]


class NewsDesk:
    """Stores news of the training loop for TaskPublisher, which reads everything else from the table of events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._points: dict[str, list[Point]] = defaultdict(list)
        self.wake: Callable[[], None] = lambda: None

    def note_progress(self, task_id: str) -> None:
        """Record that a task's progress may have changed."""
        with self._lock:
            self._changed.add(task_id)
        self.wake()

    def note_points(self, task_id: str, points: Sequence[Point]) -> None:
        """Record new points of a task's series."""
        if not points:
            return
        with self._lock:
            self._points[task_id] += points
            del self._points[task_id][:-MOST_POINTS]
        self.wake()

    def take(self) -> tuple[set[str], dict[str, list[Point]]]:
        """Return the news since the last call: tasks whose progress may have changed, and new points."""
        with self._lock:
            changed, self._changed = self._changed, set()
            points, self._points = self._points, defaultdict(list)
        return changed, points
