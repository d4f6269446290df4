"""Make tasks leave GPUs that are closed to them: they stop with a checkpoint, and are queued again."""

import logging

from api.domain.machines.lease import LeaseKind, LeaseState
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.queue.closures import Closures, ReadClosures
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)


class MakingRoom:
    """Stops the tasks on closed GPUs. One thread calls `check`."""

    def __init__(
        self, tasks: TaskStore, attempts: AttemptStore, gpus: GPUService, closures: Closures, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._closures = closures
        self._clock = clock

    def check(self, closures: ReadClosures) -> bool:
        """End the pauses that are over, and request the stops that are due.

        Return whether a pause has ended. Raise DatabaseUnavailable.
        """
        is_over = self._closures.end_expired(closures)
        if is_over:
            self._gpus.republish()
        closed = closures.of(list_offers(self._gpus.state))
        held = self._attempts.leases(LeaseKind.GPU) if closed else ()
        leaving = {
            lease.task_id: found
            for lease in held
            if lease.state is LeaseState.HELD and (found := closed.get(lease.resource)) and found.leaves
        }
        for task_id, closure in leaving.items():
            if self._tasks.make_room(task_id, closure.cause(), self._clock.now()):
                logger.info("task makes room", extra={"task_id": task_id, "cause": closure.code})
        return is_over
