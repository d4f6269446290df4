"""What the program's lines say about how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.models.progress import Point, Progress, Stage
from api.trainers.preprocessing.words import COMPLETED, DOING, PROBLEM, STEP, STOPPED

#: Characters of a line that are looked at.
_LINE_LIMIT = 4096

_KEPT = ("step", "first_step", "total_steps", "stage_since", "last_step_at", "last_line_at", "activity")


@dataclass(slots=True)
class WorkProgress(Progress):
    """How far a preprocessing is. It knows its own pace: items differ in size by the thousand."""

    done_percent: float | None = None
    seconds_left: float | None = None

    @property
    def overall_progress(self) -> float | None:
        """How much of the whole is done, 0 to 100."""
        return self.done_percent

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left, as the program reckons."""
        return self.seconds_left


class WorkReader:
    """Reads lines one after the other."""

    def __init__(self, total: int | None) -> None:
        self._work = WorkProgress(stage=Stage.TRAINING, total_steps=total)
        self.progress: Progress = self._work

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line; there are no series in it."""
        progress, line = self._work, line[:_LINE_LIMIT]
        progress.last_line_at = at
        if progress.stage_since is None:
            progress.stage_since = at
        if line in (COMPLETED, STOPPED):
            progress.phrases.add(line)
        elif (found := STEP.fullmatch(line)) is not None:
            self._take_step(int(found[1]), int(found[2]), float(found[3]), found[4], at)
        elif (doing := DOING.fullmatch(line)) is not None:
            progress.activity = doing[1]
            progress.last_step_at = at
        elif line.startswith(PROBLEM) and line[len(PROBLEM) :] not in progress.warnings:
            progress.warnings.append(line[len(PROBLEM) :])
        return None

    def _take_step(self, done: int, total: int, percent: float, left: str, at: float) -> None:
        progress = self._work
        progress.phrases.clear()
        progress.step, progress.total_steps = min(done, total), total
        progress.first_step = progress.step if progress.first_step is None else progress.first_step
        progress.done_percent = min(100.0, percent)
        progress.seconds_left = None if left == "-" else float(left)
        progress.last_step_at = at

    def take_point(self, point: Point) -> None:
        """Takes nothing: the program writes no event files."""

    def save(self) -> dict[str, Any]:
        """What it has seen, as JSON."""
        progress = self._work
        kept: dict[str, Any] = {name: getattr(progress, name) for name in _KEPT}
        return {
            **kept,
            "percent": progress.done_percent,
            "left": progress.seconds_left,
            "phrases": sorted(progress.phrases),
            "warnings": list(progress.warnings),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `save` gave. Raises TypeError, ValueError."""
        progress = self._work
        for name in _KEPT:
            value = saved.get(name)
            if value is not None and not isinstance(value, str if name == "activity" else (int, float)):
                raise TypeError(f"{name} is no number")
            setattr(progress, name, value)
        percent, left = saved.get("percent"), saved.get("left")
        progress.done_percent = None if percent is None else float(percent)
        progress.seconds_left = None if left is None else float(left)
        progress.phrases.update(str(each) for each in saved.get("phrases", ()))
        progress.warnings.extend(str(each) for each in saved.get("warnings", ()))
