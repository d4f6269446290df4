"""TOML texts: limits checked before parsing, a writer in linear time, edits that preserve comments and order."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

import toml
import tomlkit
from tomlkit.exceptions import TOMLKitError

from api.util.http.validation import excess

#: Limits of a whole text; the largest known configuration, with a thousand directories, reaches half of them.
MAX_CHARACTERS = 131_072
MAX_VALUES = 6_000
MAX_DEPTH = 16

#: Most lines; both parsers take about a microsecond for an empty one.
MAX_LINES = 16_000

#: Most characters of one string; the trainer's parser takes quadratic time for quotes in a string.
MAX_STRING = 4_096

#: Most characters that open or join parts; each costs a parser time, dotted keys most.
MAX_MARKS = 20_000

# Strings and comments, including unterminated ones. The possessive patterns never backtrack, so this is linear.
_OPAQUE = re.compile(
    r'"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+(?:"{3,5})?'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]++|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
)
#: A number such as `2.e-5`, which TOML does not allow but the trainer's parser reads; strings and comments are skipped.
_SHORT_FLOAT = re.compile(_OPAQUE.pattern + r"|(?<=[0-9])\.(?=[eE][+-]?[0-9])")
_MARK = re.compile(r"[=,.\[{]")
_BRACKET = re.compile(r"[\[\]{}]")
_DOTTED = re.compile(rf"(?:\.[^.=,\[\]{{}}\n]*+){{{MAX_DEPTH + 1}}}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def complete_floats(text: str) -> str:
    """Return a text that only the trainer's parser can read with `2.0e-5` for `2.e-5`, and any other text unchanged."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError, OverflowError):
        return _SHORT_FLOAT.sub(lambda found: ".0" if found[0] == "." else found[0], text)
    return text


def text_excess(text: str) -> str | None:
    """Return why a TOML text is too large to be parsed, as a sentence, or None if it is not."""
    if len(text) > MAX_CHARACTERS:
        return f"The text is longer than {MAX_CHARACTERS:,} characters."
    if text.count("\n") > MAX_LINES:
        return f"The text has more than {MAX_LINES:,} lines."
    longest = 0

    def hide(found: re.Match[str]) -> str:
        nonlocal longest
        if text[found.start()] == "#":
            return ""
        longest = max(longest, found.end() - found.start())
        return '"'

    structure = _OPAQUE.sub(hide, text)
    if longest > MAX_STRING:
        return f"It contains a string longer than {MAX_STRING:,} characters."
    if len(_MARK.findall(structure)) > MAX_MARKS:
        return f"It has more than {MAX_VALUES:,} values."
    levels = accumulate((1 if bracket in "[{" else -1) for bracket in _BRACKET.findall(structure))
    if max(levels, default=0) > MAX_DEPTH or _DOTTED.search(structure) is not None:
        return f"It is nested more than {MAX_DEPTH} levels deep."
    return None


def mask_comments(text: str, mask: Callable[[str], str]) -> str:
    """Return the text with masked comments; a text above the length limit is unchanged."""
    if "#" not in text or len(text) > MAX_CHARACTERS:
        return text
    return _OPAQUE.sub(lambda found: mask(found[0]) if found[0][:1] == "#" and len(found[0]) > 1 else found[0], text)


def without_comments(text: str) -> str:
    """Return the text without comments; empty for a text above the length limit."""
    return "" if len(text) > MAX_CHARACTERS else mask_comments(text, lambda comment: "")


def values_excess(values: Any) -> str | None:
    """Return why values are too large for a configuration, as a sentence, or None if they are not."""
    return excess(values, depth=MAX_DEPTH, count=MAX_VALUES, characters=MAX_CHARACTERS)


def write(values: Mapping[str, Any]) -> str:
    """Return values as TOML, tables last. Raise TypeError for values that TOML cannot represent."""
    lines: list[str] = []
    _write_table(values, (), lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _write_table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    inner = {name: value for name, value in table.items() if _is_table(value) or _is_tables(value)}
    lines += [f"{_key(name)} = {_value(value)}" for name, value in table.items() if name not in inner]
    for name, value in inner.items():
        full_path = (*path, name)
        header = ".".join(map(_key, full_path))
        for each in [value] if _is_table(value) else value:
            lines += ["", f"[{header}]" if _is_table(value) else f"[[{header}]]"]
            _write_table(each, full_path, lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # A JSON string is a TOML string, except for the control character that JSON does not escape.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
    raise TypeError(f"TOML cannot represent {type(value).__name__}")


Path = tuple[str | int, ...]


def edit(text: str, changes: dict[Path, Any], removed: Iterable[str | Path] = ()) -> str | None:
    """Return the text with values set (in existing tables) and keys removed, or None if that is impossible."""
    try:
        text = complete_floats(text)
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


def write_exactly(values: dict[str, Any]) -> str | None:
    """Return a text that the trainer's parser reads as exactly these values, or None."""
    try:
        text = write(values)
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


DATASET = "dataset.toml"


def write_dataset(text: str | None, values: Mapping[str, Any]) -> str | None:
    """Return the request's TOML text, or its values as TOML with `directory` instead of `directories`.

    Return None if the trainer's parser cannot read the values.
    """
    if text is not None:
        return text
    return write_exactly({"directory" if name == "directories" else name: value for name, value in values.items()})
