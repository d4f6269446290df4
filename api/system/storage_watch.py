"""Check periodically whether writes are stored: the storage directory, the database and its disk."""

import logging

from api.db.database import Database
from api.errors import DatabaseUnavailable
from api.files.disk import DiskReserve
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two checks.
CHECK_SECONDS = 1.0


class StorageWatch(LoopOwner):
    """Knows the storage's problem as of the last check; reading it needs memory only."""

    _stop_seconds = 0.5

    def __init__(self, database: Database, reserve: DiskReserve) -> None:
        self._database = database
        self._reserve = reserve
        self._trouble: DatabaseUnavailable | None = None
        self._thread = PeriodicThread("storage-watch", CHECK_SECONDS, self.check)

    @property
    def trouble(self) -> DatabaseUnavailable | None:
        """Why nothing can be stored now, or None."""
        return self._trouble

    def check(self) -> None:
        """Check once and log a change."""
        before, self._trouble = self._trouble, self._database.find_trouble()
        now = self._trouble
        if now is not None and (before is None or before.code != now.code):
            logger.error("nothing can be stored", extra={"code": now.code, "problem": now.detail})
        elif now is None and before is not None:
            logger.info("the storage works again")
        if now is None:
            self._reserve.fill()
