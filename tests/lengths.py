"""The duration of the longest tests: short in `make test-all`, in full with `make test-long`."""

import os
from typing import TypeVar

Size = TypeVar("Size", int, float)

#: Whether every test runs for as long, and as often, as its stated figure.
IN_FULL = os.environ.get("TEST_LENGTH") == "full"


def length(in_full: Size, short: Size) -> Size:
    """Return a duration in seconds or a number of rounds: the first where tests run in full, else the second."""
    return in_full if IN_FULL else short
