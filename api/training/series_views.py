"""A training's series as the API shows them."""

import errno
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from api.training.attempts.watch.series import EPOCH_LOSS, LEVELS, SUFFIX, TAGS, Stretch, path_of
from api.training.views import SeriesPoint, SeriesView, XAxis
from api.util.clock import time_of
from api.util.files.foreign_files import ForeignFile, read
from api.util.files.foreign_trees import list_names

#: The format of a record for NumPy, equal to `series.RECORD`.
RECORD = np.dtype([("step", "<i8"), ("value", "<f8"), ("at", "<f8")])

#: Limit of bytes read from one file: 2.8 million values.
LONGEST_SERIES = 64 * 2**20

Records = npt.NDArray[np.void]


def list_tags(stretches: Sequence[Stretch]) -> list[str]:
    """Return the tags of all series of these attempts."""
    names = {name for stretch in stretches for name in list_names(str(stretch.directory), LEVELS)[1]}
    return sorted({unquote(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)})


def read_series(stretches: Sequence[Stretch], tag: str) -> Records:
    """Return one series over the attempts of a task, by step. For repeated steps, the later attempt wins."""
    merged = np.empty(0, dtype=RECORD)
    for stretch in stretches:
        # An epoch loss has the epoch on its x axis, so the step does not show which values are void.
        if stretch.after_step is not None and tag != EPOCH_LOSS:
            merged = merged[merged["step"] <= stretch.after_step]
        records = _read(path_of(stretch.directory, tag))
        if len(records):
            merged = np.concatenate([merged[merged["step"] < records["step"][0]], records])
    return merged


def _read(path: Path) -> Records:
    try:
        content = read(str(path), LONGEST_SERIES, LEVELS)
    except ForeignFile:
        return np.empty(0, dtype=RECORD)
    except OSError as error:
        # A name that is too long cannot be that of a series.
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise
        return np.empty(0, dtype=RECORD)
    records = np.frombuffer(content[: len(content) - len(content) % RECORD.itemsize], dtype=RECORD)
    # Records read again after a restart are duplicates; the last one is used.
    _, last = np.unique(records["step"][::-1], return_index=True)
    return records[len(records) - 1 - last]


@dataclass(frozen=True, slots=True)
class Thinned:
    """Some records of a series, and their original number. `nan_count` is the number of NaN values."""

    records: Records
    total: int
    nan_count: int


def thin_out(records: Records, limit: int) -> Thinned:
    """Return at most `limit` records that show the same curve: the minimum and maximum of each interval."""
    total, nan_count = len(records), int(np.isnan(records["value"]).sum())
    if total <= limit or total <= 2:
        return Thinned(records, total, nan_count)
    if limit < 4:
        return Thinned(records[np.linspace(0, total - 1, max(1, limit), dtype=int)], total, nan_count)
    # Both ends are always included; each interval between them gives two records.
    inner, stretches = np.arange(1, total - 1), (limit - 2) // 2
    chosen = [np.array([0, total - 1])]
    for stretch in np.array_split(inner, stretches):
        values = records["value"][stretch]
        low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
        chosen.append(stretch[[int(np.argmin(low)), int(np.argmax(high))]])
    return Thinned(records[np.unique(np.concatenate(chosen))], total, nan_count)


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
