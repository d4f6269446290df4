"""`python -m benchmarks`: run the named benchmarks, or all, and print one table."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks import (
    access,
    alerting,
    alerts,
    claims,
    dashboard,
    fleet,
    idle,
    items,
    lists,
    live,
    logs,
    media,
    metrics,
    models,
    results,
    scheduling,
    soak,
    starting,
    status,
    streams,
    sweep,
    uploads,
    watching,
)
from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.needs import describe, lacking, missing_for
from benchmarks.report import print_report
from benchmarks.rows import Row, Verdict, cannot_run
from benchmarks.servers import CannotRunError

BENCHMARKS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "status": status.measure,
    "sweep": sweep.measure,
    "metrics": metrics.measure,
    "streams": streams.measure,
    "idle": idle.measure,
    "starting": starting.measure,
    "scheduling": scheduling.measure,
    "fleet": fleet.measure,
    "lists": lists.measure,
    "items": items.measure,
    "claims": claims.measure,
    "access": access.measure,
    "watching": watching.measure,
    "alerts": alerts.measure,
    "alerting": alerting.measure,
    "live": live.measure,
    "logs": logs.measure,
    "uploads": uploads.measure,
    "media": media.measure,
    "models": models.measure,
    "dashboard": dashboard.measure,
    "results": results.measure,
    "soak": soak.measure,
}


def main(argv: Sequence[str]) -> int:
    """Run benchmarks and print the table. Return the exit code: 1 if a limit was missed or not measured, else 0."""
    arguments = _parser().parse_args(argv)
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark is named {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    names = arguments.names or list(BENCHMARKS)
    absent = lacking(names)
    for need, why in absent.items():
        print(describe(need, why, names), file=sys.stderr, flush=True)
    effort = QUICK if arguments.quick else FULL
    load_before = os.getloadavg()[0]
    rows = [row for name in names for row in _measure(name, effort, missing_for(name, absent))]
    print_report(rows, load_before)
    return 1 if any(row.verdict in (Verdict.MISSED, Verdict.NOT_RUN) for row in rows) else 0


def _measure(name: str, effort: Effort, missing: str | None) -> Iterator[Row]:
    if missing is not None:
        yield cannot_run(name, missing)
        return
    print(f"measuring: {name}", file=sys.stderr, flush=True)
    try:
        yield from BENCHMARKS[name](effort)
    except CannotRunError as error:
        yield cannot_run(name, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks of the service on this machine, compared with a peer or a bound in the same run.",
        epilog="\n".join(f"{name:10} {sys.modules[found.__module__].__doc__}" for name, found in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="smoke run with little significance")
    return parser


if __name__ == "__main__":
    # On SIGTERM, too, the servers must be ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
