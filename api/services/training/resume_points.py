"""Which checkpoint a training goes on from when none is named."""

from collections.abc import Sequence

from api.models.training import Checkpoint


def last_complete(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The complete one that the trainer wrote, or was told to go on from, last; None when there is none.

    After going back to an older one that is not the highest step.
    """
    complete = [found for found in checkpoints if found.is_complete]
    return next((found for found in complete if found.is_latest), complete[-1] if complete else None)
