"""A line of a log, what it means, and the answers to questions about logs. No I/O."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from api.domain.cause import Cause
from api.domain.training import TaskStatus

#: Other programs' words for the levels.
_LEVEL_WORDS = {"trace": "debug", "warn": "warning", "err": "error", "critical": "error", "fatal": "error"}


class LogLevel(StrEnum):
    """How much a line matters. Other programs' words for it are known too, in any case: INFO, Warn."""

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
    """At `at` (Unix seconds) the byte at `offset` came, with `newlines` newlines before it since the log began."""

    offset: int
    newlines: int
    at: float


@dataclass(frozen=True, slots=True)
class LogSpan:
    """How much a log holds: bytes and lines since it began, and how much of that is gone from the disk."""

    first: int  #: the first byte that is still there
    end: int  #: the offset after the last byte
    lines_before: int  #: newlines before `first`
    newlines: int  #: newlines before `end`


@dataclass(frozen=True, slots=True)
class LogPart:
    """An open file of which the first `size` bytes count; the one who takes it closes it."""

    descriptor: int
    size: int


class LogType(StrEnum):
    """What a line is about."""

    TRAIN = "train"  #: steps, epochs, saving
    EVAL = "eval"  #: from the beginning of an evaluation to the next step
    SYSTEM = "system"  #: everything else: launcher, loading, caching, tracebacks, the supervisor's own words


#: The levels from the least to the most serious.
LEVELS = tuple(LogLevel)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a trainer's line says beyond its text; unknown is None."""

    level: LogLevel
    type: LogType
    epoch: int | None = None
    step: int | None = None


class Classifier(Protocol):
    """Reads the lines of a log in their order, beginning anywhere in it."""

    def read(self, text: str) -> Meaning:
        """The level of a line, what it is about, and where in a training it was said."""
        ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, safe to be shown."""

    offset: int  #: the byte at which it begins in the whole log
    line_number: int  #: from 1, since the log began; the parts of a line that was cut share one
    timestamp: str | None  #: when its first byte came, to the millisecond
    level: LogLevel
    type: LogType
    message: str
    epoch: int | None
    step: int | None
    is_complete: bool  #: false while its end may still come
    truncated: bool  #: its message, or the line itself, was cut


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines are wanted; a field that is None does not restrict them."""

    level: LogLevel | None = None  #: this level and the more serious ones
    type: LogType | None = None

    @property
    def selects_all(self) -> bool:
        """Whether the filter restricts nothing."""
        return self.level in (None, LogLevel.DEBUG) and self.type is None

    def selects(self, line: LogLine | Meaning) -> bool:
        """Whether this line is wanted."""
        if self.type is not None and line.type is not self.type:
            return False
        return self.level is None or LEVELS.index(line.level) >= LEVELS.index(self.level)


EVERYTHING = LineFilter()


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a log that is gone from the disk."""

    start: int
    end: int
    lines: int | None  #: None where nobody has counted them


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines, and where in the log they are. Offsets are bytes in the whole log."""

    logs: tuple[LogLine, ...]
    total_lines: int  #: since the log began
    first_offset: int  #: the first byte that is still there
    next_offset: int  #: where the next call goes on
    end_offset: int  #: the offset after the last byte
    has_more: bool
    dropped_bytes: int  #: of the log's beginning, gone from the disk
    dropped_lines: int


@dataclass(frozen=True, slots=True)
class TaskLogPage(LogPage):
    """A page of a task's log, with the task it belongs to."""

    task_id: str
    log_lost_bytes: int | None  #: bytes that were printed and are in no log: the disk was full, or they came too fast


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A line that was found."""

    line_number: int
    offset: int
    timestamp: str | None
    level: LogLevel
    type: LogType
    message: str
    matched_text: str
    match_start: int | None  #: characters in `message`; None where the match lies in a part that is not shown
    match_end: int | None
    before: tuple[LogLine, ...]
    after: tuple[LogLine, ...]
    task_id: str | None = None


class StopReason(StrEnum):
    """Why a search did not look at everything."""

    LIMIT = "limit"  #: as many results as were asked for
    BYTES = "bytes"  #: as much as one request may read
    TIME = "time"  #: as long as one request may take


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found, how far it came, and where it can go on."""

    task_id: str | None  #: whose log was searched; None for the server's own, or for all tasks
    query: str  #: the word or the pattern
    total_matches: int | None  #: lines that match, from where the search began; None when it did not come to the end
    results: tuple[SearchHit, ...]
    searched_bytes: int
    complete: bool
    stopped_because: StopReason | None
    next_offset: int | None
    next_cursor: str | None
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How a followed task ended."""

    status: TaskStatus | None  #: None when the task was deleted
    failure: Cause | None = None
    exit_code: int | None = None
