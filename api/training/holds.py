"""Holds the queue and GPUs back: nothing new begins there, and what runs goes on."""

import logging
from collections.abc import Callable

from api.domain.hold import Hold, HoldKind
from api.errors import GPUNotFound, HoldNotFound
from api.gpus.hold_store import HoldStore
from api.gpus.lookup import find_gpu
from api.gpus.service import GPUService
from api.util.clock import Clock
from api.util.ids import new_task_id

logger = logging.getLogger(__name__)


class Holds:
    """What is held back. `wake` makes the training loop look at once."""

    def __init__(self, store: HoldStore, gpus: GPUService, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._wake = wake

    def list(self) -> list[Hold]:
        """Every hold, oldest first."""
        return self._store.list()

    def get(self, hold_id: str) -> Hold:
        """Return one hold. Raises HoldNotFound."""
        found = next((hold for hold in self._store.list() if hold.hold_id == hold_id), None)
        if found is None:
            raise HoldNotFound(f'No hold has the id "{hold_id[:80]}".')
        return found

    def hold_queue(self, reason: str, by: str) -> Hold | None:
        """Hold the queue. Raises Conflict."""
        return self._hold(HoldKind.QUEUE, None, reason, by, None)

    def hold_gpu(self, reference: str, reason: str, by: str, alert_id: str | None = None) -> Hold | None:
        """Hold a GPU, named as in every request.

        Return None where the alert that it is for has ended, or holds it already. Raises GPUNotFound, Conflict.
        """
        found = find_gpu(self._gpus.state, reference).reading.uuid
        if found is None:
            raise GPUNotFound(f"GPU {reference[:80]} tells no UUID now, by which it could be held: look at its health.")
        return self._hold(HoldKind.GPU, found, reason, by, alert_id)

    def end(self, hold_id: str) -> Hold:
        """Ends a hold. Raises HoldNotFound."""
        hold = self._store.end(hold_id)
        logger.info("hold ended", extra={"hold": hold_id, "what": hold.gpu_uuid or "queue"})
        self._note()
        return hold

    def end_orphans(self) -> int:
        """Ends the holds of alerts that have ended; says how many there were. Raises DatabaseUnavailable."""
        ended = self._store.end_orphans()
        if ended:
            logger.info("holds ended with their alerts", extra={"count": ended})
            self._note()
        return ended

    def _hold(self, kind: HoldKind, uuid: str | None, reason: str, by: str, alert_id: str | None) -> Hold | None:
        now = self._clock.now()
        hold = Hold(new_task_id("hold", now), kind, uuid, reason, by, alert_id, now)
        if not self._store.add(hold):
            return None
        logger.warning("held back", extra={"hold": hold.hold_id, "what": uuid or "queue", "reason": reason, "by": by})
        self._note()
        return hold

    def _note(self) -> None:
        self._gpus.note_change()
        self._wake()
