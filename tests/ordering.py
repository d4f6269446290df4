"""Which tests come first where several workers share them: those that start servers and browsers, and the simulation.

xdist gives each worker an equal part of the list, in its order, and whoever is ready early takes from the end of the
longest part that is left. So each part begins with whole files of slow tests, whose servers are then started once, and
ends with quick ones, of which any can be taken. And tests that bound a time run beside others that wait, and not beside
those that compute: most of the simulation, which computes for minutes, is one worker's, while the others wait.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

#: Folders of whole servers, browsers, clusters and a compiled driver, in which a test costs seconds; in their order.
SLOW = ("tests/simulation/", "tests/e2e/", "tests/nvml/", "tests/clients/")

Item = TypeVar("Item")


def for_workers(items: Sequence[Item], workers: int, file_of: Callable[[Item], str]) -> list[Item]:
    """The same items, with the files of slow ones at the beginning of each worker's part."""
    files = [(file, list(found)) for file, found in groupby(items, key=file_of)]
    slow = [found for folder in SLOW for file, found in files if file.startswith(folder)]
    quick = [item for file, found in files if not file.startswith(SLOW) for item in found]
    parts: list[list[Item]] = [[] for _ in range(workers)]
    for number, found in enumerate(slow):
        parts[number % workers] += found
    ordered: list[Item] = []
    left = len(items)
    for number, part in enumerate(parts):
        size = left // (workers - number)
        room = max(0, size - len(part))
        ordered += [*part, *quick[:room]]
        del quick[:room]
        left -= size
    return ordered + quick
