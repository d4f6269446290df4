"""The rule that says which saved models and checkpoints of a training stay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What stays. Without any value, everything does."""

    keep_last: int | None = None  #: the newest models, and the newest checkpoints; null: the newest model
    keep_every: int | None = None  #: models whose epoch or step is a multiple of this
    keep_rated: int | None = None  #: models with a sample of at least this rating, from 1 to 5

    @property
    def is_on(self) -> bool:
        """Whether it deletes anything."""
        return any(each is not None for each in (self.keep_last, self.keep_every, self.keep_rated))
