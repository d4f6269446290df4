"""Which methods each address takes, and by which route: the most specific one. Read from the table of operations, so
that a request is refused without entering Flask.

`/training/list` is no training that is called "list": what `/training/<task_id>` takes beyond it is not taken there.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from api.errors import NotFound
from api.web.operations import Operation

#: A variable part of an address, as Flask writes it.
_VARIABLE = re.compile(r"<(path:)?(\w+)>")


class _Pattern(NamedTuple):
    """An address with variable parts."""

    text: str
    prefix: str  #: what comes before the first of them
    methods: frozenset[str]


class AllowedMethods:
    """The addresses of the operations that are given."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        methods: dict[str, set[str]] = {}
        for each in operations:
            if each.method != "WEBSOCKET":
                methods.setdefault(each.pattern, {"OPTIONS"}).update(("GET", "HEAD") if each.is_get else (each.method,))
        self._fixed = {text: tuple(sorted(some)) for text, some in methods.items() if "<" not in text}
        variable = sorted(methods.keys() - self._fixed, key=_generality)
        self._variable = [_Pattern(text, text[: text.index("<")], frozenset(methods[text])) for text in variable]

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods in alphabetical order; empty when there is nothing at this address."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        return tuple(sorted({method for pattern, _ in self._match(path) for method in pattern.methods}))

    def find(self, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        """The pattern of the route that takes this method at this address, and the variable parts of the address.

        Raises NotFound where `methods` has no such method.
        """
        if path in self._fixed:
            return path, {}
        for pattern, arguments in self._match(path):
            if method in pattern.methods:
                return pattern.text, arguments
        raise NotFound

    def _match(self, path: str) -> Iterable[tuple[_Pattern, Mapping[str, str]]]:
        for pattern in self._variable:
            if path.startswith(pattern.prefix):
                found = _expression(pattern.text).fullmatch(path)
                if found is not None:
                    yield pattern, found.groupdict()


def _generality(pattern: str) -> list[tuple[int, str]]:
    """The order in which patterns are tried: a fixed part goes before a variable one, and that before a whole path."""
    ranks = {False: 1, True: 2}
    parts = [(part, _VARIABLE.fullmatch(part)) for part in pattern.split("/")]
    return [(0, part) if found is None else (ranks[found[1] is not None], "") for part, found in parts]


# Each when it is asked for first: all of them take a hundredth of a start.
@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for found in _VARIABLE.finditer(pattern):
        # The name of a file may have line breaks.
        kind = "[^/]+" if found[1] is None else "[^/](?s:.*)"
        pieces += [re.escape(pattern[at : found.start()]), f"(?P<{found[2]}>{kind})"]
        at = found.end()
    return re.compile("".join([*pieces, re.escape(pattern[at:])]))
