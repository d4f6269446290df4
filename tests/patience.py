"""What a busy machine may add to a time limit in a test.

Tests notice an operation that waits for something that never comes; `benchmarks/` measures speed.
"""

import time

#: Seconds that other work on the cores may take from a test.
BUSY_SECONDS = 10.0


def pause(began: float) -> None:
    """Sleep between two looks of a wait that began then, longer in a long wait: each look costs processor time."""
    time.sleep(min(0.1, max(0.02, (time.monotonic() - began) / 20)))
