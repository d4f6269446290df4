"""The server's own log, kept beside its standard error so that it can be read, searched and followed as any other."""

import logging
import re
from collections import deque

from api.db.file_lock import FileLock
from api.domain.log import LogLevel, LogType, Meaning
from api.executors.executor import Log, LogSink
from api.logs.source import LogSource
from api.util.logs import LineHandler
from api.util.periodic import PeriodicThread

#: The most characters that wait to be written; further lines are lost here, and are on standard error all the same.
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
    """Takes lines from any thread and writes them in one of its own, so that trouble with the disk holds up nobody.

    One server at a time writes: another one on the same storage takes over when the first has ended.
    """

    def __init__(self, log: Log, sink: LogSink, as_json: bool) -> None:
        """`sink` is where lines go, `log` where they are read again."""
        self.source = LogSource("server", None, log, ServerLines, lambda: None)
        self._directory = log.directory
        self._lock = FileLock(log.directory / "lock")
        self._sink = sink
        self._queue: deque[str] = deque()
        self._waiting = 0
        self._handler = LineHandler(self.write, as_json)
        self._thread = PeriodicThread("server-log", None, self.flush)

    def write(self, text: str) -> None:
        """Takes whole lines to be written; never blocks, never raises."""
        if self._waiting < CAPACITY:
            self._waiting += len(text)
            self._queue.append(text)
            self._thread.trigger()

    def start(self) -> None:
        """Starts to take the lines of every logger."""
        logging.getLogger().addHandler(self._handler)
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left, and stops the thread."""
        logging.getLogger().removeHandler(self._handler)
        self._thread.stop()
        self.flush()
        self._sink.close()
        self._lock.release()

    def flush(self) -> None:
        """Writes what has come in; what the disk does not take is lost, and counted in the log itself."""
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        self._waiting = 0
        if waiting and self._owns_directory():
            self._sink.write("".join(waiting).encode(errors="replace"))

    def _owns_directory(self) -> bool:
        try:
            # Never those above: a storage that was unmounted or moved away would have an empty one in its place, into
            # which the former is then moved back.
            self._directory.mkdir(exist_ok=True)
            return self._lock.acquire()
        except OSError:
            return False


class ServerLines:
    """Tells what the server's own lines mean: their level, and nothing else."""

    def __init__(self) -> None:
        self._level = LogLevel.INFO

    def read(self, text: str) -> Meaning:
        """The meaning of the next line; one without a level has that of the line before, as in a traceback."""
        found = _LEVEL.match(text)
        if found is not None:
            self._level = _LEVELS.get(found[1], LogLevel.INFO)
        return Meaning(self._level, LogType.SYSTEM)
