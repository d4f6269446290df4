"""End a supervisor that a later one has replaced."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .directory import AttemptDirectory
from .processes import Tree
from .small_files import complain, identity_of, number, read_json
from .stop_rungs import KILL_SECONDS

YIELD_SECONDS = 10.0


def give_way(directory: AttemptDirectory, tree: Tree, reap: Callable[[], None]) -> None:
    """End this supervisor's trainer, unless the later supervisor has adopted that process. Write no outcome.

    If the later one has recorded an end, the trainer is ended immediately: a node that was disconnected may run beside
    its successor.
    """
    complain("a later supervisor has taken over this attempt")
    give_up_at = time.monotonic() + YIELD_SECONDS
    while time.monotonic() < give_up_at and not _is_later(directory, _read(directory, "exit.json")):
        record = _read(directory, "runner.json")
        if _is_later(directory, record):
            if identity_of(record.get("trainer")) == tree.main:
                return
            break
        time.sleep(0.1)
    while members := tree.scan(by_marker=False):
        for member in members:
            member.send(signal.SIGKILL)
        reap()
        time.sleep(KILL_SECONDS)


def _read(directory: AttemptDirectory, name: str) -> dict[str, object]:
    try:
        return read_json(directory.path(name))
    except (OSError, ValueError):
        return {}


def _is_later(directory: AttemptDirectory, record: dict[str, object]) -> bool:
    return (number(record.get("fence")) or 0) > directory.fence
