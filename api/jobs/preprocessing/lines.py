"""What a line of the program's log means to who reads it."""

from api.domain.log import LogLevel, LogType, Meaning
from api.jobs.preprocessing.words import COMPLETED, PROBLEM, STEP, STOPPED
from api.trainers.protocol.log_lines import LineClassifier

_PROBLEM = Meaning(LogLevel.WARNING, LogType.SYSTEM)


class WorkLines:
    """Reads lines one after the other, from anywhere in a log."""

    def __init__(self) -> None:
        self._others = LineClassifier()

    def read(self, text: str) -> Meaning:
        """The meaning of the next line; tracebacks mean what they mean in a training."""
        if text.startswith(PROBLEM):
            return _PROBLEM
        if (found := STEP.fullmatch(text[:200])) is not None:
            return Meaning(LogLevel.INFO, LogType.TRAIN, step=int(found[1]))
        if text in (COMPLETED, STOPPED):
            return Meaning(LogLevel.INFO, LogType.TRAIN)
        return self._others.read(text)
