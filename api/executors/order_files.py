"""The order to stop an attempt, as it lies in its directory: a harder one replaces a softer."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from api.executors.attempt.files import read_json, write_json
from api.executors.attempt.orders import Order
from api.utils.foreign_files import open_directory

#: Seconds that an order waits for another one that is being written.
ALONE_SECONDS = 0.5


def write_order(directory: Path, wanted: Order) -> None:
    """Writes this order, or makes the one that is there as hard. Raises OSError."""
    with _alone(directory):
        known = _known_order(directory)
        hardened = wanted if known is None else known.hardened_by(wanted)
        if known is None or hardened.as_json() != known.as_json():
            write_json(str(directory / "stop.json"), {**hardened.as_json(), "requested_at": time.time()})


def _known_order(directory: Path) -> Order | None:
    try:
        return Order.parse(read_json(str(directory / "stop.json")))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One at a time, over all processes; but nobody who keeps others from it for longer than a moment."""
    handle = open_directory(str(directory))
    give_up_at = time.monotonic() + ALONE_SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A trainer may hold it for ever; to lose what two servers order at once is the lesser evil.
                if time.monotonic() >= give_up_at:
                    break
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)
