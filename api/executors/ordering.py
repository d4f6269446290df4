"""How an executor tells a supervisor to stop: by a file, and where the disk takes none, by a signal."""

import logging
import signal
from pathlib import Path

from api.executors.attempt.orders import CHECKPOINT, TERMINATE, Order
from api.executors.attempt.processes import read_stat
from api.executors.order_files import write_order
from api.models.task import ProcessIdentity
from api.utils.foreign_files import make_directory, put_empty

logger = logging.getLogger(__name__)


def give_order(directory: Path, wanted: Order, supervisor: ProcessIdentity | None) -> None:
    """Has this order, or an earlier one that it makes harder, carried out. `supervisor` is known to be this attempt's.

    Raises OSError where neither the disk nor a supervisor takes it.
    """
    try:
        make_directory(str(directory))
        write_order(directory, wanted)
    except OSError as error:
        if supervisor is None or not _signal(supervisor, wanted):
            raise
        logger.warning(
            "a stop was ordered by a signal, as its file cannot be written",
            extra={"directory": str(directory), "error": str(error)},
        )


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
