"""Play hours of failures: `python -m tests.simulation --seed 7` plays one seed, and `--count 200` fresh ones.

Exits with 1 at the first broken promise, after the seed, the promise and the preceding events.
"""

import argparse
import gc
import hashlib
import logging
import os
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from api.training.queue.closures import NeighbourRule
from tests.compiled_statements import share_compiled_statements
from tests.databases import fresh_postgres
from tests.simulation.day import Day
from tests.simulation.hour import NEW_YEAR, Hour, Scale
from tests.simulation.reports import Reports
from tests.simulation.world import Broken

#: A directory in memory, if the system has one: the database is written to thousands of times.
MEMORY = Path("/dev/shm")

#: Number of events shown before a broken promise.
LAST_LINES = 40


@dataclass(frozen=True, slots=True)
class Played:
    """The result of one hour."""

    seed: int
    started: int
    events: tuple[str, ...]
    digest: str
    problem: str | None  #: the promise that was broken, as text
    seconds: float
    made_room: Counter[str] = field(default_factory=Counter)  #: number of stops by the service, by cause
    table: str = ""  #: of a day

    @property
    def last_lines(self) -> str:
        """Return the last events."""
        return "\n".join(self.events[-LAST_LINES:])


def play(scale: Scale, seed: int, on_postgresql: bool = False) -> Played:
    """Play the hour of a seed, and the reports of its machines."""
    began = time.monotonic()
    with undisturbed() as directory, fresh_postgres() if on_postgresql else nullcontext() as url:
        hour, reports = Hour(seed, directory, scale, url), Reports(seed, directory)
        problem = _find_problem(hour, reports)
    events = (*hour.events, *reports.events)
    digest = hashlib.sha256("\n".join(events).encode()).hexdigest()
    seconds, made_room = time.monotonic() - began, hour.preemptions.made_room
    return Played(seed, hour.started, events, digest, problem, seconds, made_room)


def play_day(seed: int, rule: NeighbourRule = NeighbourRule.NEIGHBOUR_FIRST, keep: Path | None = None) -> Played:
    """Play the day of a seed. With `keep`, a server with this STORAGE_ROOT shows it as the latest whole day."""
    began = time.monotonic()
    with undisturbed() as directory:
        if keep is not None:
            keep.mkdir(parents=True)
        ended = datetime.now(UTC) - timedelta(hours=6)
        midnight = ended.replace(hour=0, minute=0, second=0, microsecond=0)
        begins = NEW_YEAR if keep is None else midnight - timedelta(days=1)
        day = Day(seed, keep or directory, rule, begins)
        problem = _find_problem(day)
    table = f"{day.table()}\nComfyUI waited for the GPU for {day.longest_handover:.0f} s at most"
    digest = hashlib.sha256("\n".join([*day.events, table]).encode()).hexdigest()
    seconds, made_room = time.monotonic() - began, day.preemptions.made_room
    return Played(seed, day.started, tuple(day.events), digest, problem, seconds, made_room, table)


def _find_problem(*plays: Hour | Reports) -> str | None:
    """Play them one after the other, and return the first broken promise."""
    try:
        for each in plays:
            each.run()
    except Broken as broken:
        return str(broken)
    except Exception:
        # An error of the service or of the play must also be reproducible by its seed.
        return traceback.format_exc()
    return None


@contextmanager
def undisturbed() -> Iterator[Path]:
    """Provide a directory in memory, without logs and without the garbage collector, which would scan all objects."""
    before, had_collector = logging.root.manager.disable, gc.isenabled()
    logging.disable(logging.CRITICAL)
    gc.disable()
    # Existing objects need not be scanned at the end: that would take as long as two minutes of play.
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
            yield Path(directory)
    finally:
        logging.disable(before)
        gc.collect()
        gc.unfreeze()
        if had_collector:
            gc.enable()


def main(arguments: Sequence[str]) -> int:
    """Return 0 if every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="play this seed; default: fresh seeds")
    parser.add_argument("--count", type=int, default=1, help="number of hours, with consecutive seeds")
    parser.add_argument("--hours", type=float, default=1.0, help="duration of the failures (default: 1)")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--gpus", type=int, default=2, help="per node")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--apart", type=float, default=Scale().events_apart, help="mean seconds between two events")
    parser.add_argument("--crowded", action="store_true", help="many urgent trainings, and fewer failures")
    parser.add_argument("--claims", type=float, default=0.0, help="weight of claims of other programs, such as 20")
    parser.add_argument("--windows", type=float, default=0.0, help="weight of changes of the weekly hours, such as 20")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--day", action="store_true", help="a day of one GPU with ComfyUI, told hour by hour")
    parser.add_argument("--rule", type=NeighbourRule, choices=list(NeighbourRule), default="neighbour_first")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="of a day: the STORAGE_ROOT of a server that shows it")
    parser.add_argument("--tell", action="store_true", help="print every event")
    asked = parser.parse_args(arguments)
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    scale = Scale(
        3600.0 * asked.hours,
        asked.nodes,
        asked.gpus,
        asked.servers,
        asked.apart,
        asked.crowded,
        asked.claims,
        asked.windows,
    )
    seeds, began, made_room = range(first, first + asked.count), time.monotonic(), Counter[str]()
    run = partial(play, scale, on_postgresql=asked.postgresql)
    if asked.day:
        run = partial(play_day, rule=asked.rule, keep=asked.keep)
    with ProcessPoolExecutor(min(asked.count, os.cpu_count() or 1), initializer=share_compiled_statements) as pool:
        for played in pool.map(run, seeds):
            made_room += played.made_room
            if not _print_result(played, asked.tell, _again(arguments, played.seed)):
                pool.shutdown(cancel_futures=True)
                return 1
    seconds = time.monotonic() - began
    print(f"{asked.count} seeds from {first}: every promise held, {_count(made_room)}, in {seconds:.1f} s")
    return 0


def _again(arguments: Sequence[str], seed: int) -> str:
    # Of a repeated option the last counts.
    return " ".join(["python -m tests.simulation", *arguments, f"--count 1 --seed {seed}"])


def _count(made_room: Counter[str]) -> str:
    return ", ".join(f"{count} x {cause}" for cause, count in sorted(made_room.items())) or "none made room"


def _print_result(played: Played, is_all: bool, again: str) -> bool:
    """Print the result; return False if a promise was broken."""
    if is_all or played.problem is not None:
        print("\n".join(played.events) if is_all else played.last_lines)
    print(
        f"seed {played.seed}: {played.started} trainings, {_count(played.made_room)}, {len(played.events)} events, "
        f"{played.digest[:12]}, {played.seconds:.1f} s",
        flush=True,
    )
    if played.table:
        print(played.table)
    if played.problem is not None:
        print(f"BROKEN: {played.problem}\nAgain: {again}", file=sys.stderr)
    return played.problem is None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
