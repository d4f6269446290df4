"""Watches whether what is acknowledged is kept: the storage's place, the database and its disk."""

import logging

from api.db.database import Database
from api.errors import DatabaseUnavailable
from api.files.disk import DiskReserve
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_SECONDS = 1.0


class StorageWatch:
    """Knows what was wrong with the storage a second ago; asking it reads memory only."""

    def __init__(self, database: Database, reserve: DiskReserve) -> None:
        self._database = database
        self._reserve = reserve
        self._trouble: DatabaseUnavailable | None = None
        self._thread = PeriodicThread("storage-watch", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Starts the thread that looks."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread; a look at a file system that hangs is left behind."""
        self._thread.stop(timeout=0.5)

    @property
    def trouble(self) -> DatabaseUnavailable | None:
        """Why nothing can be kept now; None when all is well."""
        return self._trouble

    def look(self) -> None:
        """Looks once, and logs a change."""
        before, self._trouble = self._trouble, self._database.find_trouble()
        now = self._trouble
        if now is not None and (before is None or before.code != now.code):
            logger.error("nothing new can be kept", extra={"code": now.code, "problem": now.detail})
        elif now is None and before is not None:
            logger.info("what is acknowledged is kept again")
        if now is None:
            self._reserve.fill()
