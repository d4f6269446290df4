"""TOML as the trainer reads and writes it: parsed by the same package."""

import tomllib
from collections.abc import Iterator
from typing import Any

import toml

from api.trainers import toml_text
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import pointer, shown
from api.trainers.toml_edit import Path, edit, same, write

__all__ = ["Path", "edit", "fits", "leaves", "mixed_arrays", "parse", "write"]

_SIMPLIFY = "Leave some out, or write it more plainly."


def parse(text: str, base: str, findings: Findings) -> dict[str, Any] | None:
    """What the trainer will read; None when no parser can read it. What its own parser refuses is an error, too."""
    too_much = toml_text.text_excess(text)
    if too_much is not None:
        findings.error(base, too_much, _SIMPLIFY)
        return None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as mistake:
        findings.error(base, f"This is not valid TOML: {shown(mistake)}.", "Correct the text there.")
        return None
    except (ValueError, RecursionError, OverflowError):
        findings.error(
            base, "This TOML cannot be read: a number is too long, or it is nested too deeply.", "Simplify it."
        )
        return None
    if not fits(values, base, findings):
        return None
    _check_dates(values, base, findings)
    _compare(text, values, base, findings)
    return values


def fits(values: Any, base: str, findings: Findings) -> bool:
    """Whether the values are few and flat enough to be checked; a finding says so otherwise."""
    too_much = toml_text.values_excess(values)
    if too_much is not None:
        findings.error(base, too_much, _SIMPLIFY)
    return too_much is None


def mixed_arrays(values: Any, path: Path = ()) -> Iterator[Path]:
    """Where arrays hold values of different kinds, which the trainer's parser refuses."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from mixed_arrays(value, (*path, key))
    elif isinstance(values, list):
        if len({_kind(value) for value in values}) > 1:
            yield path
        for index, value in enumerate(values):
            yield from mixed_arrays(value, (*path, index))


def leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that holds no others, with its path; empty tables and arrays are such values."""
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
            findings.error(base + pointer(*path), "The trainer takes no dates or times.", "Write it in quotes.")


def _compare(text: str, values: dict[str, Any], base: str, findings: Findings) -> None:
    mixed = list(mixed_arrays(values))
    for path in mixed:
        findings.error(
            base + pointer(*path),
            "This array mixes kinds of values, which the trainer's TOML parser refuses.",
            "Write all of them alike: [1.0, 2.5] instead of [1, 2.5].",
        )
    if mixed:
        return
    # It raises nearly anything (IndexError, TypeError, KeyError) on what it does not understand.
    try:
        read = toml.loads(text)
    except Exception as refusal:
        line = getattr(refusal, "lineno", None)
        where = f" (line {line})" if line is not None else ""
        findings.error(
            base, f"The trainer's TOML parser refuses this{where}.", "Write it more plainly; it knows TOML 0.5 only."
        )
        return
    for path in _inline_tables(read):
        # The trainer turns those of its configuration into plain tables, those of a dataset it hands to processes.
        if path[0] == "directory":
            findings.warn(
                base + pointer(*path),
                "Tables of a dataset within braces are known to trouble the trainer's caching.",
                "Write [[directory]] with a line for each key.",
            )
    if not same(read, values):
        findings.error(
            base,
            "The trainer's TOML parser reads other values here than are written.",
            "Write it more plainly; it knows TOML 0.5 only.",
        )


def _inline_tables(values: Any, path: Path = ()) -> Iterator[Path]:
    # The package makes a class of its own for each.
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
