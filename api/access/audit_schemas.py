"""Schemas of requests and responses about the audit."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.domain.audit import AuditFilter, AuditOutcome, AuditRow, ChainVerdict
from api.util.pagination import CURSOR, DEFAULT_LIMIT, PageRequest, Pagination
from api.util.validation import Strict
from api.web.schemas import Duration, Envelope, Shown, Time, moment

_Text = Annotated[str, Field(min_length=1, max_length=200)]


class AuditQuery(Strict):
    """Filters for audit rows; all of them must match."""

    actor: _Text | None = Field(None, description="only actions and refusals of this user")
    operation: _Text | None = Field(None, description="only operations whose method and address contain this text")
    object: _Text | None = Field(None, description="only actions on the task, key or user with this id")
    outcome: AuditOutcome | None = Field(None, description="only entries with this outcome")
    since: Time | Duration | None = Field(None, description="only since then: a time, or a duration before now")
    until: Time | None = Field(None, description="only before this time")
    limit: int = Field(DEFAULT_LIMIT, ge=1, description="rows per page; values above 500 count as 500")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the previous page")

    def wanted(self, now: datetime) -> AuditFilter:
        """Return the filter for the service."""
        since = None if self.since is None else moment(self.since, now)
        until = None if self.until is None else moment(self.until, now)
        return AuditFilter(self.actor, None, self.object, self.outcome, since, until)

    def page(self) -> PageRequest:
        """Return the requested page."""
        return PageRequest(limit=self.limit, cursor=self.cursor)


class VerifyQuery(Strict):
    """Where to start the verification, and an anchor."""

    cursor: str | None = Field(None, pattern=CURSOR, description="continue here: `next_cursor` of the previous part")
    anchor: str | None = Field(
        None,
        pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$",
        description="`id:hash` from a log line stored elsewhere; that row must still have this hash",
    )

    def after(self) -> int | None:
        """Return the id of the row after which the verification starts, or None."""
        return None if self.cursor is None else int(self.cursor)

    def known(self) -> tuple[int, str] | None:
        """Return the id and the hash of the anchor, or None."""
        if self.anchor is None:
            return None
        id_, _, hash_ = self.anchor.partition(":")
        return int(id_), hash_


class AuditPage(Shown):
    """A page of audit rows."""

    entries: list[AuditRow]
    pagination: Pagination


class AuditAnswer(Envelope[AuditPage]):
    """Audit rows."""


class VerifyAnswer(Envelope[ChainVerdict]):
    """The result of a verification."""
