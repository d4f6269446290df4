"""Schemas of requests about the end of an idle machine, and of their answers."""

from pydantic import ConfigDict, Field

from api.domain.idle_end import IdleView
from api.util.validation import Strict
from api.web.schemas import Envelope

#: A hold of a month or more is a change of the settings.
LONGEST_HOLD = 30 * 24 * 3600


class HoldIdle(Strict):
    """How long the machine stays on although it is idle."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"seconds": 7200}})

    seconds: float | None = Field(None, gt=0, le=LONGEST_HOLD, description="null: until the hold is ended")


class IdleAnswer(Envelope[IdleView]):
    """When this machine ends because nothing runs on it."""
