"""Expands Slurm's short form of node names, such as `n[1-3,07],head`."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

#: The most nodes from one text.
MOST_NODES = 10_000

#: Limits for brackets in one part and characters in a name.
_MOST_BRACKETS, _LONGEST = 4, 255

_PART = re.compile(r"[^,\[]+(?:\[[^\[\]]*\][^,\[]*)*")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


@lru_cache(maxsize=64)
def expand(nodes: str) -> tuple[str, ...]:
    """Return the names, at most `MOST_NODES`; none from a truncated text."""
    if nodes.count("[") != nodes.count("]"):
        return ()
    # Limited before filtering: in a huge range all names may be too long.
    return tuple(name for name in islice(_names(nodes), MOST_NODES) if len(name) <= _LONGEST)


def _names(nodes: str) -> Iterator[str]:
    for part in _PART.findall(nodes):
        if part.count("[") <= _MOST_BRACKETS:
            yield from _expand(part)


def _expand(part: str) -> Iterator[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        yield part
        return
    inside, _, after = rest.partition("]")
    for each in inside.split(","):
        for number in _numbers(each):
            yield from (f"{before}{number}{tail}" for tail in _expand(after))


def _numbers(text: str) -> Iterator[str]:
    found = _RANGE.fullmatch(text)
    if found is None:
        yield text
        return
    first, last = found.groups()
    yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
