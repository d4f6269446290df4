"""What the tracking program needs from the library of a tracker."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class TrackerRun(Protocol):
    """One training in a tracker."""

    @property
    def rows(self) -> int | None:
        """The number of rows that the tracker has; None if all that was written is certainly there."""

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write values by name, each row with its step and its time. Return when they are stored or queued."""

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Add a sample."""

    def end(self, status: str) -> None:
        """Store how the training ended: completed, failed or stopped. The run can be opened again."""


class Backend(Protocol):
    """The library of a tracker."""

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> TrackerRun:
        """Return the run of a training, the same one whenever it is opened again."""
