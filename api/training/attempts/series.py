"""Series of values over steps: appended while a training runs. `series_reader` reads them."""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from api.domain.progress import Point
from api.domain.training import Attempt
from api.training.attempts.progress import step_of
from api.util.foreign_files import OWN_LEVELS, make_directory, open_own
from api.util.foreign_trees import list_names

#: One value: its step, the value, its time in Unix seconds.
RECORD = struct.Struct("<qdd")

SUFFIX = ".series"

#: Parts of a path entered without following a link: those of an attempt's directory, and `series` below it.
LEVELS = OWN_LEVELS + 1

#: The most series of one attempt, as event files may name any number.
MAX_TAGS = 1000

#: The short names of the trainer's tags. Any other name is taken for a tag: `eval_data/loss`.
TAGS = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "epoch_loss": "train/epoch_loss",
}

#: The tag whose x axis is the epoch.
EPOCH_LOSS = "train/epoch_loss"

#: Characters of a file's name that are used: a file system takes 255 bytes.
LONGEST_NAME = 240


@dataclass(frozen=True, slots=True)
class Stretch:
    """The series of one attempt. It went on from `after_step`: earlier attempts' values beyond that step are void."""

    directory: Path
    after_step: int | None = None


def list_stretches(attempts: Iterable[Attempt]) -> list[Stretch]:
    """Where the series of a task are: one stretch an attempt, oldest first."""
    return [Stretch(Path(attempt.directory) / "series", _began_after(attempt)) for attempt in attempts]


def _began_after(attempt: Attempt) -> int | None:
    if attempt.started_at is None:
        return None
    return 0 if attempt.resumed_from is None else step_of(attempt.resumed_from)


def append_points(directory: Path, points: Iterable[Point]) -> None:
    """Adds points to the series of an attempt, one file a tag. Raises OSError."""
    by_tag: dict[str, bytearray] = {}
    for point in points:
        by_tag.setdefault(point.tag, bytearray()).extend(RECORD.pack(point.step, point.value, point.at))
    if not by_tag:
        return
    make_directory(str(directory), LEVELS)
    known = set(list_names(str(directory), LEVELS)[1])
    for tag, records in by_tag.items():
        path = path_of(directory, tag)
        known.add(path.name)
        if len(known) > MAX_TAGS and not path.exists():
            continue
        with open(open_own(str(path), os.O_WRONLY | os.O_APPEND, LEVELS), "ab") as file:
            # A write that was cut off left a part of a record behind.
            surplus = file.tell() % RECORD.size
            if surplus:
                file.truncate(file.tell() - surplus)
            file.write(records)


def path_of(directory: Path, tag: str) -> Path:
    """The file of a series; a name that is too long for a file is cut."""
    return directory / (quote(tag, safe="")[:LONGEST_NAME] + SUFFIX)
