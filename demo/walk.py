"""The walk from its first step to its last, and what has to be done however it ends."""

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
    *(training.show_loss, training.show_artifacts, training.show_sample, training.show_happenings),
    *(gpus.show_history, gpus.show_details, training.delete),
    *(gpus.hold, gpus.show_conflict, gpus.release),
    *(gpus.show_events, gpus.show_metrics, gpus.show_ways_on),
)

NEED_A_GPU = (gpus.show_history, gpus.show_details)
NEED_A_FREE_GPU = (training.validate, training.start, gpus.hold)
NEED_A_TRAINING = (training.follow, gpus.watch, training.stop, training.resume, training.show_happenings)
NEED_A_TRAINED = (training.show_loss, training.show_artifacts, training.show_sample, training.delete)
NEED_A_HOLD = (gpus.show_conflict, gpus.release)


def main(argv: Sequence[str]) -> int:
    """Walks. Returns the exit code: 0 when everything was as it was said to be, 1 otherwise, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no bars still shows the figures
    pause = min(max(arguments.pause, 0.0), 60.0)
    try:
        with nullcontext(arguments.url) if arguments.url else own_server() as url:
            key = os.environ.get(KEY_VARIABLE) if arguments.url else None
            wrong = _walk(Tour(Console(highlight=False), Client(url, key), pause))
    except (DemoError, LookupError, ValueError, TypeError) as error:
        why = str(error) if isinstance(error, DemoError) else f"an answer has another form than expected: {error!r}"
        print(f"demo.py: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo.py: ended", file=sys.stderr)
        return 130
    if wrong:
        print(f"demo.py: not as it should be: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo.py",
        description="A guided walk through the API over HTTP.",
        epilog=f"A server that asks for keys is shown the one in the variable {KEY_VARIABLE} (role trainer or admin).",
    )
    parser.add_argument("--url", help="a server that runs already; without it one is started, and ended at the end")
    parser.add_argument("--pause", type=float, default=0.5, metavar="SECONDS", help="between two steps (default: 0.5)")
    return parser


def _walk(tour: Tour) -> list[str]:
    try:
        for step in STEPS:
            if _makes_sense(tour, step):
                step(tour)
    finally:
        _leave_nothing(tour)
    return tour.wrong


def _makes_sense(tour: Tour, step: Step) -> bool:
    conditions = (
        (NEED_A_GPU, bool(tour.gpu)),
        (NEED_A_FREE_GPU, bool(tour.gpu) and tour.gpu["is_available"]),
        (NEED_A_TRAINING, bool(tour.training)),
        (NEED_A_TRAINED, tour.is_trained),
        (NEED_A_HOLD, bool(tour.held)),
    )
    return all(is_met for steps, is_met in conditions if step in steps)


def _leave_nothing(tour: Tour) -> None:
    if not (tour.may_run or tour.held):
        return
    # It does not take long, and a second Ctrl-C must not leave a process behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    tour.say("\nWhat was begun is ended:")
    try:
        if tour.may_run:
            training.stop_at_last(tour)
        if tour.held:
            answer = tour.ask(f"{TASKS}/{tour.held}", "DELETE")
            problem = answer.error.get("detail") if answer.status != 404 else None
            tour.say(f"{tour.held} could not be released: {problem}" if problem else f"{tour.held} is released.")
    except DemoError as error:
        tour.say(f"It could not be ended: {error}", "red")
