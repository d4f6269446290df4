"""Limits of the size of a request and of the number of its findings, checked before any other processing."""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from api.errors import Finding

_K = TypeVar("_K")

#: Maximum number of findings; one more states how many are left out.
MAX_MISTAKES = 200


def forget_absent(known: dict[_K, Any], present: Collection[_K], spare: int = 1_000) -> None:
    """Delete the entries of absent keys, once there are more than `spare` of them."""
    if len(known) > len(present) + spare:
        for key in known.keys() - present:
            del known[key]


def excess(
    values: Any, *, depth: int, count: int, characters: int | None = None, longest: int | None = None
) -> str | None:
    """Return a sentence that names the limit that values (of JSON or TOML) exceed; None if they exceed none.

    `characters` limits the total length of all texts and keys, `longest` the length of each.
    """
    found, length = 0, 0
    pending: list[tuple[Any, int]] = [(values, 0)]
    while pending:
        value, level = pending.pop()
        found += 1
        if level > depth:
            return f"This is nested more than {depth} levels deep."
        if isinstance(value, str):
            length += len(value)
            if longest is not None and len(value) > longest:
                return f"A text in it has {len(value):,} characters, and the most is {longest:,}."
            continue
        if isinstance(value, dict):
            # Counted before they are listed, so that too many cost nothing.
            children: Sequence[Any] = list(value.values()) if len(value) <= count else range(len(value))
            if longest is not None and len(value) <= count:
                children = [*children, *value]
            length += sum(map(len, value)) if characters is not None and len(value) <= count else 0
        else:
            children = value if isinstance(value, list | tuple) else ()
        if found + len(pending) + len(children) > count:
            return f"These are more than {count:,} values."
        if characters is not None and length > characters:
            break
        pending.extend((child, level + 1) for child in children)
    if characters is not None and length > characters:
        return f"The texts in it are longer than {characters:,} characters together."
    return None


def capped(mistakes: Sequence[Finding], dropped: int = 0) -> list[Finding]:
    """Return at most `MAX_MISTAKES` findings, and one that counts the rest.

    `dropped` is the number of findings that were left out before.
    """
    left_out = max(len(mistakes) - MAX_MISTAKES, 0) + dropped
    shown = list(mistakes[:MAX_MISTAKES])
    return shown if not left_out else [*shown, more_than_these(left_out)]


def more_than_these(left_out: int) -> Finding:
    """Return the finding that counts those that are not shown."""
    are = "is 1 more finding" if left_out == 1 else f"are {left_out:,} more findings"
    return Finding(
        "",
        f"There {are} than these.",
        "Fix these, then check again.",
        "more_findings",
        {"left_out": left_out, "number": f"{left_out:,}"},
        remedy_code="more_findings_remedy",
    )
