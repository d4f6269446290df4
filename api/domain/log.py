"""Log lines, their classification and the results of log queries. No I/O."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from api.domain.tasks.cause import Cause
from api.domain.tasks.training import TaskStatus

#: Other programs' names for the levels.
_LEVEL_WORDS = {"trace": "debug", "warn": "warning", "err": "error", "critical": "error", "fatal": "error"}


class LogLevel(StrEnum):
    """The level of a log line. Other programs' names are accepted in any case: INFO, Warn."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @classmethod
    def _missing_(cls, value: object) -> "LogLevel | None":
        word = value.lower() if isinstance(value, str) else ""
        word = _LEVEL_WORDS.get(word, word)
        return next((level for level in cls if level.value == word), None)


@dataclass(frozen=True, slots=True)
class LogTime:
    """The arrival time of the byte at `offset`, in Unix seconds, with the number of newlines before it."""

    offset: int
    newlines: int
    at: float


@dataclass(frozen=True, slots=True)
class LogSpan:
    """The bytes and lines of a log since it began, and how much of that was deleted from the disk."""

    first: int  #: offset of the first byte on disk
    end: int  #: offset after the last byte
    lines_before: int  #: newlines before `first`
    newlines: int  #: newlines before `end`


@dataclass(frozen=True, slots=True)
class LogPart:
    """An open file of which the first `size` bytes are valid. The recipient closes it."""

    descriptor: int
    size: int


class LogType(StrEnum):
    """The subject of a line."""

    TRAIN = "train"  #: steps, epochs, saving
    EVAL = "eval"  #: from the start of an evaluation to the next step
    SYSTEM = "system"  #: everything else: launcher, loading, caching, tracebacks, the supervisor's messages


#: Levels from least to most serious.
LEVELS = tuple(LogLevel)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The classification of a trainer's log line. None: unknown."""

    level: LogLevel
    type: LogType
    epoch: int | None = None
    step: int | None = None
    shown: str | None = None  #: text to show in place of the line; None: the line itself


class Classifier(Protocol):
    """Reads the lines of a log in order, from any starting point."""

    def read(self, text: str) -> Meaning:
        """Return the level, type, epoch and step of a line."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, escaped for display."""

    offset: int  #: offset of its first byte in the whole log
    line_number: int  #: from 1, since the log began; the parts of a line that was cut have the same number
    timestamp: str | None  #: arrival of its first byte, in milliseconds precision
    level: LogLevel  #: as the line states it
    type: LogType  #: what the line is about
    message: str  #: text of the line, without control characters
    epoch: int | None  #: the epoch that the line names; null if none
    step: int | None  #: the step that the line names; null if none
    is_complete: bool  #: false if more of the line may follow
    truncated: bool  #: its message, or the line itself, was cut


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines to return. None does not restrict them."""

    level: LogLevel | None = None  #: this level and more serious ones
    type: LogType | None = None

    @property
    def selects_all(self) -> bool:
        """Whether the filter restricts nothing."""
        return self.level in (None, LogLevel.DEBUG) and self.type is None

    def selects(self, line: LogLine | Meaning) -> bool:
        """Return whether the filter matches this line."""
        if self.type is not None and line.type is not self.type:
            return False
        return self.level is None or LEVELS.index(line.level) >= LEVELS.index(self.level)


EVERYTHING = LineFilter()


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a log that was deleted from the disk."""

    start: int
    end: int
    lines: int | None  #: None: not counted


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines and their position in the log. Offsets are bytes in the whole log."""

    logs: tuple[LogLine, ...]  #: oldest first
    total_lines: int  #: since the log began
    first_offset: int  #: offset of the first byte on disk
    next_offset: int  #: offset for the next request
    end_offset: int  #: offset after the last byte
    has_more: bool  #: whether lines follow
    dropped_bytes: int  #: deleted from the start of the log
    dropped_lines: int  #: deleted from the start of the log


@dataclass(frozen=True, slots=True)
class TaskLogPage(LogPage):
    """A page of a task's log."""

    task_id: str
    log_lost_bytes: int | None  #: bytes that were printed but not stored: the disk was full, or they came too fast


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A matching line."""

    line_number: int  #: from 1, since the log began
    offset: int  #: offset of its first byte in the whole log
    timestamp: str | None
    level: LogLevel  #: as the line states it
    type: LogType  #: what the line is about
    message: str
    matched_text: str  #: the part of the line that matches
    match_start: int | None  #: offsets in `message`, in characters; None if the match is in a part that is not shown
    match_end: int | None  #: offset after the match in `message`, in characters
    before: tuple[LogLine, ...]  #: lines before it
    after: tuple[LogLine, ...]  #: lines after it
    task_id: str | None = None  #: task whose log it is in; null: the server's own


class StopReason(StrEnum):
    """Why a search ended early."""

    LIMIT = "limit"  #: the requested number of results was reached
    BYTES = "bytes"  #: the byte limit of one request was reached
    TIME = "time"  #: the time limit of one request was reached


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search, and where to continue it."""

    task_id: str | None  #: task whose log was searched; None: the server's own log, or all tasks
    query: str  #: the text or pattern
    total_matches: int | None  #: matching lines from where the search began; None if it ended early
    results: tuple[SearchHit, ...]  #: the matching lines, at most `limit`
    searched_bytes: int  #: size of the searched part
    complete: bool  #: whether everything was searched
    stopped_because: StopReason | None  #: why not; null if it was
    next_offset: int | None  #: where to continue in this log; null at the end
    next_cursor: str | None  #: where to continue in all logs; null at the end
    elapsed_ms: float  #: duration of the search in milliseconds


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How a followed task ended."""

    status: TaskStatus | None  #: None if the task was deleted
    failure: Cause | None = None
    exit_code: int | None = None
