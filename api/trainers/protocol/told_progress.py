"""How far a program is that tells by itself how much is done and how long the rest takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.progress import Point, Progress, Stage

_KEPT = ("step", "first_step", "total_steps", "stage_since", "last_step_at", "last_line_at", "activity")


@dataclass(slots=True)
class ToldProgress(Progress):
    """How far it is by what it says itself: its items differ in size by the thousand."""

    done_percent: float | None = None
    seconds_left: float | None = None

    @property
    def overall_progress(self) -> float | None:
        """How much of the whole is done, 0 to 100."""
        return self.done_percent

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left, as the program tells."""
        return self.seconds_left


class ToldProgressReader:
    """Keeps what the lines of such a program have said; which lines those are is said by those who derive from this."""

    def __init__(self, total: int | None = None) -> None:
        self.told = ToldProgress(stage=Stage.TRAINING, total_steps=total)
        self.progress: Progress = self.told

    def take_point(self, point: Point) -> None:
        """Takes nothing: the program writes no event files."""

    def save(self) -> dict[str, Any]:
        """What it has seen, as JSON."""
        told = self.told
        kept: dict[str, Any] = {name: getattr(told, name) for name in _KEPT}
        figures = {"percent": told.done_percent, "left": told.seconds_left}
        return {**kept, **figures, "phrases": sorted(told.phrases), "warnings": list(told.warnings)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `save` gave. Raises TypeError, ValueError."""
        told = self.told
        for name in _KEPT:
            value = saved.get(name)
            if value is not None and not isinstance(value, str if name == "activity" else (int, float)):
                raise TypeError(f"{name} is of another type")
            setattr(told, name, value)
        percent, left = saved.get("percent"), saved.get("left")
        told.done_percent = None if percent is None else float(percent)
        told.seconds_left = None if left is None else float(left)
        told.phrases.update(str(each) for each in saved.get("phrases", ()))
        told.warnings.extend(str(each) for each in saved.get("warnings", ()))
