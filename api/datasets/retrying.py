"""Edits that are for whichever version is the newest: another edit that comes first does not refuse them."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from api.errors import DatasetChanged

T = TypeVar("T")

#: Each try reads the newest version again. With pauses this long at most, a dozen clients at once all get their turn.
_TRIES = 40
_MOST_PAUSE_SECONDS = 0.1


def edit_newest(expected_version: int | None, edit: Callable[[], T]) -> T:
    """Do an edit, again where another one was first; not where it is for one version only.

    Raises DatasetChanged, and what `edit` raises.
    """
    for _ in range(_TRIES if expected_version is None else 0):
        try:
            return edit()
        except DatasetChanged:
            time.sleep(random.uniform(0, _MOST_PAUSE_SECONDS))  # noqa: S311
    return edit()
