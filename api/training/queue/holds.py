"""Holds on the queue and on GPUs, where nothing new starts. Running tasks continue, except where a GPU is paused."""

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from api.domain.access.principal import Permission, Principal
from api.domain.machines.hold import GPUClaim, GPUClaims, GPUPause, Hold, HoldKind
from api.errors import GPUNotFound, HoldNotFound, NotYours
from api.gpus.health.judgement import JudgedGPU
from api.gpus.lookup import find_gpu
from api.gpus.service import GPUService
from api.gpus.sharing.hold_store import HoldStore
from api.util.clock import Clock
from api.util.text.ids import new_task_id

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
        """Return every hold in force, oldest first."""
        now = self._clock.now()
        return [hold for hold in self._store.list() if hold.expires_at is None or hold.expires_at > now]

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
        """Pause a GPU: its trainings stop with a checkpoint, and resume after this many seconds.

        A second pause replaces the first. Raise GPUNotFound, NotYours or Conflict.
        """
        gpu, uuid = self._find(reference)
        now = self._clock.now()
        expires_at = now + timedelta(seconds=seconds)
        hold_id = _pause_id(uuid)
        self._check_may_hold(gpu, self._find_timed(uuid, hold_id), expires_at, principal)
        self._store.put(Hold(hold_id, HoldKind.PAUSE, uuid, reason, principal.actor, None, now, expires_at))
        logger.warning("GPU paused", extra={"gpu": uuid, "seconds": seconds, "by": principal.actor})
        self._note()
        runs = gpu.task is not None and gpu.task.is_started_here and not gpu.task.has_ended
        takes = self._stop_seconds(gpu.task.task_id) if gpu.task is not None and runs else None
        return GPUPause(gpu.reading.index, uuid, expires_at, takes)

    def claim(
        self, reference: str, name: str, memory_mb: int | None, seconds: float, principal: Principal
    ) -> GPUClaims:
        """Claim memory of a GPU for another program, for this many seconds. The same name renews the claim.

        Return all claims on the GPU. Raise GPUNotFound, NotYours or Conflict.
        """
        gpu, uuid = self._find(reference)
        now = self._clock.now()
        expires_at = now + timedelta(seconds=seconds)
        hold_id = claim_id(uuid, name)
        self._check_may_hold(gpu, self._find_timed(uuid, hold_id), expires_at, principal)
        self._store.put(Hold(hold_id, HoldKind.CLAIM, uuid, name, principal.actor, None, now, expires_at, memory_mb))
        logger.info("GPU claimed", extra={"gpu": uuid, "claim": name, "seconds": seconds, "by": principal.actor})
        self._note()
        return self._show_claims(gpu, uuid)

    def release(self, reference: str, name: str, principal: Principal) -> GPUClaims:
        """End a claim, and return those that remain. Raise GPUNotFound, HoldNotFound or NotYours."""
        gpu, uuid = self._find(reference)
        claim = self._find_timed(uuid, claim_id(uuid, name))
        if claim is None:
            raise HoldNotFound(f'No claim on GPU {reference[:80]} has the name "{name[:80]}". It may have expired.')
        self._end(claim, principal)
        return self._show_claims(gpu, uuid)

    def _show_claims(self, gpu: JudgedGPU, uuid: str) -> GPUClaims:
        now, held = self._clock.now(), self._store.timed().get(uuid, ())
        claims = (
            GPUClaim(hold.reason, hold.memory_mb, hold.expires_at)
            for hold in held
            if hold.kind is HoldKind.CLAIM and hold.expires_at is not None and hold.expires_at > now
        )
        return GPUClaims(gpu.reading.index, uuid, tuple(claims))

    def unpause(self, reference: str, principal: Principal) -> GPUPause:
        """End the pause of a GPU. Without one nothing changes. Raise GPUNotFound or NotYours."""
        gpu, uuid = self._find(reference)
        pause = self._find_timed(uuid, _pause_id(uuid))
        if pause is not None:
            self._end(pause, principal)
        return GPUPause(gpu.reading.index, uuid, None)

    def _end(self, hold: Hold, principal: Principal) -> None:
        """End a pause or claim. Raise NotYours."""
        if not principal.may(Permission.SYSTEM_WRITE) and hold.made_by != principal.actor:
            raise NotYours(f"This {hold.kind} belongs to another user. Ask them or an administrator to end it.")
        if self._store.end_timed(hold):
            logger.info("hold of a GPU ended", extra={"kind": hold.kind, "gpu": hold.gpu_uuid, "by": principal.actor})
            self._note()

    def _find(self, reference: str) -> tuple[JudgedGPU, str]:
        gpu = find_gpu(self._gpus.state, reference)
        if gpu.reading.uuid is None:
            raise GPUNotFound(f"The UUID of GPU {reference[:80]} is unknown, so it cannot be used. Check its health.")
        return gpu, gpu.reading.uuid

    def _find_timed(self, uuid: str, hold_id: str) -> Hold | None:
        """Return a pause or claim that is in force, or None."""
        now, held = self._clock.now(), self._store.timed().get(uuid, ())
        return next((each for each in held if each.hold_id == hold_id and (each.expires_at or now) > now), None)

    def _check_may_hold(self, gpu: JudgedGPU, earlier: Hold | None, expires_at: datetime, principal: Principal) -> None:
        """Check that the principal may pause or claim a GPU until then. Raise NotYours.

        Administrators may. Others may while a training of theirs runs there, or shorten what is their own.
        """
        if principal.may(Permission.SYSTEM_WRITE):
            return
        task = gpu.task
        if earlier is not None and earlier.made_by != principal.actor:
            raise NotYours(f"This {earlier.kind} belongs to another user. Ask them or an administrator to change it.")
        trains = task is not None and task.is_started_here and not task.has_ended and task.owner == principal.owner
        shortens = earlier is not None and earlier.expires_at is not None and expires_at <= earlier.expires_at
        if not trains and not shortens:
            raise NotYours("Only administrators may pause or claim a GPU on which no training of yours runs.")

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
        self._gpus.republish()
        self._wake()


def _pause_id(uuid: str) -> str:
    """Return the id of a GPU's pause: one for each GPU, so that it has one pause at most."""
    return f"pause_{hashlib.sha256(uuid.encode()).hexdigest()[:20]}"


def claim_id(uuid: str, name: str) -> str:
    """Return the id of a claim: one for each name on a GPU, so that a second one renews it."""
    return f"claim_{hashlib.sha256(f'{uuid} {name}'.encode()).hexdigest()[:20]}"
