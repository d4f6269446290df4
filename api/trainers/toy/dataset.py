"""Check the pictures that a toy training can use instead of the ones that it draws."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from api.domain.finding import make_finding
from api.errors import Finding
from api.trainers.dataset_file import write_dataset
from api.trainers.media import Budget, MediaInfoCache, Unreadable
from api.trainers.pointers import pointer, shown
from api.trainers.toy.settings import read_values

#: For a video, the first picture is used.
MEDIA_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".mp4", ".mov", ".mkv", ".webm", ".avi")

#: Most pictures that are read, to limit the toy's memory.
MAX_PICTURES = 20_000
MAX_DIRECTORIES = 50

#: Most files of a rehearsal.
REHEARSED = 2

#: Most entries of one directory that are examined.
MAX_NAMES = 100_000

#: Time limit for examining files in seconds, and most damaged names in one message.
_READ_SECONDS = 3.0
_MAX_NAMED = 5

#: Settings of a directory that the service adds for datasets with masks or control images.
_NOT_USED = ("mask_path", "control_path")


@dataclass(frozen=True, slots=True)
class ToyDataset:
    """The results of the check; `items` is None if there are none to count."""

    mistakes: tuple[Finding, ...] = ()
    items: int | None = None
    warnings: tuple[Finding, ...] = ()
    first: tuple[tuple[int, str], ...] = ()  #: some files, each with the index of its directory


def read_dataset(dataset: Mapping[str, Any], dataset_toml: str | None, cache: MediaInfoCache) -> ToyDataset:
    """Check the dataset of a request in either form; `cache` stores the properties of files."""
    if dataset_toml is None and not dataset:
        return ToyDataset()
    key, root = ("directories", "/dataset") if dataset_toml is None else ("directory", "/dataset_toml")
    try:
        found = _check(read_values(dataset, dataset_toml), key, root, cache)
        if not found.mistakes:
            write_dataset_file(dataset, dataset_toml)
    except ValueError as error:
        return ToyDataset((make_finding(root, "toy_unreadable", why=error),))
    return found


def write_dataset_file(dataset: Mapping[str, Any], dataset_toml: str | None) -> str | None:
    """Return the dataset file of a checked request, or None if it has no dataset. Raise ValueError."""
    if dataset_toml is None and not dataset:
        return None
    text = write_dataset(dataset_toml, read_values(dataset, dataset_toml))
    if text is None:
        raise ValueError("The dataset cannot be written as TOML for the trainer.")
    return text


def _check(values: Mapping[str, Any], key: str, root: str, cache: MediaInfoCache) -> ToyDataset:
    mistakes = [
        make_finding(root + pointer(name), "toy_dataset_setting_unknown", name=shown(name))
        for name in values
        if name != key
    ]
    directories = values.get(key)
    if not isinstance(directories, list | tuple) or not directories:
        return ToyDataset((*mistakes, make_finding(f"{root}/{key}", "toy_directories_missing")))
    if len(directories) > MAX_DIRECTORIES:
        return ToyDataset((*mistakes, make_finding(f"{root}/{key}", "toy_too_many_directories", most=MAX_DIRECTORIES)))
    warnings: list[Finding] = []
    first: list[tuple[int, str]] = []
    items, budget = 0, Budget(_READ_SECONDS)
    for index, directory in enumerate(directories):
        at = f"{root}/{key}/{index}"
        found, names = _check_directory(directory, at)
        mistakes += found
        items += len(names)
        first += [(index, name) for name in names[: REHEARSED - len(first)]]
        if not found and items <= MAX_PICTURES:
            damaged = _find_damaged(Path(directory["path"]), names, cache, budget)
            items -= len(damaged) if len(damaged) < len(names) else 0
            warnings += _report_damaged(damaged, len(names), f"{at}/path")
            if any(name in directory for name in _NOT_USED):
                warnings.append(make_finding(f"{at}/path", "toy_uses_no_masks"))
    if items > MAX_PICTURES:
        mistakes.append(make_finding(root, "toy_too_many_pictures", items=items, max_pictures=MAX_PICTURES))
    return ToyDataset(tuple(mistakes), items or None, tuple(warnings), tuple(first))


def _check_directory(directory: Any, at: str) -> tuple[list[Finding], list[str]]:
    """Return the findings about a directory, and the names of its pictures and videos."""
    if not isinstance(directory, Mapping) or not isinstance(directory.get("path"), str):
        return [make_finding(f"{at}/path", "toy_path_missing")], []
    unknown = [
        make_finding(at + pointer(name), "toy_directory_setting_unknown", name=shown(name))
        for name in directory
        if name not in ("path", *_NOT_USED)
    ]
    path = directory["path"]
    try:
        if not Path(path).is_absolute():
            return [*unknown, make_finding(f"{at}/path", "toy_path_relative")], []
        names = sorted(name for name in islice(_names(path), MAX_NAMES) if name.lower().endswith(MEDIA_SUFFIXES))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return [*unknown, make_finding(f"{at}/path", "toy_path_unreadable", path=shown(path), reason=reason)], []
    if not names:
        endings = ", ".join(MEDIA_SUFFIXES)
        return [
            *unknown,
            make_finding(f"{at}/path", "toy_directory_empty", endings=endings),
        ], []
    return unknown, names


def _find_damaged(directory: Path, names: Sequence[str], cache: MediaInfoCache, budget: Budget) -> list[str]:
    """Return the damaged files, as far as the budget lasts."""
    damaged = []
    for name in names:
        if budget.is_spent:
            break
        try:
            is_damaged = cache.read_info(directory / name).is_damaged
        except Unreadable:
            is_damaged = True
        if is_damaged:
            damaged.append(name)
    return damaged


def _report_damaged(damaged: Sequence[str], count: int, at: str) -> Iterator[Finding]:
    if damaged:
        more = f" and {len(damaged) - _MAX_NAMED} more" if len(damaged) > _MAX_NAMED else ""
        listed = ", ".join(shown(name) for name in damaged[:_MAX_NAMED]) + more
        yield make_finding(at, "toy_files_damaged", count=len(damaged), files=count, names=listed)


def _names(path: str) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name
