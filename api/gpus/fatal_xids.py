"""Store the Xid errors that make a GPU unusable, so that no server offers it again before a reset."""

import logging
import secrets
from dataclasses import replace

from api.errors import ServiceError
from api.gpus.health.xid_store import GPUXidStore
from api.gpus.health.xids import FatalXid, XidKey
from api.gpus.service import GPUService
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two checks for errors stored by other servers. Local errors are stored immediately.
SYNC_SECONDS = 2.0


class FatalXids(LoopOwner):
    """Synchronizes the fatal errors in memory with those in the database."""

    def __init__(self, store: GPUXidStore, gpus: GPUService) -> None:
        self._store = store
        self._gpus = gpus
        self._known: dict[XidKey, tuple[str, FatalXid]] = {}  #: as last stored, each with its token
        self._is_failing = False
        self._thread = PeriodicThread("fatal-xids", SYNC_SECONDS, self.sync)

    def start(self) -> None:
        """Read the stored errors, before which no GPU is offered, and start the loop."""
        self._gpus.await_past_xids(self._thread.trigger)
        self.sync()
        self._thread.start()

    def sync(self) -> None:
        """Exchange errors with the database. If it is unavailable, do it later."""
        try:
            with wait_limit(READ_SECONDS):
                self._sync()
        except ServiceError as error:
            # Logged once: the database may be down for days.
            if not self._is_failing:
                logger.warning("fatal Xid errors cannot be stored or read", extra={"problem": str(error)})
            self._is_failing = True
        else:
            self._is_failing = False

    def _sync(self) -> None:
        stored = self._store.list()
        news = {key: error for key, (token, error) in stored.items() if self._known.get(key, ("",))[0] != token}
        reset = {(node, uuid) for node, uuid, _ in self._known.keys() - stored.keys()}
        now = self._gpus.exchange_fatal_xids(news, reset)
        self._known = dict(stored)
        changed: dict[XidKey, tuple[str, FatalXid]] = {}
        for key, error in now.items():
            token, before = stored.get(key, (secrets.token_hex(8), None))
            # The energy counter changes constantly, so its first value stays stored.
            stored_error = error
            if before is not None:
                stored_error = replace(error, energy_joules=before.energy_joules, last_at=before.last_at)
            if stored_error != before:
                changed[key] = token, stored_error
        if changed:
            self._store.save(changed)
            self._known |= changed
        over = {key: token for key, (token, _) in stored.items() if key not in now}
        if over:
            self._store.delete(over)
            for key in over:
                del self._known[key]
