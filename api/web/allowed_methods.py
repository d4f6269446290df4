"""Find the methods and the route of an address from the table of operations, so that Flask sees only valid requests.

The most specific pattern counts: `/training/list` is not a training with the id "list", so it does not accept the
methods of `/training/<task_id>`, and `/training/a/samples/ranking` is not a sample.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from api.errors import NotFound
from api.web.operations import Operation

#: A variable part of a Flask URL pattern.
_VARIABLE = re.compile(r"<(path:)?(\w+)>")


class _Pattern(NamedTuple):
    """An address with variable parts."""

    text: str
    prefix: str  #: the text before the first variable part
    methods: frozenset[str]


class AllowedMethods:
    """The methods and routes of addresses, from the table of operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        methods: dict[str, set[str]] = {}
        for each in operations:
            if each.method != "WEBSOCKET":
                methods.setdefault(each.pattern, {"OPTIONS"}).update(("GET", "HEAD") if each.is_get else (each.method,))
        self._fixed = {text: tuple(sorted(some)) for text, some in methods.items() if "<" not in text}
        variable = sorted(methods.keys() - self._fixed, key=_generality)
        self._variable = [_Pattern(text, text[: text.index("<")], frozenset(methods[text])) for text in variable]

    def methods(self, path: str) -> tuple[str, ...]:
        """Return the methods in alphabetical order; empty for an unknown address."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        return next((tuple(sorted(pattern.methods)) for pattern, _ in self._match(path)), ())

    def find(self, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        """Return the pattern of the route with this method at this address, and the variable parts of the address.

        Raises NotFound if `methods` does not have the method.
        """
        if path in self._fixed:
            return path, {}
        pattern, arguments = next(iter(self._match(path)), (None, {}))
        if pattern is None or method not in pattern.methods:
            raise NotFound
        return pattern.text, arguments

    def _match(self, path: str) -> Iterable[tuple[_Pattern, Mapping[str, str]]]:
        for pattern in self._variable:
            if path.startswith(pattern.prefix):
                found = _expression(pattern.text).fullmatch(path)
                if found is not None:
                    yield pattern, found.groupdict()


def _generality(pattern: str) -> list[tuple[int, str]]:
    """Return a sort key by which fixed parts come before variable ones, and these before whole paths."""
    ranks = {False: 1, True: 2}
    parts = [(part, _VARIABLE.fullmatch(part)) for part in pattern.split("/")]
    return [(0, part) if found is None else (ranks[found[1] is not None], "") for part, found in parts]


# Compiled at first use: all of them take 1% of the start.
@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for found in _VARIABLE.finditer(pattern):
        # File names may contain line breaks.
        kind = "[^/]+" if found[1] is None else "[^/](?s:.*)"
        pieces += [re.escape(pattern[at : found.start()]), f"(?P<{found[2]}>{kind})"]
        at = found.end()
    return re.compile("".join([*pieces, re.escape(pattern[at:])]))
