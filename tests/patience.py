"""What a busy machine may add to a time limit in a test.

Tests notice an operation that waits for something that never comes; `benchmarks/` measures speed.
"""

#: Seconds that other work on the cores may take from a test.
BUSY_SECONDS = 10.0
