"""Receive messages to a supervisor: signals and stop orders."""

from __future__ import annotations

import os
import signal
import time

from api.util.files.foreign_files import TROUBLE, status_of

from .orders import DEFAULT_CHECKPOINT_SECONDS, DEFAULT_TERMINATE_SECONDS, LEAVE, MADE, Order
from .small_files import PATIENCE_SECONDS, complain, read_json, retry_disk_errors


class Inbox:
    """Receives signals and stop orders. Signals make `handle` readable.

    Orders arrive in `stop.json`, or, if no disk accepts it, as signals: SIGUSR1 (the signal file exists: save and
    quit), SIGTERM, SIGUSR2 (kill). On a cluster the engine sends SIGTERM when it cancels the job; it stands for the
    order in `leave.json`.
    """

    def __init__(self, directory: str) -> None:
        self._stop_file, self._leave_file = f"{directory}/stop.json", f"{directory}/{LEAVE}"
        self._seen: tuple[int, int, int] | None = None
        self._signals: list[int] = []
        self._hidden_since: float | None = None  # monotonic
        self.handle, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def catch_signals(self) -> None:
        """Install the handlers. Afterwards no signal but SIGKILL ends this process."""
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_IGN)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, self._note_signal)

    def _note_signal(self, signum: int, _: object) -> None:
        self._signals.append(signum)

    def was_signalled(self) -> bool:
        """Return whether a signal came since the last call."""
        try:
            return bool(os.read(self.handle, 512))
        except BlockingIOError:
            return False

    def orders(self, current: Order | None) -> list[Order]:
        """Return the stop orders since the last call, oldest first."""
        found = []
        while self._signals:
            found.append(self._order_of(self._signals.pop(0), current))
        try:
            stat = status_of(self._stop_file)
        except OSError:
            return found
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen and (order := self._read()) is not None:
            self._seen = seen
            found.append(order)
        return found

    def _read(self) -> Order | None:
        """Return the order, or None while disk errors hide it.

        A stop with a checkpoint must not become one without.
        """
        try:
            order = Order.parse(read_json(self._stop_file))
        except (OSError, ValueError) as error:
            self._hidden_since = self._hidden_since or time.monotonic()
            is_hidden = isinstance(error, OSError) and error.errno in TROUBLE
            if is_hidden and time.monotonic() - self._hidden_since < PATIENCE_SECONDS:
                return None
            complain(f"stop.json cannot be read and counts as SIGTERM: {error}")
            order = Order.parse({})
        self._hidden_since = None
        return order

    def _order_of(self, signum: int, current: Order | None) -> Order:
        if signum == signal.SIGUSR2:
            return Order(None, 0.0, 0.0)
        seconds = DEFAULT_TERMINATE_SECONDS if current is None else current.terminate_seconds
        if signum == signal.SIGUSR1:
            return Order(MADE, DEFAULT_CHECKPOINT_SECONDS, seconds)
        return self._read_leave() or Order(None, 0.0, seconds)

    def _read_leave(self) -> Order | None:
        """Return the order in `leave.json`, or None if there is none."""
        try:
            return Order.parse(retry_disk_errors(lambda: read_json(self._leave_file)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            complain(f"{LEAVE} cannot be read, so no checkpoint is saved: {error}")
            return None
