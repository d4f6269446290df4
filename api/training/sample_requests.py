"""The part of requests that has samples rendered after saved models."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from api.domain.samples.sample_set import RequestedSamples
from api.util.http.validation import ONE_LINE, Strict
from api.web.schemas import whole

SetReference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}(@[1-9][0-9]{0,8})?$")]
Trigger = Annotated[str, Field(min_length=1, max_length=200, pattern=ONE_LINE)]


class SamplesAfterModels(Strict):
    """Samples that are rendered after saved models."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"sample_set": "portraits", "every": 1}})

    sample_set: SetReference = Field(description="name of a sample set, or name@version")
    every: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)] = Field(
        1, description="2: every second saved model"
    )
    trigger: Trigger | None = Field(
        None, description="replaces {trigger}; null: the training's own, or that of all captions"
    )

    def requested(self) -> RequestedSamples:
        """Return the samples for the services."""
        return RequestedSamples(self.sample_set, self.every, self.trigger)
