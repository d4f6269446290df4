"""Hands over what the training loop has seen to the streams."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from api.domain.progress import Point

#: The most points of a task that wait; there are more only after a standstill, and `/metrics` has them all.
MOST_POINTS = 2_000


class TrainingNews(Protocol):
    """Is told what the training loop has seen. Every call returns at once and never fails."""

    def note_progress(self, task_id: str) -> None: ...
    def note_points(self, task_id: str, points: Sequence[Point]) -> None: ...


class FakeNews:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.progress: list[str] = []
        self.points: list[tuple[str, Point]] = []

    def note_progress(self, task_id: str) -> None:
        self.progress.append(task_id)

    def note_points(self, task_id: str, points: Sequence[Point]) -> None:
        self.points += [(task_id, point) for point in points]


class NewsDesk:
    """Keeps notes of the training loop for TaskNews, which reads everything else from the table of events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._points: dict[str, list[Point]] = defaultdict(list)
        self.wake: Callable[[], None] = lambda: None

    def note_progress(self, task_id: str) -> None:
        """Notes that a task's progress may have changed."""
        with self._lock:
            self._changed.add(task_id)
        self.wake()

    def note_points(self, task_id: str, points: Sequence[Point]) -> None:
        """Notes new points of a task's series."""
        if not points:
            return
        with self._lock:
            self._points[task_id] += points
            del self._points[task_id][:-MOST_POINTS]
        self.wake()

    def take(self) -> tuple[set[str], dict[str, list[Point]]]:
        """What was noted since the last time: the tasks whose progress may have changed, and new points."""
        with self._lock:
            changed, self._changed = self._changed, set()
            points, self._points = self._points, defaultdict(list)
        return changed, points
