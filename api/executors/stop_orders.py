"""Send stop orders to a supervisor: by a file, in which harder orders replace softer ones, or by a signal."""

import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from api.domain.tasks.task import ProcessIdentity
from api.executors.attempt.orders import CHECKPOINT, TERMINATE, Order
from api.executors.attempt.processes import read_stat
from api.executors.attempt.small_files import read_json, write_json
from api.executors.executor import StopOrder
from api.util.files.foreign_files import make_directory, open_directory, put_empty

logger = logging.getLogger(__name__)

#: Seconds that the writer of an order waits for another writer.
LOCK_WAIT_SECONDS = 0.5


def order_of(order: StopOrder) -> Order:
    """Return the order in the supervisor's form, with an absolute path."""
    file = None if order.signal_file is None else str(order.signal_file.absolute())
    return Order(file, order.checkpoint_seconds, order.terminate_seconds)


def give_order(directory: Path, wanted: Order, supervisor: ProcessIdentity | None) -> None:
    """Send an order, merged with an earlier one, to the supervisor of the attempt in this directory.

    The caller has checked that `supervisor` belongs to this attempt. Raises OSError if neither the disk nor a
    supervisor accepts the order.
    """
    try:
        make_directory(str(directory))
        _write_order(directory, wanted)
    except OSError as error:
        if supervisor is None or not _signal(supervisor, wanted):
            raise
        logger.warning(
            "a stop was ordered by a signal, because its file cannot be written",
            extra={"directory": str(directory), "error": str(error)},
        )


def _write_order(directory: Path, wanted: Order) -> None:
    """Write this order, merged with an existing one.

    Raises OSError.
    """
    with _locked(directory):
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
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock against other processes within the `with` block; continue without it after a timeout."""
    handle = open_directory(str(directory))
    give_up_at = time.monotonic() + LOCK_WAIT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A trainer may hold it forever. Losing one of two simultaneous orders is the lesser evil.
                if time.monotonic() >= give_up_at:
                    break
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)


def _signal(supervisor: ProcessIdentity, order: Order) -> bool:
    stat = read_stat(supervisor.pid)
    if stat is None or stat.start != supervisor.start:
        return False
    stat.send(_signal_of(order))
    return True


def _signal_of(order: Order) -> int:
    """Return the signal for the first rung of an order.

    A signal carries no durations: the supervisor uses its defaults.
    """
    if order.first_rung == CHECKPOINT and order.signal_file is not None:
        try:
            # An empty file often fits on a disk that accepts no more data.
            put_empty(order.signal_file)
            return signal.SIGUSR1
        except OSError:
            return signal.SIGTERM
    return signal.SIGTERM if order.first_rung == TERMINATE else signal.SIGUSR2
