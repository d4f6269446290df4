"""How long the longest tests go on: short in `make test-all`, in full with `make test-long`."""

import os
from typing import TypeVar

Size = TypeVar("Size", int, float)

#: Whether every test goes on for as long, and as often, as its figure was stated for.
IN_FULL = os.environ.get("TEST_LENGTH") == "full"


def length(in_full: Size, short: Size) -> Size:
    """A duration in seconds, or a number of rounds: the first where tests run in full, else the second."""
    return in_full if IN_FULL else short
