"""What the lines of the program that downloads mean: to who follows how far it is, and to who reads its log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.models.log import LogLevel, LogType, Meaning
from api.models.progress import Point, Progress, Stage
from api.trainers.downloads.words import COMPLETED, PROBLEM, REFUSED, STEP, STOPPED
from api.trainers.protocol.log_lines import LineClassifier

#: Characters of a line that are looked at.
_LINE_LIMIT = 1024

_KEPT = ("step", "first_step", "total_steps", "stage_since", "last_step_at", "last_line_at")


@dataclass(slots=True)
class DownloadedShare(Progress):
    """How far a download is: by bytes, and by its own reckoning of the time left."""

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


class DownloadReader:
    """Reads lines one after the other. `ends` are the phrases with which the program ends."""

    def __init__(self, ends: tuple[str, str] = (COMPLETED, STOPPED)) -> None:
        self._ends = ends
        self._share = DownloadedShare(stage=Stage.TRAINING)
        self.progress: Progress = self._share

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line; there are no series in it."""
        share, line = self._share, line[:_LINE_LIMIT]
        share.last_line_at = at
        share.stage_since = at if share.stage_since is None else share.stage_since
        if line in self._ends:
            share.phrases.add(line)
        elif (found := STEP.fullmatch(line)) is not None:
            share.phrases.clear()
            share.step, share.total_steps = int(found[1]), int(found[2])
            share.first_step = share.step if share.first_step is None else share.first_step
            share.done_percent = min(100.0, float(found[3]))
            share.seconds_left = None if found[4] == "-" else float(found[4])
            share.last_step_at = at
        elif line.startswith(PROBLEM):
            share.warnings.append(line[len(PROBLEM) :])
        return None

    def take_point(self, point: Point) -> None:
        """Takes nothing: the program writes no event files."""

    def save(self) -> dict[str, Any]:
        """What it has seen, as JSON."""
        share = self._share
        kept: dict[str, Any] = {name: getattr(share, name) for name in _KEPT}
        told = {"percent": share.done_percent, "left": share.seconds_left}
        return {**kept, **told, "phrases": sorted(share.phrases), "warnings": list(share.warnings)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `save` gave. Raises TypeError, ValueError."""
        share = self._share
        for name in _KEPT:
            value = saved.get(name)
            if value is not None and not isinstance(value, int | float):
                raise TypeError(f"{name} is no number")
            setattr(share, name, value)
        percent, left = saved.get("percent"), saved.get("left")
        share.done_percent = None if percent is None else float(percent)
        share.seconds_left = None if left is None else float(left)
        share.phrases.update(str(each) for each in saved.get("phrases", ()))
        share.warnings.extend(str(each) for each in saved.get("warnings", ()))


class DownloadLines:
    """Tells what lines mean, from anywhere in a log."""

    def __init__(self, ends: tuple[str, str] = (COMPLETED, STOPPED)) -> None:
        self._ends = ends
        self._others = LineClassifier()

    def read(self, text: str) -> Meaning:
        """The meaning of the next line."""
        if text.startswith(REFUSED):
            return Meaning(LogLevel.ERROR, LogType.SYSTEM)
        if text.startswith(PROBLEM):
            return Meaning(LogLevel.WARNING, LogType.SYSTEM)
        if STEP.fullmatch(text[:200]) is not None or text in self._ends:
            return Meaning(LogLevel.INFO, LogType.TRAIN)
        return self._others.read(text)
