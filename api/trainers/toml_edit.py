"""Edit values in a TOML text without changing its comments and order."""

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
    """Return the text with values set (in existing tables) and keys removed, or None if that is impossible."""
    try:
        text = toml_text.complete_floats(text)
        document = tomlkit.parse(text)
        expected = tomllib.loads(text)
        for path, value in changes.items():
            _set(document, path, value)
            _set(expected, path, value)
        for each in removed:
            path = (each,) if isinstance(each, str) else each
            _remove(document, path)
            _remove(expected, path)
        edited = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return edited if reads_as(edited, expected) else None


def write(values: dict[str, Any]) -> str | None:
    """Return a text that the trainer's parser reads as exactly these values, or None."""
    try:
        text = toml_text.write(values)
    except (ValueError, TypeError, RecursionError):
        return None
    return text if reads_as(text, values) else None


def reads_as(text: str, values: dict[str, Any]) -> bool:
    """Return whether the trainer's parser and Python's own read the text as exactly these values."""
    try:
        text.encode()
        return same(toml.loads(text), values) and same(tomllib.loads(text), values)
    except Exception:
        return False


def same(one: Any, other: Any) -> bool:
    """Return whether two parsers read equal values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str | bool | int | float):
        return type(one) is type(other) and bool(one == other)
    # Dates: both packages have their own types, and the trainer accepts none of them.
    return one is not None and not isinstance(other, str | int | float | dict | list)


def _remove(target: Any, path: Path) -> None:
    for part in path[:-1]:
        target = target[part]
    target.pop(path[-1], None)


def _set(target: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
