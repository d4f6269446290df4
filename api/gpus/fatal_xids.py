"""Stores the Xid errors that forbid a GPU, so that neither a restart nor another server offers it before a reset."""

import logging
import secrets
from dataclasses import replace

from api.errors import ServiceError
from api.gpus.service import GPUService
from api.gpus.xid_store import GPUXidStore
from api.gpus.xids import FatalXid, XidKey
from api.util.deadlines import READ_SECONDS, hurrying
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks at what other servers have noted; an error that comes here is stored at once.
LOOK_SECONDS = 2.0


class FatalXids:
    """Keeps the errors in memory and those in the database alike."""

    def __init__(self, store: GPUXidStore, gpus: GPUService) -> None:
        self._store = store
        self._gpus = gpus
        self._known: dict[XidKey, tuple[str, FatalXid]] = {}  #: as they were stored last, each with its token
        self._is_failing = False
        self._loop = PeriodicThread("fatal-xids", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Read what was stored, before which no GPU is offered, and begin to look."""
        self._gpus.await_past_xids(self._loop.trigger)
        self.look()
        self._loop.start()

    def stop(self) -> None:
        """End the loop."""
        self._loop.stop()

    def look(self) -> None:
        """Take up what other servers stored, and store what this one knows; later, while the database is away."""
        try:
            with hurrying(READ_SECONDS):
                self._look()
        except ServiceError as error:
            # Logged once: a database may be away for days.
            if not self._is_failing:
                logger.warning("fatal Xid errors cannot be stored or read", extra={"problem": str(error)})
            self._is_failing = True
        else:
            self._is_failing = False

    def _look(self) -> None:
        stored = self._store.list()
        news = {key: error for key, (token, error) in stored.items() if self._known.get(key, ("",))[0] != token}
        reset = {(node, uuid) for node, uuid, _ in self._known.keys() - stored.keys()}
        now = self._gpus.exchange_fatal_xids(news, reset)
        self._known = dict(stored)
        changed: dict[XidKey, tuple[str, FatalXid]] = {}
        for key, error in now.items():
            token, before = stored.get(key, (secrets.token_hex(8), None))
            # The counter of energy moves all the time: it is stored as it was at first.
            kept = error
            if before is not None:
                kept = replace(error, energy_joules=before.energy_joules, last_at=before.last_at)
            if kept != before:
                changed[key] = token, kept
        if changed:
            self._store.save(changed)
            self._known |= changed
        over = {key: token for key, (token, _) in stored.items() if key not in now}
        if over:
            self._store.delete(over)
            for key in over:
                del self._known[key]
