"""A log that can be read, searched and followed: of a task, or of the server."""

from collections.abc import Callable
from dataclasses import dataclass

from api.domain.log import LogEnd
from api.executors.executor import Log
from api.logs.lines import CreateClassifier
from api.logs.reader import LogReader


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log, and the functions to read it."""

    key: str  #: unique name of the log
    task_id: str | None  #: None for the server's own log
    content: Log  #: the bytes of the log
    create_classifier: CreateClassifier
    look_up_end: Callable[[], LogEnd | None]  #: returns how its task has ended; None if it has not
    is_finished: bool = False  #: whether the task had finished when this object was created

    def reader(self) -> LogReader:
        """Return a reader of its lines."""
        return LogReader(self.content, self.create_classifier, self.is_finished)
