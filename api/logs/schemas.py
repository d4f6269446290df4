"""Request and response schemas of logs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from api.domain.log import LineFilter, LogLevel, LogType
from api.logs.search import LogPattern, LogQuery
from api.util.http.validation import Strict
from api.web.schemas import Duration, Time, moment

Offset = Annotated[int, Field(ge=0, le=2**62)]

#: Maximum number of results of one search.
MAX_RESULTS = 1000


class LineType(StrEnum):
    """The subjects of lines that can be selected."""

    TRAIN = "train"
    EVAL = "eval"
    SYSTEM = "system"
    ALL = "all"


class LogFormat(StrEnum):
    """The formats of a page of lines."""

    JSON = "json"
    TEXT = "text"


class LineQuery(Strict):
    """Filters of lines."""

    level: LogLevel | None = Field(None, description="this level and more severe ones; INFO and WARN are accepted, too")
    type: LineType = Field(LineType.ALL, description="only lines about this subject")

    def line_filter(self) -> LineFilter:
        """Return the filter for the service."""
        return LineFilter(self.level, None if self.type is LineType.ALL else LogType(self.type))


class LogsQuery(LineQuery):
    """The part of a log: the last lines, those from an offset on, or those since a time.

    `since` and `tail` can be combined.
    """

    tail: int | None = Field(
        None, ge=0, description="number of last lines; 200 if no other part is requested; at most 10000"
    )
    offset: Offset | None = Field(
        None, description="first byte of the log to read: `next_offset` of the previous response"
    )
    since: Time | Duration | None = Field(
        None, description="first time: a time, or how long ago; with `tail`, the last lines since then"
    )
    limit_bytes: int | None = Field(
        None,
        ge=1,
        description="maximum number of bytes to read; by default 262144, or 4194304 for `tail`, which is the limit",
    )
    format: LogFormat = Field(LogFormat.JSON, description="json, or text with one message per line")

    @model_validator(mode="after")
    def _check_start(self) -> "LogsQuery":
        given = [name for name in ("tail", "since") if getattr(self, name) is not None]
        if self.offset is not None and given:
            raise ValueError(f"offset cannot be combined with {' and '.join(given)}")
        return self

    def since_at(self, now: datetime) -> datetime | None:
        """Return the time of the first requested line."""
        return None if self.since is None else moment(self.since, now)


class _SearchQuery(LineQuery):
    keyword: str | None = Field(
        None, min_length=1, max_length=1000, description="text to search for; either this or regex is required"
    )
    regex: str | None = Field(
        None, min_length=1, max_length=1000, description="regular expression in RE2's syntax, instead of keyword"
    )
    ignore_case: bool = Field(False, description="whether upper and lower case match each other")
    start_time: Time | Duration | None = Field(None, description="only lines since then: a time, or how long ago")
    end_time: Time | Duration | None = Field(None, description="only lines before then: a time, or how long ago")
    limit: int = Field(100, ge=1, description="maximum number of results, at most 1000")
    context: int = Field(0, ge=0, le=20, description="number of lines before and after each result")

    @model_validator(mode="after")
    def _check_pattern(self) -> "_SearchQuery":
        if (self.keyword is None) == (self.regex is None):
            raise ValueError("set either keyword or regex")
        return self

    def query(self, now: datetime) -> LogQuery:
        """Return the search for the service. Raises InvalidPattern."""
        is_regex = self.regex is not None
        return LogQuery(
            pattern=LogPattern(self.regex or self.keyword or "", is_regex, self.ignore_case),
            line_filter=self.line_filter(),
            begin_at=None if self.start_time is None else moment(self.start_time, now).timestamp(),
            end_at=None if self.end_time is None else moment(self.end_time, now).timestamp(),
            limit=min(self.limit, MAX_RESULTS),
            context=self.context,
        )


class SearchQuery(_SearchQuery):
    """A search in one log."""

    offset: Offset | None = Field(None, description="continue at this byte: `next_offset` of the previous response")


class SearchAllQuery(_SearchQuery):
    """A search in all logs."""

    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$", description="continue here: `next_cursor` of the previous response"
    )


class DownloadQuery(Strict):
    """The options of a download."""

    inline: bool = Field(False, description="whether to show the log in the browser instead of saving it")
