"""Bounds on the size of a request and on the number of findings about it, counted before anything works on it."""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from api.errors import Mistake

_K = TypeVar("_K")

#: More findings than this help nobody; one more says how many there are besides.
MAX_MISTAKES = 200


def forget_absent(known: dict[_K, Any], present: Collection[_K], spare: int = 1_000) -> None:
    """Drop what is remembered of things that are no longer there, once there are more than `spare` of them."""
    if len(known) > len(present) + spare:
        for key in known.keys() - present:
            del known[key]


def excess(
    values: Any, *, depth: int, count: int, characters: int | None = None, longest: int | None = None
) -> str | None:
    """A sentence that names the bound that values (of JSON or TOML) exceed; None when they keep all bounds.

    `characters` counts those of all texts and keys together, `longest` those of each.
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
            # Counted before they are listed: what is too much costs nothing.
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


def capped(mistakes: Sequence[Mistake], dropped: int = 0) -> list[Mistake]:
    """At most `MAX_MISTAKES` findings, and one that counts the rest; `dropped` is how many were left out before."""
    left_out = max(len(mistakes) - MAX_MISTAKES, 0) + dropped
    shown = list(mistakes[:MAX_MISTAKES])
    return shown if not left_out else [*shown, more_than_these(left_out)]


def more_than_these(left_out: int) -> Mistake:
    """The finding that says how many others are not shown."""
    are = "is 1 more finding" if left_out == 1 else f"are {left_out:,} more findings"
    return Mistake("", f"There {are} than these.", "Mend these, then check again.")
