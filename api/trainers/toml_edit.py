"""A TOML text with some of its values changed, its comments and order kept."""

import math
import tomllib
from collections.abc import Iterable
from typing import Any

import toml
import tomlkit
from tomlkit.exceptions import TOMLKitError

from api.trainers import toml_text

Path = tuple[str | int, ...]


def edit(text: str, changes: dict[Path, Any], removed: Iterable[str | Path] = ()) -> str | None:
    """The text with values set (in existing tables) and keys removed; all else stays. None when that is impossible."""
    try:
        document = tomlkit.parse(text)
        wanted = tomllib.loads(text)
        for path, value in changes.items():
            _set(document, path, value)
            _set(wanted, path, value)
        for each in removed:
            path = (each,) if isinstance(each, str) else each
            _remove(document, path)
            _remove(wanted, path)
        edited = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return edited if reads_as(edited, wanted) else None


def write(values: dict[str, Any]) -> str | None:
    """The text that the trainer's parser reads as exactly these values; None when there is none."""
    try:
        text = toml_text.write(values)
    except (ValueError, TypeError, RecursionError):
        return None
    return text if reads_as(text, values) else None


def reads_as(text: str, values: dict[str, Any]) -> bool:
    """Whether the trainer's parser and Python's own read the text as exactly these values."""
    try:
        text.encode()
        return same(toml.loads(text), values) and same(tomllib.loads(text), values)
    except Exception:
        return False


def same(one: Any, other: Any) -> bool:
    """Whether two parsers read the same values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str | bool | int | float):
        return type(one) is type(other) and bool(one == other)
    # Dates: both packages have types of their own, and the trainer takes none of them.
    return one is not None and not isinstance(other, str | int | float | dict | list)


def _remove(target: Any, path: Path) -> None:
    for part in path[:-1]:
        target = target[part]
    target.pop(path[-1], None)


def _set(target: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
