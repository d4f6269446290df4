"""Reads series and thins them out for answers."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from api.training.attempts.series import EPOCH_LOSS, LEVELS, SUFFIX, Stretch, path_of
from api.util.foreign_files import ForeignFile, read
from api.util.foreign_trees import list_names

#: The form of a record in a series' file, as NumPy reads it: the same as `series.RECORD`.
RECORD = np.dtype([("step", "<i8"), ("value", "<f8"), ("at", "<f8")])

#: The most bytes of one file that are read: 2.8 million values.
LONGEST_SERIES = 64 * 2**20

Records = npt.NDArray[np.void]


def list_tags(stretches: Sequence[Stretch]) -> list[str]:
    """The tags that any of these attempts has a series of."""
    names = {name for stretch in stretches for name in list_names(str(stretch.directory), LEVELS)[1]}
    return sorted({unquote(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)})


def read_series(stretches: Sequence[Stretch], tag: str) -> Records:
    """One series over the attempts of a task, by step. Where an attempt went over steps again, the later one holds."""
    kept = np.empty(0, dtype=RECORD)
    for stretch in stretches:
        # The x axis of an epoch's loss is the epoch: no step says which of them are lost.
        if stretch.after_step is not None and tag != EPOCH_LOSS:
            kept = kept[kept["step"] <= stretch.after_step]
        records = _read(path_of(stretch.directory, tag))
        if len(records):
            kept = np.concatenate([kept[kept["step"] < records["step"][0]], records])
    return kept


def _read(path: Path) -> Records:
    try:
        content = read(str(path), LONGEST_SERIES, LEVELS)
    except ForeignFile:
        return np.empty(0, dtype=RECORD)
    except OSError as error:
        # No series has a name that is too long for a file.
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise
        return np.empty(0, dtype=RECORD)
    records = np.frombuffer(content[: len(content) - len(content) % RECORD.itemsize], dtype=RECORD)
    # What was read twice, around a restart, is there twice: the last one holds.
    _, last = np.unique(records["step"][::-1], return_index=True)
    return records[len(records) - 1 - last]


@dataclass(frozen=True, slots=True)
class Thinned:
    """Some records of a series, and how many there were; `nan_count` counts values that are no numbers."""

    records: Records
    total: int
    nan_count: int


def thin_out(records: Records, limit: int) -> Thinned:
    """At most `limit` records that show the same curve: of each stretch its lowest and its highest value."""
    total, nan_count = len(records), int(np.isnan(records["value"]).sum())
    if total <= limit or total <= 2:
        return Thinned(records, total, nan_count)
    if limit < 4:
        return Thinned(records[np.linspace(0, total - 1, max(1, limit), dtype=int)], total, nan_count)
    # The ends are always shown; each stretch between them gives two.
    inner, stretches = np.arange(1, total - 1), (limit - 2) // 2
    chosen = [np.array([0, total - 1])]
    for stretch in np.array_split(inner, stretches):
        values = records["value"][stretch]
        low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
        chosen.append(stretch[[int(np.argmin(low)), int(np.argmax(high))]])
    return Thinned(records[np.unique(np.concatenate(chosen))], total, nan_count)
