"""Series of values over steps, appended while a training runs."""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from api.domain.tasks.progress import Point
from api.domain.tasks.training import Attempt
from api.training.attempts.watch.progress_reports import step_of
from api.util.files.foreign_files import OWN_LEVELS, make_directory, open_own
from api.util.files.foreign_trees import list_names

#: One value: step, value, time in Unix seconds.
RECORD = struct.Struct("<qdd")

SUFFIX = ".series"

#: Path levels to enter without following links: those of an attempt's directory, and `series` below it.
LEVELS = OWN_LEVELS + 1

#: Limit of series per attempt, because event files may contain any number.
MAX_TAGS = 1000

#: Short names of the trainer's tags. Any other name is a tag itself, such as `eval_data/loss`.
TAGS = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "epoch_loss": "train/epoch_loss",
}

#: The tag whose x axis is the epoch.
EPOCH_LOSS = "train/epoch_loss"

#: Limit of characters of a file name, because file systems allow 255 bytes.
LONGEST_NAME = 240


@dataclass(frozen=True, slots=True)
class Stretch:
    """The series of one attempt, which started after `after_step`.

    Earlier attempts' values beyond that step are void.
    """

    directory: Path
    after_step: int | None = None


def is_evaluation_loss(tag: str) -> bool:
    """Return whether a series has the losses of an evaluation."""
    return tag.endswith("/loss") and tag != TAGS["loss"]


def list_stretches(attempts: Iterable[Attempt]) -> list[Stretch]:
    """Return the series directories of a task: one stretch per attempt, oldest first."""
    return [Stretch(Path(attempt.directory) / "series", _started_after(attempt)) for attempt in attempts]


def _started_after(attempt: Attempt) -> int | None:
    if attempt.started_at is None:
        return None
    return 0 if attempt.resumed_from is None else step_of(attempt.resumed_from)


def append_points(directory: Path, points: Iterable[Point]) -> None:
    """Append points to the series of an attempt, one file per tag. Raise OSError."""
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
            # An interrupted write may have left a partial record.
            surplus = file.tell() % RECORD.size
            if surplus:
                file.truncate(file.tell() - surplus)
            file.write(records)


def path_of(directory: Path, tag: str) -> Path:
    """Return the file of a series. Names that are too long are cut."""
    return directory / (quote(tag, safe="")[:LONGEST_NAME] + SUFFIX)
