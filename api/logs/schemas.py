"""What questions about logs may hold, and what their answers look like."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from api.domain.log import LineFilter, LogLevel, LogPage, LogType, SearchResult, TaskLogPage
from api.logs.pattern import LogPattern
from api.logs.search import LogQuery
from api.util.validation import Strict
from api.web.schemas import Duration, Envelope, Time, moment

Offset = Annotated[int, Field(ge=0, le=2**62)]

#: Lines that one search may find.
MAX_RESULTS = 1000


class WantedType(StrEnum):
    """What lines are about."""

    TRAIN = "train"
    EVAL = "eval"
    SYSTEM = "system"
    ALL = "all"


class Form(StrEnum):
    """How lines are answered."""

    JSON = "json"
    TEXT = "text"


class LineQuery(Strict):
    """Says which lines are wanted."""

    level: LogLevel | None = Field(
        None, description="this level and what matters more; INFO and WARN are taken as well"
    )
    type: WantedType = Field(WantedType.ALL, description="what they are about")

    def wanted(self) -> LineFilter:
        """The filter as the service takes it."""
        return LineFilter(self.level, None if self.type is WantedType.ALL else LogType(self.type))


class LogsQuery(LineQuery):
    """Which part of a log: the last lines, those from an offset on, or those since a time; `tail` may join the last."""

    tail: int | None = Field(
        None, ge=0, description="the last so many lines; 200 when nothing else is asked for; more than 10000 is 10000"
    )
    offset: Offset | None = Field(None, description="from this byte of the whole log on: `next_offset` of before")
    since: Time | Duration | None = Field(
        None, description="from a time on, or from so long ago; with `tail` the last of these"
    )
    limit_bytes: int | None = Field(
        None, ge=1, description="bytes of the log at most; by default 262144, and 4194304 for `tail`; no more than that"
    )
    format: Form = Field(Form.JSON, description="json, or text: one message a line")

    @model_validator(mode="after")
    def _one_place(self) -> "LogsQuery":
        given = [name for name in ("tail", "since") if getattr(self, name) is not None]
        if self.offset is not None and given:
            raise ValueError(f"offset goes alone, not with {' and '.join(given)}")
        return self

    def since_at(self, now: datetime) -> datetime | None:
        """The time from which on lines are wanted."""
        return None if self.since is None else moment(self.since, now)


class _SearchQuery(LineQuery):
    keyword: str | None = Field(
        None, min_length=1, max_length=1000, description="a word, as it is written; this or regex is needed, not both"
    )
    regex: str | None = Field(
        None, min_length=1, max_length=1000, description="a regular expression of RE2's syntax, instead of keyword"
    )
    ignore_case: bool = Field(False, description="upper and lower case are the same")
    start_time: Time | Duration | None = Field(None, description="only what came since: a time, or how long ago")
    end_time: Time | Duration | None = Field(None, description="only what came before")
    limit: int = Field(100, ge=1, description="results at most; more than 1000 is 1000")
    context: int = Field(0, ge=0, le=20, description="lines before and after each")

    @model_validator(mode="after")
    def _one_pattern(self) -> "_SearchQuery":
        if (self.keyword is None) == (self.regex is None):
            raise ValueError("give keyword or regex, and not both")
        return self

    def query(self, now: datetime) -> LogQuery:
        """The search as the service takes it. Raises InvalidPattern."""
        is_regex = self.regex is not None
        return LogQuery(
            pattern=LogPattern(self.regex or self.keyword or "", is_regex, self.ignore_case),
            wanted=self.wanted(),
            begin_at=None if self.start_time is None else moment(self.start_time, now).timestamp(),
            end_at=None if self.end_time is None else moment(self.end_time, now).timestamp(),
            limit=min(self.limit, MAX_RESULTS),
            context=self.context,
        )


class SearchQuery(_SearchQuery):
    """What to search one log for."""

    offset: Offset | None = Field(None, description="go on from this byte: `next_offset` of before")


class SearchAllQuery(_SearchQuery):
    """What to search all logs for."""

    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$", description="go on from here: `next_cursor` of before"
    )


class DownloadQuery(Strict):
    """Says how a log is to be downloaded."""

    inline: bool = Field(False, description="as text to be shown, instead of a file to be saved")


class LogsAnswer(Envelope[TaskLogPage]):
    """Lines of a task's log."""


class OwnLogsAnswer(Envelope[LogPage]):
    """Lines of the server's log."""


class SearchAnswer(Envelope[SearchResult]):
    """What was found."""
