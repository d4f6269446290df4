"""The progress of programs that report their own percentage and remaining time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.progress import Point, Progress, Stage

_SAVED_FIELDS = ("step", "first_step", "total_steps", "stage_since", "last_step_at", "last_line_at", "activity")


@dataclass(slots=True)
class ReportedProgress(Progress):
    """Progress as the program itself reports it, because its items differ greatly in size."""

    done_percent: float | None = None
    seconds_left: float | None = None

    @property
    def overall_progress(self) -> float | None:
        """The reported progress, 0 to 100."""
        return self.done_percent

    @property
    def eta_seconds(self) -> float | None:
        """The reported remaining seconds."""
        return self.seconds_left


class ReportedProgressReader:
    """Stores reported progress. Subclasses read the program's lines."""

    def __init__(self, total: int | None = None) -> None:
        self.reported = ReportedProgress(stage=Stage.TRAINING, total_steps=total)
        self.progress: Progress = self.reported

    def take_point(self, point: Point) -> None:
        """Ignore the point: the program writes no event files."""

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        reported = self.reported
        values: dict[str, Any] = {name: getattr(reported, name) for name in _SAVED_FIELDS}
        figures = {"percent": reported.done_percent, "left": reported.seconds_left}
        return {**values, **figures, "phrases": sorted(reported.phrases), "warnings": list(reported.warnings)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore the state that `save` returned. Raise TypeError or ValueError if it is damaged."""
        reported = self.reported
        for name in _SAVED_FIELDS:
            value = saved.get(name)
            if value is not None and not isinstance(value, str if name == "activity" else (int, float)):
                raise TypeError(f"{name} has the wrong type")
            setattr(reported, name, value)
        percent, left = saved.get("percent"), saved.get("left")
        reported.done_percent = None if percent is None else float(percent)
        reported.seconds_left = None if left is None else float(left)
        reported.phrases.update(str(each) for each in saved.get("phrases", ()))
        reported.warnings.extend(str(each) for each in saved.get("warnings", ()))
