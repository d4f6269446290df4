"""The request of the toy trainer: its settings, their permitted values, its pictures, and TOML output."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from api.domain.finding import make_finding, pointer, shown
from api.domain.reason import Reason
from api.errors import Finding, FindingText
from api.trainers.media import Budget, MediaInfoCache, Unreadable
from api.trainers.toml_text import text_excess, values_excess, write_dataset
from api.trainers.toy.simulated_failures import ERRORS, SIGNALS
from api.util.http.validation import MAX_MISTAKES
from api.util.text.suggestions import nearest

TOY_UNREADABLE = FindingText("toy_unreadable", "{why}", "Correct it.")


@dataclass(frozen=True, slots=True)
class Setting:
    """The permitted values of a setting: an integer, number or string with bounds or choices, or a boolean."""

    kind: type
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the permitted values in words."""
        if self.kind is bool:
            return "true or false"
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        return f"a {'whole ' if self.kind is int else ''}number from {self.low:g} to {self.high:g}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is permitted."""
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if self.kind is str:
            return value in self.choices
        kinds = (int,) if self.kind is int else (int, float)
        return isinstance(value, kinds) and self.low <= value <= self.high


COUNT = Setting(int, 1, 1_000_000)
SECONDS = Setting(float, 0, 3600)
FLAG = Setting(bool)

TOP: Mapping[str, Setting] = {
    "epochs": Setting(int, 1, 100_000),
    "max_steps": COUNT,
    "micro_batch_size_per_gpu": Setting(int, 1, 4096),
    "save_every_n_epochs": COUNT,
    "save_every_n_steps": COUNT,
    "checkpoint_every_n_epochs": COUNT,
    "checkpoint_every_n_minutes": Setting(float, 0.001, 100_000),
    "eval_every_n_epochs": COUNT,
    "eval_every_n_steps": COUNT,
    "eval_before_first_step": FLAG,
}

TABLES: Mapping[str, Mapping[str, Setting]] = {
    "model": {"type": Setting(str, choices=("toy",))},
    "optimizer": {"type": Setting(str, choices=("adam",)), "lr": Setting(float, 1e-9, 1)},
    "toy": {
        "steps_per_epoch": Setting(int, 1, 1_000_000),
        "step_seconds": SECONDS,
        "load_seconds": SECONDS,
        "cache_seconds": SECONDS,
        "end_seconds": SECONDS,
        "checkpoint_every_n_steps": COUNT,
        "log_lines_per_step": Setting(int, 0, 100_000),
        "seed": Setting(int, 0, 2**31 - 1),
        "size": Setting(int, 4, 64),
        "fail_at_step": Setting(int, 0, 100_000_000),
        "fail_with": Setting(str, choices=(*ERRORS, *SIGNALS, "nan", "quit", "exit_zero")),
        "fail_once": FLAG,
        "hang_at_step": COUNT,
        "hang_in": Setting(str, choices=("loading", "caching", "training")),
        "ignore_sigterm": FLAG,
        "spawn_children": Setting(int, 0, 64),
        "nasty_children": FLAG,
        "children_hold_on": FLAG,
        "exports_directly": FLAG,
    },
}

#: Groups of the structured form with top-level settings, with the optional prefix.
GROUPS: Mapping[str, str] = {"save": "save_", "eval": "eval_", "optimization": ""}

#: Settings that the service sets itself.
SET_BY_SERVICE = ("output_dir", "dataset")

STEPS_PER_EPOCH = 40
SIZE = 16
MICRO_BATCH_SIZE = 64


