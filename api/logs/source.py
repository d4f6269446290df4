"""A log that can be read, searched and followed: a task's, or the server's own."""

from collections.abc import Callable
from dataclasses import dataclass

from api.domain.log import LogEnd
from api.executors.executor import Log
from api.logs.lines import CreateClassifier
from api.logs.reader import LogReader


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log, and what is needed to read it."""

    key: str  #: a name that no other log has
    task_id: str | None  #: None for the server's own log
    content: Log  #: the bytes of the log
    create_classifier: CreateClassifier
    look_up_end: Callable[[], LogEnd | None]  #: how its task has ended; None while more may come
    is_finished: bool = False  #: whether it had ended when this was made

    def reader(self) -> LogReader:
        """A reader of its lines."""
        return LogReader(self.content, self.create_classifier, self.is_finished)
