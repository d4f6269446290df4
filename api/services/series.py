"""Series of values over steps: appended while a training runs, read and thinned out for answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt

from api.trainers.output import Point

#: One value: its step, the value, its time in Unix seconds.
RECORD = np.dtype([("step", "<i8"), ("value", "<f8"), ("at", "<f8")])

_SUFFIX = ".series"

Records = npt.NDArray[np.void]


def append_points(directory: Path, points: Iterable[Point]) -> None:
    """Adds points to the series of an attempt, one file a tag. Raises OSError."""
    by_tag: dict[str, list[tuple[int, float, float]]] = {}
    for point in points:
        by_tag.setdefault(point.tag, []).append((point.step, point.value, point.at))
    if by_tag:
        directory.mkdir(exist_ok=True)
    for tag, rows in by_tag.items():
        path = directory / (quote(tag, safe="") + _SUFFIX)
        with path.open("ab") as file:
            # A write that was cut off left a part of a record behind.
            surplus = file.tell() % RECORD.itemsize
            if surplus:
                file.truncate(file.tell() - surplus)
            file.write(np.array(rows, dtype=RECORD).tobytes())


def list_tags(directories: Sequence[Path]) -> list[str]:
    """The tags that any of these attempts has a series of."""
    return sorted({unquote(path.name.removesuffix(_SUFFIX)) for d in directories for path in d.glob(f"*{_SUFFIX}")})


def read_series(directories: Sequence[Path], tag: str) -> Records:
    """One series over the attempts of a task, by step. Where an attempt went over steps again, the later one holds."""
    kept = np.empty(0, dtype=RECORD)
    for directory in directories:
        records = _read(directory / (quote(tag, safe="") + _SUFFIX))
        if len(records):
            kept = np.concatenate([kept[kept["step"] < records["step"][0]], records])
    return kept


def _read(path: Path) -> Records:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
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
        chosen.append(stretch[[int(low.argmin()), int(high.argmax())]])
    return Thinned(records[np.unique(np.concatenate(chosen))], total, nan_count)
