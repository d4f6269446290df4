"""Runs the steps of the tour, and cleans up however it ends."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from rich.console import Console

from demo import gpu_steps as gpus
from demo import training_steps as training
from demo.client import KEY_VARIABLE, Client, DemoError
from demo.own_server import own_server
from demo.tour import TASKS, Step, Tour

STEPS: Sequence[Step] = (
    *(gpus.show_health, gpus.show_gpus, gpus.show_free),
    *(training.validate, training.start, training.follow, gpus.watch, training.stop, training.resume),
    *(training.show_loss, training.show_artifacts, training.show_sample, training.show_events),
    *(gpus.show_history, gpus.show_details, training.delete),
    *(gpus.hold, gpus.show_conflict, gpus.release),
    *(gpus.show_events, gpus.show_metrics, gpus.show_next_steps),
)

NEED_A_GPU = (gpus.show_history, gpus.show_details)
NEED_A_FREE_GPU = (training.validate, training.start, gpus.hold)
NEED_A_TRAINING = (training.follow, gpus.watch, training.stop, training.resume, training.show_events)
NEED_A_TRAINED = (training.show_loss, training.show_artifacts, training.show_sample, training.delete)
NEED_A_HOLD = (gpus.show_conflict, gpus.release)


def main(argv: Sequence[str]) -> int:
    """Run the tour. Return the exit code: 0 if all checks succeeded, 1 otherwise, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these characters still shows the numbers
    pause = min(max(arguments.pause, 0.0), 60.0)
    try:
        with nullcontext(arguments.url) if arguments.url else own_server() as url:
            key = os.environ.get(KEY_VARIABLE) if arguments.url else None
            failed_checks = _walk(Tour(Console(highlight=False), Client(url, key), pause))
    except (DemoError, LookupError, ValueError, TypeError) as error:
        why = str(error) if isinstance(error, DemoError) else f"unexpected form of a response: {error!r}"
        print(f"demo.py: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo.py: interrupted", file=sys.stderr)
        return 130
    if failed_checks:
        print(f"demo.py: failed checks: {'; '.join(failed_checks)}", file=sys.stderr)
    return 1 if failed_checks else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo.py",
        description="A guided tour of the API over HTTP.",
        epilog=f"For a server that requires keys, set {KEY_VARIABLE} to a key with the role trainer or admin.",
    )
    parser.add_argument("--url", help="a running server (default: a temporary server)")
    parser.add_argument(
        "--pause", type=float, default=0.5, metavar="SECONDS", help="pause between steps (default: 0.5)"
    )
    return parser


def _walk(tour: Tour) -> list[str]:
    try:
        for step in STEPS:
            if _is_possible(tour, step):
                step(tour)
    finally:
        _clean_up(tour)
    return tour.failed_checks


def _is_possible(tour: Tour, step: Step) -> bool:
    conditions = (
        (NEED_A_GPU, bool(tour.gpu)),
        (NEED_A_FREE_GPU, bool(tour.gpu) and tour.gpu["is_available"]),
        (NEED_A_TRAINING, bool(tour.training)),
        (NEED_A_TRAINED, tour.is_trained),
        (NEED_A_HOLD, bool(tour.held)),
    )
    return all(is_met for steps, is_met in conditions if step in steps)


def _clean_up(tour: Tour) -> None:
    if not (tour.may_run or tour.held):
        return
    # A second Ctrl-C must not interrupt the clean-up, which is short.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    tour.say("\nCleaning up:")
    try:
        if tour.may_run:
            training.stop_all(tour)
        if tour.held:
            answer = tour.request(f"{TASKS}/{tour.held}", "DELETE")
            problem = answer.error.get("detail") if answer.status != 404 else None
            tour.say(f"{tour.held} could not be released: {problem}" if problem else f"{tour.held} is released.")
    except DemoError as error:
        tour.say(f"The clean-up failed: {error}", "red")
