"""What the program's lines say about how far it is."""

from api.domain.progress import Point
from api.jobs.preprocessing.words import COMPLETED, DOING, PROBLEM, STEP, STOPPED
from api.trainers.protocol.told_progress import ToldProgressReader

#: Characters of a line that are looked at.
_LINE_LIMIT = 4096


class WorkReader(ToldProgressReader):
    """Reads lines one after the other."""

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line; there are no series in it."""
        progress, line = self.told, line[:_LINE_LIMIT]
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
        progress = self.told
        progress.phrases.clear()
        progress.step, progress.total_steps = min(done, total), total
        progress.first_step = progress.step if progress.first_step is None else progress.first_step
        progress.done_percent = min(100.0, percent)
        progress.seconds_left = None if left == "-" else float(left)
        progress.last_step_at = at
