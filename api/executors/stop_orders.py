"""How an executor tells a supervisor to stop: by a file, in which a harder order replaces a softer, or by a signal."""

import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.executors.attempt.files import read_json, write_json
from api.executors.attempt.orders import CHECKPOINT, TERMINATE, Order
from api.executors.attempt.processes import read_stat
from api.executors.executor import StopOrder
from api.util.foreign_files import make_directory, open_directory, put_empty

logger = logging.getLogger(__name__)

#: Seconds that a writer of an order waits for another writer.
ALONE_SECONDS = 0.5


def order_of(order: StopOrder) -> Order:
    """Return the order in the supervisor's form, with an absolute path."""
    file = None if order.signal_file is None else str(order.signal_file.absolute())
    return Order(file, order.checkpoint_seconds, order.terminate_seconds)


def give_order(directory: Path, wanted: Order, supervisor: ProcessIdentity | None) -> None:
    """Gives an order, merged with an earlier one, to the supervisor, which is known to be this attempt's.

    Raises OSError where neither the disk nor a supervisor takes it.
    """
    try:
        make_directory(str(directory))
        _write_order(directory, wanted)
    except OSError as error:
        if supervisor is None or not _signal(supervisor, wanted):
            raise
        logger.warning(
            "a stop was ordered by a signal, as its file cannot be written",
            extra={"directory": str(directory), "error": str(error)},
        )


def _write_order(directory: Path, wanted: Order) -> None:
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
    """Holds a lock over all processes within the `with` block, or goes on without it after a moment."""
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


def _signal(supervisor: ProcessIdentity, order: Order) -> bool:
    stat = read_stat(supervisor.pid)
    if stat is None or stat.start != supervisor.start:
        return False
    stat.send(_signal_of(order))
    return True


def _signal_of(order: Order) -> int:
    """A signal says which rung comes first, and not how long each may take: the supervisor's own times hold."""
    if order.first_rung == CHECKPOINT and order.signal_file is not None:
        try:
            # An empty file often fits where no byte does.
            put_empty(order.signal_file)
            return signal.SIGUSR1
        except OSError:
            return signal.SIGTERM
    return signal.SIGTERM if order.first_rung == TERMINATE else signal.SIGUSR2
