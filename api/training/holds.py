"""Holds on the queue and on GPUs. Nothing new starts there; running tasks continue."""

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
    """Manages holds. `wake` triggers the training loop immediately."""

    def __init__(self, store: HoldStore, gpus: GPUService, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._wake = wake

    def list(self) -> list[Hold]:
        """Return every hold, oldest first."""
        return self._store.list()

    def get(self, hold_id: str) -> Hold:
        """Return one hold. Raise HoldNotFound."""
        found = next((hold for hold in self._store.list() if hold.hold_id == hold_id), None)
        if found is None:
            raise HoldNotFound(f'There is no hold with the id "{hold_id[:80]}".')
        return found

    def hold_queue(self, reason: str, by: str) -> Hold | None:
        """Hold the queue. Raise Conflict."""
        return self._hold(HoldKind.QUEUE, None, reason, by, None)

    def hold_gpu(self, reference: str, reason: str, by: str, alert_id: str | None = None) -> Hold | None:
        """Hold a GPU, referenced as in any request. Raise GPUNotFound or Conflict.

        Return None if the alert has ended or already holds the GPU.
        """
        found = find_gpu(self._gpus.state, reference).reading.uuid
        if found is None:
            raise GPUNotFound(f"The UUID of GPU {reference[:80]} is unknown, so it cannot be held. Check its health.")
        return self._hold(HoldKind.GPU, found, reason, by, alert_id)

    def end(self, hold_id: str) -> Hold:
        """End a hold. Raise HoldNotFound."""
        hold = self._store.end(hold_id)
        logger.info("hold ended", extra={"hold": hold_id, "what": hold.gpu_uuid or "queue"})
        self._note()
        return hold

    def end_orphans(self) -> int:
        """End the holds of ended alerts. Return their number. Raise DatabaseUnavailable."""
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
        logger.warning(
            "hold created", extra={"hold": hold.hold_id, "what": uuid or "queue", "reason": reason, "by": by}
        )
        self._note()
        return hold

    def _note(self) -> None:
        self._gpus.note_change()
        self._wake()
