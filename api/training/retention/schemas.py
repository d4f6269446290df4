"""Schemas of requests about retention and of their answers."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from api.domain.tasks.retention import RetentionRule
from api.util.http.validation import Strict
from api.web.schemas import whole

KeepLast = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)]
KeepEvery = Annotated[int, Field(ge=1, le=2**31), BeforeValidator(whole)]
KeepRated = Annotated[int, Field(ge=1, le=5), BeforeValidator(whole)]


class SetRetention(Strict):
    """Which saved models and checkpoints of a training stay. Without any value, everything does."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"keep_last": 3, "keep_every": 10, "keep_rated": 4}}
    )

    keep_last: KeepLast | None = Field(
        None, description="newest models and newest checkpoints that stay; null: the newest model, and all checkpoints"
    )
    keep_every: KeepEvery | None = Field(
        None, description="models whose epoch or step is a multiple of this stay; null: none for that reason"
    )
    keep_rated: KeepRated | None = Field(
        None, description="models with a sample of at least this rating stay; null: none for that reason"
    )

    def rule(self) -> RetentionRule:
        """Return the rule for the service."""
        return RetentionRule(self.keep_last, self.keep_every, self.keep_rated)


class PreviewQuery(Strict):
    """A rule to try. Without any value, the present rule of the training counts."""

    keep_last: int | None = Field(None, ge=1, le=10_000, description="as in the rule")
    keep_every: int | None = Field(None, ge=1, le=2**31, description="as in the rule")
    keep_rated: int | None = Field(None, ge=1, le=5, description="as in the rule")

    def rule(self) -> RetentionRule | None:
        """Return the rule for the service, or None for the present one."""
        rule = RetentionRule(self.keep_last, self.keep_every, self.keep_rated)
        return rule if rule.is_on else None
