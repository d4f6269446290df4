"""What questions about the audit may hold, and what their answers look like."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.domain.audit import AuditFilter, AuditOutcome, AuditRow, ChainVerdict
from api.util.pagination import CURSOR, DEFAULT_LIMIT, PageRequest, Pagination
from api.util.validation import Strict
from api.web.schemas import Duration, Envelope, Shown, Time, moment

_Word = Annotated[str, Field(min_length=1, max_length=200)]


class AuditQuery(Strict):
    """Which rows of the audit; filters are joined by and."""

    actor: _Word | None = Field(None, description="only what this user did, or was refused")
    operation: _Word | None = Field(None, description="only operations in whose method and address this stands")
    object: _Word | None = Field(None, description="only what was done to the task, key or user with this id")
    outcome: AuditOutcome | None = Field(None, description="only what was done, or what was refused")
    since: Time | Duration | None = Field(None, description="only from then on: a time, or how long ago")
    until: Time | None = Field(None, description="only before this time")
    limit: int = Field(DEFAULT_LIMIT, ge=1, description="rows a page; more than 500 is taken as 500")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the page before")

    def wanted(self, now: datetime) -> AuditFilter:
        """The filter as the service takes it."""
        since = None if self.since is None else moment(self.since, now)
        until = None if self.until is None else moment(self.until, now)
        return AuditFilter(self.actor, None, self.object, self.outcome, since, until)

    def page(self) -> PageRequest:
        """The page that is asked for."""
        return PageRequest(limit=self.limit, cursor=self.cursor)


class VerifyQuery(Strict):
    """Where to begin, and what is known from elsewhere."""

    cursor: str | None = Field(None, pattern=CURSOR, description="go on from here: `next_cursor` of before")
    anchor: str | None = Field(
        None,
        pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$",
        description="`id:hash` of a line that was collected elsewhere: is that row still the same?",
    )

    def after(self) -> int | None:
        """The row behind which the walk begins."""
        return None if self.cursor is None else int(self.cursor)

    def known(self) -> tuple[int, str] | None:
        """The id and the hash of the anchor."""
        if self.anchor is None:
            return None
        id_, _, hash_ = self.anchor.partition(":")
        return int(id_), hash_


class AuditPage(Shown):
    """Some rows of the audit."""

    entries: list[AuditRow]
    pagination: Pagination


class AuditAnswer(Envelope[AuditPage]):
    """Who did what."""


class VerifyAnswer(Envelope[ChainVerdict]):
    """Whether the audit is what was written."""
