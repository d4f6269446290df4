"""Holds on the queue and on GPUs, where nothing new starts. Running tasks continue, except where a GPU is paused."""

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from api.domain.access import Permission, Principal
from api.domain.hold import GPUPause, Hold, HoldKind
from api.errors import GPUNotFound, HoldNotFound, NotYours
from api.gpus.hold_store import HoldStore
from api.gpus.judgement import JudgedGPU
from api.gpus.lookup import find_gpu
from api.gpus.service import GPUService
from api.util.clock import Clock
from api.util.ids import new_task_id

logger = logging.getLogger(__name__)


class Holds:
    """Manages holds. `wake` triggers the training loop immediately."""

    def __init__(
        self,
        store: HoldStore,
        gpus: GPUService,
        clock: Clock,
        wake: Callable[[], None],
        stop_seconds: Callable[[str], float | None] = lambda task_id: None,
    ) -> None:
        """Create the holds. `stop_seconds` returns how long a task takes to stop with a checkpoint, if known."""
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._wake = wake
        self._stop_seconds = stop_seconds

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

    def pause(self, reference: str, seconds: float, reason: str, principal: Principal) -> GPUPause:
        """Pause a GPU: its trainings stop with a checkpoint, and go on after this many seconds.

        A second pause replaces the first. Raise GPUNotFound, NotYours or Conflict.
        """
        gpu, uuid = self._find(reference)
        now = self._clock.now()
        expires_at = now + timedelta(seconds=seconds)
        self._check_may_pause(gpu, uuid, expires_at, principal)
        # One id for each GPU, so that it has one pause at most.
        hold_id = f"pause_{hashlib.sha256(uuid.encode()).hexdigest()[:20]}"
        self._store.pause(Hold(hold_id, HoldKind.PAUSE, uuid, reason, principal.actor, None, now, expires_at))
        logger.warning("GPU paused", extra={"gpu": uuid, "seconds": seconds, "by": principal.actor})
        self._note()
        runs = gpu.task is not None and gpu.task.is_started_here and not gpu.task.has_ended
        takes = self._stop_seconds(gpu.task.task_id) if gpu.task is not None and runs else None
        return GPUPause(gpu.reading.index, uuid, expires_at, takes)

    def unpause(self, reference: str, principal: Principal) -> GPUPause:
        """End the pause of a GPU. Without one nothing changes. Raise GPUNotFound or NotYours."""
        gpu, uuid = self._find(reference)
        pause = self._find_pause(uuid)
        if pause is not None:
            if not principal.may(Permission.SYSTEM_WRITE) and pause.made_by != principal.actor:
                raise NotYours("Another user has paused this GPU. Ask them or an administrator to end the pause.")
            if self._store.end_pause(uuid):
                logger.info("pause ended", extra={"gpu": uuid, "by": principal.actor})
                self._note()
        return GPUPause(gpu.reading.index, uuid, None)

    def _find(self, reference: str) -> tuple[JudgedGPU, str]:
        gpu = find_gpu(self._gpus.state, reference)
        if gpu.reading.uuid is None:
            raise GPUNotFound(f"The UUID of GPU {reference[:80]} is unknown, so it cannot be paused. Check its health.")
        return gpu, gpu.reading.uuid

    def _find_pause(self, uuid: str) -> Hold | None:
        now = self._clock.now()
        pauses = (each for each in self._store.pauses() if each.gpu_uuid == uuid)
        return next((each for each in pauses if each.expires_at is not None and each.expires_at > now), None)

    def _check_may_pause(self, gpu: JudgedGPU, uuid: str, expires_at: datetime, principal: Principal) -> None:
        """Check that the principal may pause a GPU until then. Raise NotYours.

        Administrators may. Others may while a training of theirs runs there, or shorten a pause of their own.
        """
        if principal.may(Permission.SYSTEM_WRITE):
            return
        pause, task = self._find_pause(uuid), gpu.task
        if pause is not None and pause.made_by != principal.actor:
            raise NotYours("Another user has paused this GPU. Ask them or an administrator to change the pause.")
        trains = task is not None and task.is_started_here and not task.has_ended and task.owner == principal.owner
        shortens = pause is not None and pause.expires_at is not None and expires_at <= pause.expires_at
        if not trains and not shortens:
            raise NotYours("Only administrators may pause a GPU on which no training of yours runs.")

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
