"""Whether the servers on this storage ended before they began again: a file says who runs, and when each has begun."""

import logging
from collections.abc import Callable
from pathlib import Path

import orjson

from api.files.task_files import write_private
from api.util.clock import SLACK_SECONDS, Clock

logger = logging.getLogger(__name__)

#: Starts that are remembered.
_KEPT = 50

#: Bytes that are read of the file: fifty starts take 4 KB.
_MOST_BYTES = 65_536


class StartLog:
    """The starts of the servers on one storage."""

    def __init__(self, path: Path, own: str, is_alive: Callable[[str], bool], clock: Clock) -> None:
        """`own` is the identity of this process; `is_alive` tells whether another one still runs."""
        self._path = path
        self._own = own
        self._is_alive = is_alive
        self._clock = clock
        self.unclean_at: float | None = None  #: when a server began after another one that had not ended (Unix seconds)
        self.starts: tuple[float, ...] = ()

    def note_start(self) -> None:
        """Notes that this server begins, and whether one before it never ended."""
        running, starts, unclean = self._read()
        now = self._clock.now().timestamp()
        # What lies ahead was noted before the clock was set back: nobody knows how long ago that was.
        starts = [at for at in starts if at <= now + SLACK_SECONDS]
        unclean = None if unclean is None or unclean > now + SLACK_SECONDS else unclean
        gone = [identity for identity in running if not self._is_alive(identity)]
        self.unclean_at = now if gone else unclean
        self.starts = (*starts, now)[-_KEPT:]
        self._write([identity for identity in running if identity not in gone] + [self._own])

    def note_end(self) -> None:
        """Notes that this server ends as it should."""
        running, starts, unclean = self._read()
        self.starts, self.unclean_at = tuple(starts), unclean
        self._write([identity for identity in running if identity != self._own])

    def _read(self) -> tuple[list[str], list[float], float | None]:
        try:
            with self._path.open("rb") as file:
                known = orjson.loads(file.read(_MOST_BYTES))
            running = [str(each) for each in known["running"]]
            return running, [float(at) for at in known["starts"]], known.get("unclean_at")
        except FileNotFoundError:
            return [], [], None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the record of starts cannot be read", extra={"problem": type(error).__name__})
            return [], [], None

    def _write(self, running: list[str]) -> None:
        known = {"running": running, "starts": list(self.starts), "unclean_at": self.unclean_at}
        try:
            write_private(self._path, orjson.dumps(known), levels=0)
        except OSError as error:
            logger.warning("the record of starts cannot be written", extra={"problem": str(error)})
