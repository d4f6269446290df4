"""Parse the TOML texts of a request as the trainer's parser does, and explain their mistakes.

The limits of a text are in `trainers/toml_text.py`.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import toml

from api.domain.finding import CONFIGURATION_TOO_LARGE, pointer, shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers import toml_text
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.toml_text import Path, same


def parse(text: str, base: str, findings: Findings) -> dict[str, Any] | None:
    """Return the values that the trainer will read, or None if no parser can read them."""
    too_much = toml_text.text_excess(text)
    if too_much is not None:
        findings.error(base, CONFIGURATION_TOO_LARGE, why=too_much)
        return None
    try:
        values = tomllib.loads(toml_text.complete_floats(text))
    except tomllib.TOMLDecodeError as mistake:
        problem, remedy, params = _explain(text, str(mistake))
        findings.error(base, problem, remedy=remedy, **params)
        return None
    except (ValueError, RecursionError, OverflowError):
        findings.error(
            base,
            FindingText(
                "toml_too_deep",
                "This TOML cannot be read: a number is too long, or the nesting is too deep.",
                "Simplify it.",
            ),
        )
        return None
    if not fits(values, base, findings):
        return None
    _check_dates(values, base, findings)
    _compare(text, values, base, findings)
    return values


#: Common mistakes in a line of TOML: pattern and finding. The groups of the pattern are `{part}` and `{rest}` in texts.
_MISTAKES = tuple(
    (re.compile(pattern), problem)
    for pattern, problem in (
        (
            r"(?:=[\s\[]*|,\s*)[+-]?(0+([0-9][0-9_]*))(?=\s*(?:[,\]#]|$))",
            FindingText(
                "toml_leading_zero",
                "`{part}` has a leading zero in line {line}, column {column}, which is not valid TOML.",
                "Write {rest}.",
            ),
        ),
        (
            r"(?:=[\s\[]*|,\s*)[+-]?(\.([0-9]+))",
            FindingText(
                "toml_no_digit_before",
                "`{part}` has no digit before the point in line {line}, column {column}, which is not valid TOML.",
                "Write 0.{rest}.",
            ),
        ),
        (
            r"(?:=[\s\[]*|,\s*)[+-]?(([0-9]+)\.)(?=\s*(?:[,\]#]|$))",
            FindingText(
                "toml_no_digit_after",
                "`{part}` has no digit after the point in line {line}, column {column}, which is not valid TOML.",
                "Write {rest}.0.",
            ),
        ),
        (
            r"(?:=[\s\[]*|,\s*)(True|False)\b",
            FindingText(
                "toml_capital_letter",
                "`{part}` starts with a capital letter in line {line}, column {column}, which is not valid TOML.",
                "Write true or false.",
            ),
        ),
        (
            r"(?:=[\s\[]*|,\s*)(None|null)\b",
            FindingText(
                "toml_null",
                "TOML has no `{part}` in line {line}, column {column}, which is not valid TOML.",
                "Remove the key.",
            ),
        ),
        (
            "([\u2018\u2019\u201c\u201d])",
            FindingText(
                "toml_typographic_quote",
                "`{part}` is a typographic quote in line {line}, column {column}, which is not valid TOML.",
                "Use straight quotes: ' or \".",
            ),
        ),
        (
            r'(?:=[\s\[]*|,\s*)("[A-Za-z]:\\)',
            FindingText(
                "toml_backslash",
                (
                    "A backslash in double quotes starts an escape in line {line}, column {column}, which is not "
                    "valid TOML."
                ),
                "Use single quotes.",
            ),
        ),
        (
            r"(?:=[\s\[]*|,\s*)([A-Za-z/~$][^\s,\]#'\"]*)",
            FindingText(
                "toml_unquoted",
                "`{part}` is a string without quotes in line {line}, column {column}, which is not valid TOML.",
                "Write '{part}'.",
            ),
        ),
    )
)

#: How to write what the parser did not find, by parts of its message.
_REMEDIES = (
    (
        ("Invalid value",),
        Reason.of(
            "Write text in quotes, lists in square brackets, numbers and true or false without quotes.",
            "advice_toml_value",
        ),
    ),
    (
        ("Expected newline or end",),
        Reason.of("Write one key in a line, and text with the same quote at both ends.", "advice_toml_line"),
    ),
    (("Expected \"'", "Unterminated string"), Reason.of("Add the missing quote.", "advice_toml_quote")),
    (
        ("Illegal character",),
        Reason.of(
            "Add the missing quote in this line, or remove the control character.", "advice_toml_quote_or_control"
        ),
    ),
    (
        ("Unescaped", "hex value"),
        Reason.of(
            "A backslash in double quotes starts an escape: use single quotes, or forward slashes.",
            "advice_toml_escape",
        ),
    ),
    (
        ("Expected '='", "Invalid statement", "Invalid initial character"),
        Reason.of("Write key = value; a comment starts with #.", "advice_toml_key"),
    ),
    (("Expected ']'",), Reason.of("Write the name of a table alone in its line: [model].", "advice_toml_table")),
    (
        ("Expected ']]'",),
        Reason.of("Write the name of a list's table alone in its line: [[directory]].", "advice_toml_tables"),
    ),
    (
        ("Unclosed array",),
        Reason.of("Close the list with ], and separate its values with commas.", "advice_toml_list"),
    ),
    (
        ("Unclosed inline table",),
        Reason.of("Close the table with }, in the same line.", "advice_toml_inline_table"),
    ),
    (("twice",), Reason.of("This table exists already: write its keys in one place.", "advice_toml_table_twice")),
    (("Cannot ",), Reason.of("This table or key exists already: write it in one place.", "advice_toml_name_twice")),
)

_AT_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")


def _explain(text: str, mistake: str) -> tuple[FindingText, Reason | None, dict[str, str]]:
    """Return the text, the remedy of this case and the parameters of the finding about a text that is not TOML."""
    if text.startswith("\ufeff"):
        return (
            FindingText(
                "toml_marked",
                "An invisible byte-order mark is the first character, and the trainer reads it as part of a key.",
                "Save the file as UTF-8 without a byte-order mark (BOM).",
            ),
            None,
            {},
        )
    lines, found = text.split("\n"), _AT_LINE.search(mistake)
    if found is not None and int(found[1]) <= len(lines):
        line = lines[int(found[1]) - 1]
        if "Cannot overwrite a value" in mistake and "=" in line:
            return (
                FindingText(
                    "toml_key_twice", "`{name}` is set twice, the second time in line {line}.", "Remove one of them."
                ),
                None,
                {"name": shown(line.partition("=")[0].strip()), "line": found[1]},
            )
        for pattern, problem in _MISTAKES if len(line) <= toml_text.MAX_STRING else ():
            if (match := pattern.search(line)) is not None:
                parts = dict(zip(("part", "rest"), map(shown, match.groups()), strict=False))
                return problem, None, {"line": found[1], "column": found[2], **parts}
    remedy = next((remedy for parts, remedy in _REMEDIES if any(part in mistake for part in parts)), None)
    return (
        FindingText("toml_invalid", "This is not valid TOML: {mistake}.", "Correct the text at this position."),
        remedy,
        {"mistake": shown(mistake)},
    )


def fits(values: Any, base: str, findings: Findings) -> bool:
    """Return whether the values are within the limits of the checks; if not, add a finding."""
    too_much = toml_text.values_excess(values)
    if too_much is not None:
        findings.error(base, CONFIGURATION_TOO_LARGE, why=too_much)
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
                base + pointer(*path),
                FindingText(
                    "dates_unsupported", "The trainer does not support dates and times.", "Write it in quotes."
                ),
            )


def _compare(text: str, values: dict[str, Any], base: str, findings: Findings) -> None:
    mixed = list(mixed_arrays(values))
    for path in mixed:
        findings.error(
            base + pointer(*path),
            FindingText(
                "array_mixed",
                "This array mixes types of values, which the trainer's TOML parser rejects.",
                "Use values of one type: [1.0, 2.5] instead of [1, 2.5].",
            ),
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
            base,
            FindingText(
                "toml_rejected",
                "The trainer's TOML parser rejects this{where}.",
                "Simplify it; the parser supports only TOML 0.5.",
            ),
            where=where,
        )
        return
    for path in _inline_tables(read):
        # The trainer converts such tables in its configuration, but passes those of a dataset to other processes.
        if path[0] == "directory":
            findings.warn(
                base + pointer(*path),
                FindingText(
                    "inline_tables",
                    "Inline tables (in braces) in a dataset can break the trainer's caching.",
                    "Write [[directory]] with one line per key.",
                ),
            )
    if not same(read, values):
        findings.error(
            base,
            FindingText(
                "toml_read_otherwise",
                "The trainer's TOML parser reads other values than the text has.",
                "Simplify it; the parser supports only TOML 0.5.",
            ),
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
