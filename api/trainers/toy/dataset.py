"""The pictures that a toy training may be given instead of those that it draws itself."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from api.errors import Mistake
from api.trainers.dataset_file import write_dataset
from api.trainers.media import Budget, Looks, Unreadable
from api.trainers.pointers import pointer, shown
from api.trainers.toy.values import read_values

#: Of a video the first picture is taken.
MEDIA_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".mp4", ".mov", ".mkv", ".webm", ".avi")

#: The most pictures that are read, for the sake of the toy's memory.
MOST_PICTURES = 20_000
MOST_DIRECTORIES = 50

#: The most entries of one directory that are looked at.
MOST_NAMES = 100_000

#: Seconds in which files are looked at, and names of damaged ones in one sentence.
_LOOK_SECONDS = 3.0
_MOST_NAMED = 5

#: Settings of a directory that the service fills in for a dataset with masks or control images.
_NOT_USED = ("mask_path", "control_path")

_FORM = 'Give {"directories": [{"path": "/…"}]}, or leave the dataset out: the toy draws its own pictures.'


@dataclass(frozen=True, slots=True)
class ToyDataset:
    """What was found in the directories of a request; `items` None: it has none to count."""

    mistakes: tuple[Mistake, ...] = ()
    items: int | None = None
    warnings: tuple[Mistake, ...] = ()


def read_dataset(dataset: Mapping[str, Any], dataset_toml: str | None, looks: Looks) -> ToyDataset:
    """The dataset of a request, from whichever of the two forms it has; `looks` remembers what was looked at."""
    if dataset_toml is None and not dataset:
        return ToyDataset()
    key, root = ("directories", "/dataset") if dataset_toml is None else ("directory", "/dataset_toml")
    try:
        found = _check(read_values(dataset, dataset_toml), key, root, looks)
        if not found.mistakes:
            write_dataset_file(dataset, dataset_toml)
    except ValueError as error:
        return ToyDataset((Mistake(root, str(error), "Correct it."),))
    return found


def write_dataset_file(dataset: Mapping[str, Any], dataset_toml: str | None) -> str | None:
    """Return the dataset file of a request that was checked; None when it names no dataset. Raises ValueError."""
    if dataset_toml is None and not dataset:
        return None
    text = write_dataset(dataset_toml, read_values(dataset, dataset_toml))
    if text is None:
        raise ValueError("The dataset cannot be written as TOML that the trainer reads.")
    return text


def _check(values: Mapping[str, Any], key: str, root: str, looks: Looks) -> ToyDataset:
    mistakes = [
        Mistake(root + pointer(name), f"The toy trainer has no dataset setting `{shown(name)}`.", _FORM)
        for name in values
        if name != key
    ]
    directories = values.get(key)
    if not isinstance(directories, list | tuple) or not directories:
        return ToyDataset((*mistakes, Mistake(f"{root}/{key}", "The dataset names no directory.", _FORM)))
    if len(directories) > MOST_DIRECTORIES:
        too_many = f"These are more than {MOST_DIRECTORIES} directories."
        return ToyDataset((*mistakes, Mistake(f"{root}/{key}", too_many, "Give it fewer.")))
    warnings: list[Mistake] = []
    items, budget = 0, Budget(_LOOK_SECONDS)
    for index, directory in enumerate(directories):
        at = f"{root}/{key}/{index}"
        found, names = _check_directory(directory, at)
        mistakes += found
        items += len(names)
        if not found and items <= MOST_PICTURES:
            damaged = _find_damaged(Path(directory["path"]), names, looks, budget)
            items -= len(damaged) if len(damaged) < len(names) else 0
            warnings += _tell_damaged(damaged, len(names), f"{at}/path")
            if any(name in directory for name in _NOT_USED):
                what = "The toy trains on whole pictures: it uses no masks and no control images."
                warnings.append(Mistake(f"{at}/path", what, "Train another model type to use them."))
    if items > MOST_PICTURES:
        mistakes.append(Mistake(root, f"These are {items} pictures; the toy takes {MOST_PICTURES}.", "Give it fewer."))
    return ToyDataset(tuple(mistakes), items or None, tuple(warnings))


def _check_directory(directory: Any, at: str) -> tuple[list[Mistake], list[str]]:
    """What is wrong with a directory, and the names of its pictures and videos."""
    if not isinstance(directory, Mapping) or not isinstance(directory.get("path"), str):
        return [Mistake(f"{at}/path", "The directory has no `path`.", _FORM)], []
    unknown = [
        Mistake(at + pointer(name), f"The toy trainer has no directory setting `{shown(name)}`.", "Leave it out.")
        for name in directory
        if name not in ("path", *_NOT_USED)
    ]
    path = directory["path"]
    try:
        if not Path(path).is_absolute():
            return [*unknown, Mistake(f"{at}/path", "The path is not absolute.", "Begin it with `/`.")], []
        names = sorted(name for name in islice(_names(path), MOST_NAMES) if name.lower().endswith(MEDIA_SUFFIXES))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return [*unknown, Mistake(f"{at}/path", f"{shown(path)} cannot be read: {reason}.", "Correct the path.")], []
    if not names:
        endings = ", ".join(MEDIA_SUFFIXES)
        return [*unknown, Mistake(f"{at}/path", "It has no pictures and no videos.", f"Put some in: {endings}.")], []
    return unknown, names


def _find_damaged(directory: Path, names: Sequence[str], looks: Looks, budget: Budget) -> list[str]:
    """The files that cannot be read, as far as there is time to look."""
    damaged = []
    for name in names:
        if budget.is_spent:
            break
        try:
            is_damaged = looks.look(directory / name).is_damaged
        except Unreadable:
            is_damaged = True
        if is_damaged:
            damaged.append(name)
    return damaged


def _tell_damaged(damaged: Sequence[str], count: int, at: str) -> Iterator[Mistake]:
    if damaged:
        more = f" and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
        listed = ", ".join(shown(name) for name in damaged[:_MOST_NAMED]) + more
        what = f"{len(damaged)} of {count} files cannot be read, or lack their end, and are skipped: {listed}."
        yield Mistake(at, what, "Replace or remove them.")


def _names(path: str) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name
