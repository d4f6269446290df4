"""Detects whether the servers on this storage ended cleanly.

A file lists the running servers and the latest starts.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import orjson

from api.files.task_files import write_private
from api.util.clock import SLACK_SECONDS, Clock

logger = logging.getLogger(__name__)

#: Number of starts in the file.
_MOST_STARTS = 50

#: Bytes that are read of the file; fifty starts take 4 KB.
_MOST_BYTES = 65_536


class StartLog:
    """The starts of the servers on one storage."""

    def __init__(self, path: Path, own: str, is_alive: Callable[[str], bool], clock: Clock) -> None:
        """Create the log.

        `own` is the identity of this process; `is_alive` returns whether the process of an identity runs.
        """
        self._path = path
        self._own = own
        self._is_alive = is_alive
        self._clock = clock
        self.unclean_at: float | None = None  #: Unix time of a start after an unclean end
        self.starts: tuple[float, ...] = ()

    def note_start(self) -> None:
        """Record that this server starts, and whether an earlier one ended without recording it."""
        running, starts, unclean = self._read()
        now = self._clock.now().timestamp()
        # A start in the future was recorded before the clock was set back: its age is unknown.
        starts = [at for at in starts if at <= now + SLACK_SECONDS]
        unclean = None if unclean is None or unclean > now + SLACK_SECONDS else unclean
        dead = [identity for identity in running if not self._is_alive(identity)]
        self.unclean_at = now if dead else unclean
        self.starts = (*starts, now)[-_MOST_STARTS:]
        self._write([identity for identity in running if identity not in dead] + [self._own])

    def note_end(self) -> None:
        """Record that this server ends cleanly."""
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