def flatten(config: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return all top-level values, including those of groups, each with its pointer in the request."""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in config.items():
        if name in GROUPS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                key = inner if inner in TOP else GROUPS[name] + inner
                found[key] = (pointer(name, inner), inner_value)
        else:
            found[name] = (pointer(name), value)
    return found


def check(values: Mapping[str, tuple[str, Any]], root: str) -> list[Finding]:
    """Return all findings about the values; `root` is the pointer to the configuration."""
    mistakes: list[Finding] = []
    for name, (at, value) in values.items():
        advises = len(mistakes) < MAX_MISTAKES
        if name in TABLES:
            mistakes += _check_table(name, value, root + at)
        elif name not in SET_BY_SERVICE:
            mistakes += _check_value(name, value, TOP, root + at, (*TOP, *TABLES, *GROUPS), advises)
    if "epochs" not in values:
        mistakes.append(
            make_finding(
                f"{root}/epochs",
                FindingText("toy_epochs_missing", "`epochs` is missing.", "Set {expected}."),
                expected=TOP["epochs"].describe(),
            )
        )
    return mistakes


def _check_table(name: str, table: Any, at: str) -> list[Finding]:
    if not isinstance(table, Mapping):
        return [
            make_finding(
                at,
                FindingText(
                    "toy_not_table", "`{name}` is not a table.", "Write it as a table with its settings: {tables}."
                ),
                name=name,
                tables=", ".join(TABLES[name]),
            )
        ]
    known, mistakes = TABLES[name], list[Finding]()
    for key, value in table.items():
        advises = len(mistakes) < MAX_MISTAKES
        mistakes += _check_value(key, value, known, at + pointer(key), tuple(known), advises)
    return mistakes


def _check_value(
    name: str, value: Any, known: Mapping[str, Setting], at: str, names: tuple[str, ...], advises: bool
) -> list[Finding]:
    """Check one value. `advises` enables the search for a similar name, which is slow."""
    setting = known.get(name)
    if setting is None:
        owner = next((table for table, inside in TABLES.items() if known is TOP and name in inside), None)
        close = f"{owner}.{name}" if owner else nearest(name, names) if advises else None
        remedy = (
            Reason.of("Did you mean `{close}`?", "advice_close_key", close=close)
            if close
            else Reason.of("The settings are: {names}.", "advice_toy_settings", names=", ".join(names))
        )
        return [
            make_finding(
                at,
                FindingText("toy_setting_unknown", "The toy trainer has no setting `{name}`."),
                remedy=remedy,
                name=shown(name),
            )
        ]
    if not setting.allows(value):
        return [
            make_finding(
                at,
                FindingText("toy_value_invalid", "`{name}` cannot be {value}.", "Set {expected}."),
                name=name,
                value=shown(json.dumps(value, default=str)),
                expected=setting.describe(),
            )
        ]
    return []


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with defaults: save a model and a checkpoint after every epoch."""
    completed = dict(values)
    if not any(name.startswith("save_every_n_") for name in values):
        completed["save_every_n_epochs"] = 1
    steps = values.get("toy", {}).get("checkpoint_every_n_steps")
    if steps is None and not any(name.startswith("checkpoint_every_n_") for name in values):
        completed["checkpoint_every_n_epochs"] = 1
    return completed


def read_values(values: Mapping[str, Any], text: str | None) -> Mapping[str, Any]:
    """Return the values of the structured form or of the TOML text. Raise ValueError with a sentence as the message."""
    if text is not None:
        _reject(text_excess(text))
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not TOML: {shown(error)}.") from None
    _reject(values_excess(values))
    return values


def _reject(excess: str | None) -> None:
    if excess is not None:
        raise ValueError(excess)


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
        return ToyDataset((make_finding(root, TOY_UNREADABLE, why=error),))
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
        make_finding(
            root + pointer(name),
            FindingText(
                "toy_dataset_setting_unknown",
                "The toy trainer has no dataset setting `{name}`.",
                'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its own pictures.',
            ),
            name=shown(name),
        )
        for name in values
        if name != key
    ]
    directories = values.get(key)
    if not isinstance(directories, list | tuple) or not directories:
        return ToyDataset(
            (
                *mistakes,
                make_finding(
                    f"{root}/{key}",
                    FindingText(
                        "toy_directories_missing",
                        "The dataset has no directories.",
                        (
                            'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its '
                            "own pictures."
                        ),
                    ),
                ),
            )
        )
    if len(directories) > MAX_DIRECTORIES:
        return ToyDataset(
            (
                *mistakes,
                make_finding(
                    f"{root}/{key}",
                    FindingText(
                        "toy_too_many_directories", "The dataset has more than {most} directories.", "Remove some."
                    ),
                    most=MAX_DIRECTORIES,
                ),
            )
        )
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
                warnings.append(
                    make_finding(
                        f"{at}/path",
                        FindingText(
                            "toy_uses_no_masks",
                            "The toy trains on whole pictures: it uses no masks and no control images.",
                            "Train another model type to use them.",
                        ),
                    )
                )
    if items > MAX_PICTURES:
        mistakes.append(
            make_finding(
                root,
                FindingText(
                    "toy_too_many_pictures",
                    "The dataset has {items} pictures; the limit is {max_pictures}.",
                    "Use fewer.",
                ),
                items=items,
                max_pictures=MAX_PICTURES,
            )
        )
    return ToyDataset(tuple(mistakes), items or None, tuple(warnings), tuple(first))


def _check_directory(directory: Any, at: str) -> tuple[list[Finding], list[str]]:
    """Return the findings about a directory, and the names of its pictures and videos."""
    if not isinstance(directory, Mapping) or not isinstance(directory.get("path"), str):
        return [
            make_finding(
                f"{at}/path",
                FindingText(
                    "toy_path_missing",
                    "The directory has no `path`.",
                    (
                        'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its own '
                        "pictures."
                    ),
                ),
            )
        ], []
    unknown = [
        make_finding(
            at + pointer(name),
            FindingText(
                "toy_directory_setting_unknown", "The toy trainer has no directory setting `{name}`.", "Remove it."
            ),
            name=shown(name),
        )
        for name in directory
        if name not in ("path", *_NOT_USED)
    ]
    path = directory["path"]
    try:
        if not Path(path).is_absolute():
            return [
                *unknown,
                make_finding(
                    f"{at}/path", FindingText("toy_path_relative", "The path is not absolute.", "Start it with `/`.")
                ),
            ], []
        names = sorted(name for name in islice(_names(path), MAX_NAMES) if name.lower().endswith(MEDIA_SUFFIXES))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return [
            *unknown,
            make_finding(
                f"{at}/path",
                FindingText("toy_path_unreadable", "{path} cannot be read: {reason}.", "Correct the path."),
                path=shown(path),
                reason=reason,
            ),
        ], []
    if not names:
        endings = ", ".join(MEDIA_SUFFIXES)
        return [
            *unknown,
            make_finding(
                f"{at}/path",
                FindingText("toy_directory_empty", "The directory has no pictures or videos.", "Add some: {endings}."),
                endings=endings,
            ),
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
        yield make_finding(
            at,
            FindingText(
                "toy_files_damaged",
                "{count} of {files} files are unreadable or truncated, and are skipped: {names}.",
                "Replace or remove them.",
            ),
            count=len(damaged),
            files=count,
            names=listed,
        )


def _names(path: str) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name
