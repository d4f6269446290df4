"""A training's series as the API shows them."""

import math
from collections.abc import Sequence

from api.training.attempts.series import EPOCH_LOSS, TAGS, Stretch
from api.training.attempts.series_reader import list_tags, read_series, thin_out
from api.training.views import SeriesPoint, SeriesView, XAxis
from api.util.clock import time_of


def show_series(
    stretches: Sequence[Stretch], metric: str, axis: XAxis, limit: int, since_step: int | None
) -> SeriesView:
    """Return the values of a metric from `since_step` on, reduced to `limit`. Empty if there are no values."""
    tag = EPOCH_LOSS if axis is XAxis.EPOCH and metric in ("loss", "epoch_loss") else TAGS.get(metric, metric)
    over_epochs = tag == EPOCH_LOSS
    records = read_series(stretches, tag)
    if since_step is not None:
        records = records[records["step"] >= since_step]
    thinned = thin_out(records, limit)
    points = tuple(
        SeriesPoint(
            step=None if over_epochs else step,
            epoch=step if over_epochs else None,
            value=value if math.isfinite(value) else None,
            timestamp=time_of(at),
        )
        for step, value, at in thinned.records.tolist()
    )
    short = {tag: name for name, tag in TAGS.items()}
    return SeriesView(
        metric=metric,
        type=XAxis.EPOCH if over_epochs else XAxis.STEP,
        data=points,
        total=thinned.total,
        nan_count=thinned.nan_count,
        is_downsampled=len(points) < thinned.total,
        available=tuple(short.get(tag, tag) for tag in list_tags(stretches)),
    )
