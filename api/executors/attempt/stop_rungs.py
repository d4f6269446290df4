"""Carry out stops rung by rung, and end processes that outlive the main process."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Callable

from api.util.files.foreign_files import TROUBLE, put_empty

from .orders import CHECKPOINT, KILL, MADE, RUNGS, TERMINATE, Order
from .processes import Stat, Tree, has_children
from .small_files import PATIENCE_SECONDS, complain, number

CHORE_SECONDS = 0.4
HASTE_SECONDS = 0.1  #: interval between checks of processes that outlive the main process
KILL_SECONDS = 0.02  #: interval between rounds of SIGKILL
_PASSING = TROUBLE | {errno.ENOSPC, errno.EDQUOT}

#: how long processes may outlive a main process that has done its work, such as those of torch
FINISHED_SECONDS = 1.0

#: seconds after which rounds become slower: processes that SIGKILL has not ended wait in the kernel
HASTY_SECONDS = 2.0


class Stopping:
    """Carries out stop orders: one rung after the other while the main process lives, then ends remaining processes.

    `on_change` is called for each change, after the rung is set and before it is carried out. Times are monotonic.
    """

    def __init__(self, tree: Tree, leftover_seconds: float, on_change: Callable[[], None]) -> None:
        self.order: Order | None = None
        self.rung: str | None = None
        self.rung_since = 0.0
        self.is_ending = False  #: whether the main process has ended and others remain
        self._must_retry = False
        self._tree = tree
        self._leftover_seconds = leftover_seconds
        self._on_change = on_change
        self._main_gone_at: float | None = None
        self._cleaning: str | None = None
        self._cleaning_since = 0.0
        self._terminated: set[tuple[int, int]] = set()
        self._hit: set[tuple[int, int]] = set()
        self._survivors: set[tuple[int, int]] = set()

    @property
    def phase(self) -> str:
        """The phase of the attempt: running, stopping or ending."""
        if self.is_ending:
            return "ending"
        return "running" if self.rung is None else "stopping"

    @property
    def survivors_killed(self) -> int:
        """How many processes were killed after the main process had ended."""
        return len(self._survivors)

    @property
    def pace(self) -> float:
        """Seconds until `advance` should be called again."""
        if KILL in (self.rung, self._cleaning):
            since = self._cleaning_since if self._cleaning == KILL else self.rung_since
            return KILL_SECONDS if time.monotonic() - since < HASTY_SECONDS else CHORE_SECONDS
        return CHORE_SECONDS if self._main_gone_at is None else HASTE_SECONDS

    def restore(self, record: dict[str, object]) -> None:
        """Continue with the order and the rung of an earlier supervisor's record."""
        rung, order = record.get("rung"), record.get("order")
        if isinstance(rung, str) and rung in RUNGS and isinstance(order, dict):
            self.order, self.rung = Order.parse(order), rung
            # Never in the future, where a time of an earlier boot could be.
            since = number(record.get("rung_since_monotonic"))
            self.rung_since = time.monotonic() if since is None else min(since, time.monotonic())

    def as_json(self) -> dict[str, object]:
        """Return the order and rung as `restore` reads them, with the start of the rung also in Unix seconds."""
        is_on = self.rung is not None
        return {
            "rung": self.rung,
            "rung_since": time.time() - (time.monotonic() - self.rung_since) if is_on else None,
            "rung_since_monotonic": self.rung_since if is_on else None,
            "order": None if self.order is None else self.order.as_json(),
        }

    def take(self, order: Order) -> None:
        """Start to carry out an order, or make the current one harder."""
        self.order = order if self.order is None else self.order.hardened_by(order)
        first = self.order.first_rung
        if self._main_gone_at is not None:
            # Only remaining processes are left, and they do not read the signal file.
            if first != CHECKPOINT:
                self._clean(first)
        elif self.rung is None or RUNGS.index(first) > RUNGS.index(self.rung):
            self._enter(first, self.order)

    def _enter(self, rung: str, order: Order) -> None:
        self.rung, self.rung_since = rung, time.monotonic()
        self._on_change()
        if rung == CHECKPOINT:
            self._create_signal_file(order)

    def _create_signal_file(self, order: Order) -> None:
        """Create the signal file. Disk errors are retried for a while, before the next rung loses progress."""
        error = _create(order.signal_file)
        self._must_retry = (
            error is not None and error.errno in _PASSING and time.monotonic() - self.rung_since < PATIENCE_SECONDS
        )
        if error is not None and not self._must_retry:
            complain(f"the signal file cannot be created, so SIGTERM is next: {error}")
            self._enter_next(order)

    def _enter_next(self, order: Order) -> None:
        self._enter(TERMINATE if self.rung == CHECKPOINT and order.terminate_seconds > 0 else KILL, order)

    def shorten(self) -> None:
        """Wait only briefly for remaining processes, because the main process has reported and ended its work well."""
        self._leftover_seconds = min(self._leftover_seconds, FINISHED_SECONDS)

    def advance(self, is_main_alive: bool) -> bool:
        """Advance the stop, or the cleanup after it, by one step. Return whether no process is left."""
        if not is_main_alive:
            return self._advance_cleaning()
        if self.order is not None and self.rung is not None:
            self._advance_stop(self.rung, self.order)
        return False

    def _advance_stop(self, rung: str, order: Order) -> None:
        if rung != KILL and time.monotonic() - self.rung_since >= order.seconds(rung):
            self._enter_next(order)
        elif rung == CHECKPOINT and self._must_retry:
            self._create_signal_file(order)
        if self.rung == KILL:
            self._hit.update(stat.identity for stat in self._tree.kill())
        elif self.rung == TERMINATE:
            self._terminate(self._tree.scan())

    def _terminate(self, members: list[Stat]) -> None:
        """Send SIGTERM once to each process, and SIGCONT so that suspended processes receive it."""
        for member in members:
            if member.identity not in self._terminated:
                self._terminated.add(member.identity)
                if self._main_gone_at is not None:
                    self._survivors.add(member.identity)
                member.send(signal.SIGTERM)
                member.send(signal.SIGCONT)

    def _advance_cleaning(self) -> bool:
        if self._main_gone_at is None:
            self._main_gone_at = time.monotonic()
            # Processes that were signalled together with the main process get no second grace period.
            if self.rung in (TERMINATE, KILL):
                self._cleaning, self._cleaning_since = self.rung, self.rung_since
        members = self._tree.kill() if self._cleaning == KILL else self._tree.scan()
        if not members and self._tree.is_settled and not has_children():
            return True
        if not self.is_ending:
            self.is_ending = True
            self._on_change()
        if self._cleaning == KILL:
            self._survivors.update({member.identity for member in members} - self._hit)
            return False
        if self._cleaning == TERMINATE:
            self._terminate(members)
        if time.monotonic() >= self._patient_until(self._main_gone_at):
            self._clean(TERMINATE if self._cleaning is None else KILL)
        return False

    def _clean(self, rung: str) -> None:
        if self._cleaning is None or RUNGS.index(rung) > RUNGS.index(self._cleaning):
            self._cleaning, self._cleaning_since = rung, time.monotonic()

    def _patient_until(self, main_gone_at: float) -> float:
        if self._cleaning is None:
            return main_gone_at + self._leftover_seconds
        until = max(main_gone_at, self._cleaning_since) + self._leftover_seconds
        return until if self.order is None else min(until, self._cleaning_since + self.order.terminate_seconds)


def _create(signal_file: str | None) -> OSError | None:
    """Create the signal file; return the error that prevents it, or None."""
    if signal_file is None:
        return FileNotFoundError(errno.ENOENT, "no trainer reads a signal file")
    try:
        if signal_file != MADE:
            put_empty(signal_file)
    except OSError as error:
        return error
    return None
