"""Reads and writes TOML with the package that the trainer uses."""

import tomllib
from collections.abc import Iterator
from typing import Any

import toml

from api.trainers import toml_text
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import pointer, shown
from api.trainers.toml_edit import Path, edit, same, write

__all__ = ["Path", "edit", "fits", "leaves", "mixed_arrays", "parse", "write"]

_SIMPLIFY = "Remove some of it, or simplify it."


def parse(text: str, base: str, findings: Findings) -> dict[str, Any] | None:
    """Return the values that the trainer will read, or None if no parser can read them."""
    too_much = toml_text.text_excess(text)
    if too_much is not None:
        findings.error(base, too_much, _SIMPLIFY)
        return None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as mistake:
        findings.error(base, f"This is not valid TOML: {shown(mistake)}.", "Correct the text at this position.")
        return None
    except (ValueError, RecursionError, OverflowError):
        findings.error(
            base, "This TOML cannot be read: a number is too long, or the nesting is too deep.", "Simplify it."
        )
        return None
    if not fits(values, base, findings):
        return None
    _check_dates(values, base, findings)
    _compare(text, values, base, findings)
    return values


def fits(values: Any, base: str, findings: Findings) -> bool:
    """Return whether the values are within the limits of the checks; if not, add a finding."""
    too_much = toml_text.values_excess(values)
    if too_much is not None:
        findings.error(base, too_much, _SIMPLIFY)
    return too_much is None


def mixed_arrays(values: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of arrays with mixed types, which the trainer's parser rejects."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from mixed_arrays(value, (*path, key))
    elif isinstance(values, list):
        if len({_kind(value) for value in values}) > 1:
            yield path
        for index, value in enumerate(values):
            yield from mixed_arrays(value, (*path, index))


def leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value without children, with its path; these include empty tables and arrays."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list) and values:
        for index, value in enumerate(values):
            yield from leaves(value, (*path, index))
    else:
        yield path, values


def _check_dates(values: dict[str, Any], base: str, findings: Findings) -> None:
    for path, value in leaves(values):
        if not isinstance(value, str | int | float | dict | list):
            findings.error(
                base + pointer(*path), "The trainer does not support dates and times.", "Write it in quotes."
            )


def _compare(text: str, values: dict[str, Any], base: str, findings: Findings) -> None:
    mixed = list(mixed_arrays(values))
    for path in mixed:
        findings.error(
            base + pointer(*path),
            "This array mixes types of values, which the trainer's TOML parser rejects.",
            "Use values of one type: [1.0, 2.5] instead of [1, 2.5].",
        )
    if mixed:
        return
    # The package raises arbitrary errors (IndexError, TypeError, KeyError) for unsupported syntax.
    try:
        read = toml.loads(text)
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line is not None else ""
        findings.error(
            base, f"The trainer's TOML parser rejects this{where}.", "Simplify it; the parser supports only TOML 0.5."
        )
        return
    for path in _inline_tables(read):
        # The trainer converts such tables in its configuration, but passes those of a dataset to other processes.
        if path[0] == "directory":
            findings.warn(
                base + pointer(*path),
                "Inline tables (in braces) in a dataset can break the trainer's caching.",
                "Write [[directory]] with one line per key.",
            )
    if not same(read, values):
        findings.error(
            base,
            "The trainer's TOML parser reads other values than the text has.",
            "Simplify it; the parser supports only TOML 0.5.",
        )


def _inline_tables(values: Any, path: Path = ()) -> Iterator[Path]:
    # The package creates a separate class for each inline table.
    if isinstance(values, dict):
        if type(values) is not dict:
            yield path
        for key, value in values.items():
            yield from _inline_tables(value, (*path, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _inline_tables(value, (*path, index))


def _kind(value: Any) -> type:
    return dict if isinstance(value, dict) else type(value)
