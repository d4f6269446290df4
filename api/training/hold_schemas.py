"""Schemas of requests about holds and of their answers."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from api.domain.hold import Hold
from api.util.masking import mask_secrets
from api.util.validation import Strict
from api.web.schemas import Envelope, GPUIndex, Shown

Why = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(mask_secrets)]


class CreateHold(Strict):
    """The target of a hold and its reason."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"gpu_id": "0", "reason": "its fan is replaced"}}
    )

    gpu_id: GPUIndex | Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="index or UUID of a GPU; null or omitted: the queue"
    )
    reason: Why


class HoldList(Shown):
    """The current holds."""

    holds: list[Hold]


class HoldListAnswer(Envelope[HoldList]):
    """The current holds."""


class HoldAnswer(Envelope[Hold]):
    """One hold."""
