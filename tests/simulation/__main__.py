"""Plays hours of bad luck: `python -m tests.simulation --seed 7` the one of a seed, with `--count 200` fresh ones.

Ends with 1 at the first broken promise, after the seed, the promise and what happened before it.
"""

import argparse
import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.hour import Hour
from tests.simulation.world import Broken

#: Memory where the system has such a directory: the database is written to thousands of times.
MEMORY = Path("/dev/shm")


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="play the hour of this seed; without, fresh seeds")
    parser.add_argument("--count", type=int, default=1, help="how many hours, with seeds one after the other")
    parser.add_argument("--hours", type=float, default=1.0, help="how long the bad luck lasts (default: 1)")
    parser.add_argument("--gpus", type=int, default=4)
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--tell", action="store_true", help="print every event")
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    for seed in range(first, first + asked.count):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
            hour = Hour(seed, Path(directory), 3600.0 * asked.hours, asked.gpus, asked.servers)
            problem = _play(hour)
        if asked.tell or problem is not None:
            print("\n".join(hour.told if asked.tell else hour.told[-40:]))
        seconds = time.monotonic() - began
        print(f"seed {seed}: {hour.started} trainings, {len(hour.told)} events, {hour.digest()[:12]}, {seconds:.1f} s")
        if problem is not None:
            print(f"BROKEN: {problem}\nAgain: make simulate SEED={seed}", file=sys.stderr)
            return 1
    return 0


def _play(hour: Hour) -> str | None:
    """The promise that was broken, in words."""
    try:
        hour.run()
    except Broken as broken:
        return str(broken)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
