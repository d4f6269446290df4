"""Series of several trainings on a common axis. Numbers only; `comparison` knows the trainings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from api.training.attempts.watch.series import EPOCH_LOSS, TAGS, Stretch, is_evaluation_loss
from api.training.comparison.views import ComparedLoss, ComparedSeries, ComparisonAxis
from api.training.series_views import RECORD, Records, list_tags, read_series, thin_out

#: The name of the losses of all evaluations.
EVALUATIONS = "eval_loss"

#: The most evaluations of one training, which may have any number of datasets.
_MOST_EVALUATIONS = 8

#: Digits after the point of positions on the axis: fractions of an epoch, and microseconds.
_DIGITS = 6

Numbers = npt.NDArray[np.float64]

_SHORT = {tag: name for name, tag in TAGS.items()}


@dataclass(frozen=True)
class Course:
    """The series of one training, and what places their values on an axis. Unknown is None."""

    stretches: Sequence[Stretch]
    runs: Sequence[tuple[float, float | None]]  #: start and end of each attempt in Unix seconds; None: it runs
    steps_per_epoch: int | None
    examples_per_step: int | None

    @cached_property
    def tags(self) -> list[str]:
        """The tags of its series."""
        return list_tags(self.stretches)

    @property
    def available(self) -> set[str]:
        """The names of its metrics."""
        return {_SHORT.get(tag, tag) for tag in self.tags}

    @property
    def evaluations(self) -> list[str]:
        """The tags of the losses of evaluations."""
        return [tag for tag in self.tags if is_evaluation_loss(tag)][:_MOST_EVALUATIONS]

    @cached_property
    def _losses(self) -> dict[str, Records]:
        return {tag: read_series(self.stretches, tag) for tag in (TAGS["loss"], *self.evaluations)}

    def losses(self) -> tuple[ComparedLoss, ...]:
        """Return the last and the lowest loss, of the training and of its evaluations."""
        return tuple(_summarize(_SHORT.get(tag, tag), records) for tag, records in self._losses.items())

    def show(self, task_id: str, metric: str, axis: ComparisonAxis, limit: int) -> list[ComparedSeries]:
        """Return a metric, which may stand for several series, reduced to `limit` values each."""
        tags = self.evaluations if metric == EVALUATIONS else [TAGS.get(metric, metric)]
        found = [(tag, self._losses[tag] if tag in self._losses else read_series(self.stretches, tag)) for tag in tags]
        return [self._show(task_id, tag, records, axis, limit) for tag, records in found if len(records)]

    def _show(self, task_id: str, tag: str, records: Records, axis: ComparisonAxis, limit: int) -> ComparedSeries:
        thinned = thin_out(records, limit)
        x = self._place(thinned.records, axis, over_epochs=tag == EPOCH_LOSS)
        values = [] if x is None else thinned.records["value"].tolist()
        return ComparedSeries(
            task_id=task_id,
            metric=_SHORT.get(tag, tag),
            x=() if x is None else tuple(np.round(x, _DIGITS).tolist()),
            values=tuple(value if math.isfinite(value) else None for value in values),
            total=thinned.total,
            nan_count=thinned.nan_count,
            is_downsampled=len(values) < thinned.total,
            is_placed=x is not None,
        )

    def place_saved(self, kind: str | None, number: int | None, axis: ComparisonAxis) -> float | None:
        """Return the position of a model saved at the end of an epoch or step, or None if unknown."""
        if number is None:
            return None
        record = np.array([(number, 0.0, 0.0)], dtype=RECORD)
        if axis is ComparisonAxis.TIME:
            step = self._place(record, ComparisonAxis.STEP, over_epochs=kind == "epoch")
            losses = self._losses[TAGS["loss"]]
            at = len(losses) if step is None else int(np.searchsorted(losses["step"], step[0]))
            record = losses[at : at + 1]
        x = self._place(record, axis, over_epochs=kind == "epoch") if len(record) else None
        return None if x is None else round(float(x[0]), _DIGITS)

    def _place(self, records: Records, axis: ComparisonAxis, *, over_epochs: bool) -> Numbers | None:
        """Return the positions of records, or None if they are unknown."""
        if axis is ComparisonAxis.TIME:
            return self._elapsed(records["at"])
        scale = self._scale(axis, over_epochs=over_epochs)
        return None if scale is None else records["step"] * scale

    def _scale(self, axis: ComparisonAxis, *, over_epochs: bool) -> float | None:
        """Return how far a step, or an epoch, leads on the axis, or None if that is unknown."""
        per_epoch = self.steps_per_epoch
        if axis is ComparisonAxis.EPOCH:
            return 1.0 if over_epochs else None if per_epoch is None else 1 / per_epoch
        steps = per_epoch if over_epochs else 1
        examples = self.examples_per_step if axis is ComparisonAxis.IMAGES else 1
        return None if steps is None or examples is None else float(steps * examples)

    def _elapsed(self, at: Numbers) -> Numbers | None:
        """Return the seconds that the attempts had run at these times, without the time between them."""
        if not self.runs:
            return None
        starts = np.array([start for start, _ in self.runs])
        spans = [
            min(start if end is None else end, following) - start
            for (start, end), (following, _) in zip(self.runs, self.runs[1:], strict=False)
        ]
        before = np.concatenate([[0.0], np.cumsum(np.maximum(spans, 0.0))])
        run = np.maximum(np.searchsorted(starts, at, side="right") - 1, 0)
        # The clock may have been set while it ran.
        return np.maximum.accumulate(np.maximum(before[run] + at - starts[run], 0.0))


def _summarize(metric: str, records: Records) -> ComparedLoss:
    known = records[np.isfinite(records["value"])]
    if not len(known):
        return ComparedLoss(metric, None, None, None)
    lowest = known[int(np.argmin(known["value"]))]
    return ComparedLoss(metric, float(known["value"][-1]), float(lowest["value"]), int(lowest["step"]))
