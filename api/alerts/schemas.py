"""Request and response schemas of alerts and silences, and types that other schemas of alerts share."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from api.alerts.service import SilenceRequest
from api.alerts.views import AlertDetailView, AlertView, SilenceView
from api.domain.alert import AlertCounts, AlertFilter, Matcher, ShownState
from api.domain.event import Severity
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Duration, Envelope, PageQuery, Shown, Time, moment, utc

#: Seconds.
DAY = 86_400.0

#: The form of an id or name in a filter.
ID = r"^[A-Za-z0-9_.\-]{1,64}$"

Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]
LabelValue = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
SeverityName = Annotated[Severity, Field(strict=False)]
RuleSeconds = Annotated[float, Field(ge=0, le=7 * DAY)]


class MatcherBody(Strict):
    """A label that must have a value.

    Labels are `gpu_uuid`, `task_id`, `node` and `owner`, and for every alert `rule`, `severity` and `scope`.
    """

    model_config = ConfigDict(strict=True)

    label: Label
    value: LabelValue
    is_glob: bool = Field(False, description="whether * in the value matches any text")

    def matcher(self) -> Matcher:
        """Return the matcher for the services."""
        return Matcher(self.label, self.value, self.is_glob)


Matchers = Annotated[list[MatcherBody], Field(max_length=20)]


# -- alerts ------------------------------------------------------------------------------------------------------------


class AlertQuery(PageQuery):
    """Filters of alerts. All of them must match."""

    state: ShownState | None = Field(None, description="only alerts in this state")
    severity: Severity | None = Field(None, description="only alerts of this severity")
    rule: str | None = Field(None, pattern=ID, description="only alerts of the rule with this id")
    task_id: str | None = Field(None, pattern=ID, description="only alerts about this training")
    gpu_uuid: str | None = Field(None, pattern=ID, description="only alerts about this GPU")
    open: bool | None = Field(None, description="only alerts that have not ended, or only those that have")
    since: Time | Duration | None = Field(
        None, description="only alerts that had not ended by then: a time, or how long ago"
    )
    until: Time | None = Field(None, description="only alerts that had started by then")

    def criteria(self, seen_by: str | None, now: datetime) -> AlertFilter:
        """Return the filter for the service."""
        return AlertFilter(
            () if self.state is None else (self.state,),
            self.severity,
            self.rule,
            self.task_id,
            seen_by,
            self.gpu_uuid,
            self.open,
            None if self.since is None else moment(self.since, now),
            None if self.until is None else utc(self.until),
        )


class Acknowledge(Strict):
    """An acknowledgement of an alert."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"comment": "fan ordered"}})

    until: Time | None = Field(
        None,
        strict=False,
        description="end of the acknowledgement; by default it lasts until the alert ends or becomes more severe",
    )
    comment: Line = Field("", description="comment for the alert's history")


class AlertList(Shown):
    """A page of alerts, newest first, and the numbers of open alerts."""

    alerts: list[AlertView]
    counts: AlertCounts
    pagination: Pagination


class AlertListAnswer(Envelope[AlertList]):
    """A page of alerts."""


class AlertAnswer(Envelope[AlertView]):
    """One alert."""


class AlertDetailAnswer(Envelope[AlertDetailView]):
    """One alert with its history."""


# -- silences ----------------------------------------------------------------------------------------------------------


class CreateSilence(Strict):
    """A new silence: the alerts and the time for which no notifications are sent."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "matchers": [{"label": "rule", "value": "near_slowdown"}],
                "until": "2026-12-01T08:00:00Z",
                "comment": "new cooling on Tuesday",
            }
        },
    )

    matchers: Annotated[list[MatcherBody], Field(min_length=1, max_length=20, description="all must match")]
    until: Time = Field(strict=False, description="end of the silence, at most 30 days after its start")
    since: Time | None = Field(None, strict=False, description="start of the silence; now by default")
    comment: Annotated[Line, Field(min_length=1)] = Field(description="reason of the silence")

    def request(self) -> SilenceRequest:
        """Return the request for the service."""
        return SilenceRequest(
            tuple(each.matcher() for each in self.matchers),
            utc(self.until),
            self.comment,
            None if self.since is None else utc(self.since),
        )


class SilenceQuery(PageQuery):
    """Filters of silences."""

    ended: bool = Field(False, description="also silences that have ended")


class SilenceList(Shown):
    """Silences, newest first."""

    silences: list[SilenceView]
    pagination: Pagination


class SilenceListAnswer(Envelope[SilenceList]):
    """A page of silences."""


class SilenceAnswer(Envelope[SilenceView]):
    """One silence."""
