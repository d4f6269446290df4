"""How a supervisor hears: signals, and the order to stop."""

from __future__ import annotations

import os
import signal

from api.utils.foreign_files import status_of

from .files import complain, read_json
from .orders import DEFAULT_TERMINATE_SECONDS, Order


class Inbox:
    """Signals wake whoever polls `handle`; orders come in `stop.json`, or as SIGTERM."""

    def __init__(self, stop_file: str) -> None:
        self._stop_file = stop_file
        self._seen: tuple[int, int, int] | None = None
        self._was_told_to_end = False
        self.handle, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def catch_signals(self) -> None:
        """From now on none ends this process but SIGKILL."""
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_IGN)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, *_: object) -> None:
        self._was_told_to_end = True

    def was_signalled(self) -> bool:
        """Whether a signal came since the last call."""
        try:
            return bool(os.read(self.handle, 512))
        except BlockingIOError:
            return False

    def orders(self, current: Order | None) -> list[Order]:
        """What was ordered since the last call."""
        found = []
        if self._was_told_to_end:
            self._was_told_to_end = False
            seconds = DEFAULT_TERMINATE_SECONDS if current is None else current.terminate_seconds
            found.append(Order(None, 0.0, seconds))
        try:
            stat = status_of(self._stop_file)
        except OSError:
            return found
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._seen = seen
            found.append(self._read())
        return found

    def _read(self) -> Order:
        try:
            return Order.parse(read_json(self._stop_file))
        except (OSError, ValueError) as error:
            complain(f"stop.json cannot be read and counts as SIGTERM: {error}")
            return Order.parse({})
