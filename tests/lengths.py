"""How long the longest tests go on: short in the suite, in full with `make test-long`."""

import os

#: Whether every test goes on for as long, and as often, as its figure was stated for.
IN_FULL = os.environ.get("TEST_LENGTH") == "full"


def length(in_full: float, short: float) -> float:
    """A duration in seconds: the first where tests run in full, else the second."""
    return in_full if IN_FULL else short


def count(in_full: int, short: int) -> int:
    """A number of rounds: the first where tests run in full, else the second."""
    return in_full if IN_FULL else short
