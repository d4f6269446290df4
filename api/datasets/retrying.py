"""Retry edits of the newest version when another edit comes first."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from api.errors import DatasetChanged

T = TypeVar("T")

#: Each attempt reads the newest version again. With these pauses, a dozen concurrent clients all succeed.
_TRIES = 40
_MOST_PAUSE_SECONDS = 0.1


def edit_newest(expected_version: int | None, edit: Callable[[], T]) -> T:
    """Run an edit, and again if another edit was first; only once if it expects a certain version.

    Raises DatasetChanged, and the errors of `edit`.
    """
    for _ in range(_TRIES if expected_version is None else 0):
        try:
            return edit()
        except DatasetChanged:
            time.sleep(random.uniform(0, _MOST_PAUSE_SECONDS))  # noqa: S311
    return edit()
