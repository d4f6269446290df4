"""Runs wrk against two servers alternately, so that both meet the same conditions."""

import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.effort import Effort
from benchmarks.servers import CannotRunError

CONNECTIONS = 16

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_FAILURES = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .+)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL with the headers of its requests."""

    url: str
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """The results of one run of wrk."""

    rate: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of pairs of runs; the ratio is the median of the pairs' ratios."""

    ratio: float
    ours: Load
    theirs: Load


def compare(ours: Target, theirs: Target, effort: Effort) -> Comparison:
    """Load both servers alternately."""
    for target in (ours, theirs):
        _load(target, 1)
    pairs = [(_load(ours, effort.load_seconds), _load(theirs, effort.load_seconds)) for _ in range(effort.rounds)]
    return Comparison(
        ratio=statistics.median(a.rate / b.rate for a, b in pairs),
        ours=_median([a for a, _ in pairs]),
        theirs=_median([b for _, b in pairs]),
    )


def _median(loads: Sequence[Load]) -> Load:
    return Load(statistics.median(x.rate for x in loads), statistics.median(x.p99_ms for x in loads))


def _load(target: Target, seconds: int) -> Load:
    headers = [part for header in target.headers for part in ("-H", header)]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *headers, target.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    rate, p99, failures = _RATE.search(done.stdout), _P99.search(done.stdout), _FAILURES.search(done.stdout)
    if done.returncode or rate is None or p99 is None or failures:
        why = failures[1] if failures else done.stderr.strip() or done.stdout.strip()
        raise CannotRunError(f"wrk {target.url}: {why}")
    return Load(float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]])
