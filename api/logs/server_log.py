"""The server's own log, stored besides standard error, so that it can be read, searched and followed like any other."""

import logging
import re
from collections import deque

from api.db.file_lock import FileLock
from api.domain.log import LogLevel, LogType, Meaning
from api.executors.executor import Log, LogSink
from api.logs.reader import LogSource
from api.util.logs import LineHandler
from api.util.periodic import PeriodicThread

#: Maximum number of characters that wait to be written. Further lines are lost here, but not on standard error.
CAPACITY = 16 * 2**20

_LEVELS = {
    "DEBUG": LogLevel.DEBUG,
    "INFO": LogLevel.INFO,
    "WARNING": LogLevel.WARNING,
    "ERROR": LogLevel.ERROR,
    "CRITICAL": LogLevel.ERROR,
}
_LEVEL = re.compile(r'(?:\{"time":"[^"]{1,40}","level":"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )([A-Z]{1,8})\b', re.ASCII)


class ServerLog:
    """Accepts lines from any thread and writes them in its own thread, so that a slow disk delays nothing.

    One server writes at a time. Another server on the same storage takes over when the first has ended.
    """

    def __init__(self, log: Log, sink: LogSink, as_json: bool) -> None:
        """Create the log. `sink` receives the lines, and `log` reads them."""
        self.source = LogSource("server", None, log, ServerLines, lambda: None)
        self._directory = log.directory
        self._lock = FileLock(log.directory / "lock")
        self._sink = sink
        self._queue: deque[str] = deque()
        self._waiting = 0
        self._handler = LineHandler(self.write, as_json)
        self._thread = PeriodicThread("server-log", None, self.flush)

    def write(self, text: str) -> None:
        """Queue complete lines for writing. Never blocks, never raises."""
        if self._waiting < CAPACITY:
            self._waiting += len(text)
            self._queue.append(text)
            self._thread.trigger()

    def start(self) -> None:
        """Start to receive the lines of every logger."""
        logging.getLogger().addHandler(self._handler)
        self._thread.start()

    def stop(self) -> None:
        """Write the queued lines, and stop the thread."""
        logging.getLogger().removeHandler(self._handler)
        self._thread.stop()
        self.flush()
        self._sink.close()
        self._lock.release()

    def flush(self) -> None:
        """Write the queued lines. Lines that the disk does not accept are lost, and counted in the log itself."""
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        self._waiting = 0
        if waiting and self._owns_directory():
            self._sink.write("".join(waiting).encode(errors="replace"))

    def _owns_directory(self) -> bool:
        try:
            # Never with parents: an unmounted or moved storage would be replaced by an empty directory.
            self._directory.mkdir(exist_ok=True)
            return self._lock.acquire()
        except OSError:
            return False


class ServerLines:
    """Classifies the server's own lines by their level."""

    def __init__(self) -> None:
        self._level = LogLevel.INFO

    def read(self, text: str) -> Meaning:
        """Return the meaning of the next line.

        A line without a level, as in a traceback, has the level of the line before.
        """
        found = _LEVEL.match(text)
        if found is not None:
            self._level = _LEVELS.get(found[1], LogLevel.INFO)
        return Meaning(self._level, LogType.SYSTEM)
