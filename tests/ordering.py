"""The order of tests with several workers: tests with servers and browsers first, and the simulation.

xdist gives each worker an equal, ordered part of the list. An idle worker takes from the end of the longest remaining
part. So each part begins with complete files of slow tests, whose servers are then started once. It ends with quick
tests, of which any can be taken. Tests with time limits run beside others that wait, and not beside those that compute:
one worker has most of the simulation, which computes for minutes, while the others wait.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

#: Folders of tests that cost seconds each (servers, browsers, clusters, a compiled driver), in their order.
SLOW = ("tests/simulation/", "tests/e2e/", "tests/nvml/", "tests/clients/")

Item = TypeVar("Item")


def for_workers(items: Sequence[Item], workers: int, file_of: Callable[[Item], str]) -> list[Item]:
    """Return the same items, with the slow files at the beginning of each worker's part."""
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
