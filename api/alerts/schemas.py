"""What requests about alerts, rules, silences and channels may hold, and what their answers look like."""

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

#: What an id or name in a filter can be.
ID = r"^[A-Za-z0-9_.\-]{1,64}$"

Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]
LabelValue = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Weight = Annotated[Severity, Field(strict=False)]
Lasting = Annotated[float, Field(ge=0, le=7 * DAY)]


class MatcherBody(Strict):
    """A label that must have a value: `gpu_uuid`, `task_id`, `node`, `owner`, and of every alert `rule`, `severity`,
    `scope`.
    """

    model_config = ConfigDict(strict=True)

    label: Label
    value: LabelValue
    is_glob: bool = Field(False, description="the value may hold * for anything")

    def matcher(self) -> Matcher:
        """The matcher as the services take it."""
        return Matcher(self.label, self.value, self.is_glob)


Matchers = Annotated[list[MatcherBody], Field(max_length=20)]


# -- alerts ------------------------------------------------------------------------------------------------------------


class AlertQuery(PageQuery):
    """Which alerts; filters are joined by and."""

    state: ShownState | None = Field(None, description="only in this state")
    severity: Severity | None = Field(None, description="only of this weight")
    rule: str | None = Field(None, pattern=ID, description="only of this rule, by its id")
    task_id: str | None = Field(None, pattern=ID, description="only about this training")
    gpu_uuid: str | None = Field(None, pattern=ID, description="only about this GPU")
    open: bool | None = Field(None, description="only what has not ended, or only what has")
    since: Time | Duration | None = Field(
        None, description="only what went on then or later: a time, or how long ago; what is open goes on"
    )
    until: Time | None = Field(None, description="only what had begun by then")

    def wanted(self, seen_by: str | None, now: datetime) -> AlertFilter:
        """The filter as the service takes it."""
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
    """That somebody knows of it."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"comment": "fan ordered"}})

    until: Time | None = Field(None, strict=False, description="until then; else until it ends or becomes graver")
    comment: Line = Field("", description="for its history")


class AlertList(Shown):
    """Alerts, newest first, and how many are open in all."""

    alerts: list[AlertView]
    counts: AlertCounts
    pagination: Pagination


class AlertListAnswer(Envelope[AlertList]):
    """Alerts."""


class AlertAnswer(Envelope[AlertView]):
    """One alert."""


class AlertDetailAnswer(Envelope[AlertDetailView]):
    """One alert with its history."""


# -- silences ----------------------------------------------------------------------------------------------------------


class MakeSilence(Strict):
    """For how long nobody is told of which alerts."""

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

    matchers: Annotated[list[MatcherBody], Field(min_length=1, max_length=20, description="all must fit")]
    until: Time = Field(strict=False, description="within 30 days")
    since: Time | None = Field(None, strict=False, description="from then on; now by default")
    comment: Annotated[Line, Field(min_length=1)] = Field(description="why")

    def request(self) -> SilenceRequest:
        """The request as the service takes it."""
        return SilenceRequest(
            tuple(each.matcher() for each in self.matchers),
            utc(self.until),
            self.comment,
            None if self.since is None else utc(self.since),
        )


class SilenceQuery(PageQuery):
    """Says which silences are wanted."""

    ended: bool = Field(False, description="also those that have ended")


class SilenceList(Shown):
    """Silences, newest first."""

    silences: list[SilenceView]
    pagination: Pagination


class SilenceListAnswer(Envelope[SilenceList]):
    """Silences."""


class SilenceAnswer(Envelope[SilenceView]):
    """One silence."""
