"""What the lines of the program that downloads mean: to who follows how far it is, and to who reads its log."""

from api.domain.log import LogLevel, LogType, Meaning
from api.domain.progress import Point
from api.jobs.downloads.words import COMPLETED, PROBLEM, REASON, REFUSED, STEP, STOPPED
from api.trainers.protocol.log_lines import LineClassifier
from api.trainers.protocol.told_progress import ToldProgressReader

#: Characters of a line that are looked at.
_LINE_LIMIT = 1024


class DownloadReader(ToldProgressReader):
    """Reads lines one after the other. `ends` are the phrases with which the program ends."""

    def __init__(self, ends: tuple[str, str] = (COMPLETED, STOPPED)) -> None:
        super().__init__()
        self._ends = ends

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line; there are no series in it."""
        share, line = self.told, line[:_LINE_LIMIT]
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


class DownloadLines:
    """Tells what lines mean, from anywhere in a log."""

    def __init__(self, ends: tuple[str, str] = (COMPLETED, STOPPED)) -> None:
        self._ends = ends
        self._others = LineClassifier()

    def read(self, text: str) -> Meaning:
        """The meaning of the next line."""
        if REFUSED.match(text) is not None:
            return Meaning(LogLevel.ERROR, LogType.SYSTEM)
        if text.startswith(PROBLEM):
            return Meaning(LogLevel.WARNING, LogType.SYSTEM)
        if text.startswith(REASON):
            return Meaning(LogLevel.DEBUG, LogType.SYSTEM)
        if STEP.fullmatch(text[:200]) is not None or text in self._ends:
            return Meaning(LogLevel.INFO, LogType.TRAIN)
        return self._others.read(text)
