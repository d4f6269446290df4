"""Free the GPUs of ended attempts once readings show them free."""

import logging
from collections.abc import Sequence

from api.db.leadership import LeadershipLost
from api.domain.machines.lease import Lease
from api.domain.reason import Reason
from api.domain.tasks.training import EventKind
from api.errors import DatabaseUnavailable
from api.executors.executor import AttemptRef, Executor
from api.files.task_files import TaskStorage
from api.gpus.health.judgement import DRAINING_SECONDS
from api.gpus.offers import is_clear
from api.gpus.service import GPUService
from api.training.records.attempt_store import DrainingGPU, TaskStores
from api.util.clock import Clock

logger = logging.getLogger(__name__)


class GPUDraining:
    """Frees draining GPUs. One thread calls it."""

    def __init__(
        self, stores: TaskStores, gpus: GPUService, executor: Executor, storage: TaskStorage, clock: Clock
    ) -> None:
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._gpus = gpus
        self._executor = executor
        self._storage = storage
        self._clock = clock
        self._drains: dict[str, float] = {}
        self._unclear: set[str] = set()  #: GPUs for which an unreadable state was already logged
        self._reported: set[str] = set()  #: GPUs for which remaining processes were already reported

    def free_drained(self, draining: Sequence[DrainingGPU]) -> bool:
        """Free the draining GPUs that show no trace of their last holder. Return whether there were any."""
        now = self._clock.monotonic()
        self._drains = {lease.resource: self._drains.get(lease.resource, now) for lease, _ in draining}
        self._reported.intersection_update(self._drains)
        self._unclear.intersection_update(self._drains)
        drained = [drain.lease for drain in draining if self._can_be_freed(drain)]
        freed = [lease for lease in drained if self._attempts.release_drained(lease)]
        if freed:
            self._gpus.republish()
        elif draining:
            self._gpus.sweep_soon()
        return bool(freed)

    def _can_be_freed(self, drain: DrainingGPU) -> bool:
        lease = drain.lease
        try:
            return self._is_drained(drain)
        except (DatabaseUnavailable, LeadershipLost):
            raise
        except Exception:
            # An error with one GPU must not affect others. This one stays draining.
            if lease.resource not in self._unclear:
                self._unclear.add(lease.resource)
                logger.exception("cannot check a draining GPU", extra={"gpu": lease.resource})
            return False

    def _is_drained(self, drain: DrainingGPU) -> bool:
        lease = drain.lease
        # On the monotonic clock, so the limit starts again after a restart.
        since = self._drains[lease.resource]
        looks_free = is_clear(self._gpus.state, lease.resource, since)
        is_overdue = self._clock.monotonic() - since >= DRAINING_SECONDS
        if not looks_free and not is_overdue:
            return False
        pids = self._survivors(drain)
        if pids and is_overdue and lease.resource not in self._reported:
            self._reported.add(lease.resource)
            self._warn(lease, _still_draining(lease.resource, pids))
        elif not pids and not looks_free:
            released = Reason.of(
                "{gpu} is released after {seconds} s although its readings do not show it free",
                "let_go",
                gpu=lease.resource,
                seconds=round(DRAINING_SECONDS),
            )
            self._warn(lease, released)
        return not pids

    def _survivors(self, drain: DrainingGPU) -> Sequence[int]:
        """Return the remaining processes of the lease's attempt. They use the GPU whatever the readings show."""
        lease = drain.lease
        if lease.attempt_uid is None:
            return ()
        log = self._storage.files(lease.task_id).log
        return self._executor.survivors(AttemptRef(lease.attempt_uid, drain.directory, log))

    def _warn(self, lease: Lease, message: Reason) -> None:
        now, uid = self._clock.now(), lease.attempt_uid
        self._tasks.add_event(lease.task_id, EventKind.WARNING, now, "service", message, uid)


def _still_draining(gpu: str, pids: Sequence[int]) -> Reason:
    shown = ", ".join(str(pid) for pid in pids[:5])
    if len(pids) == 1:
        return Reason.of(
            "{gpu} stays draining because process {pid} of its last attempt is still running",
            "stays_draining",
            gpu=gpu,
            pid=shown,
        )
    return Reason.of(
        "{gpu} stays draining because processes {pids} of its last attempt are still running",
        "stays_draining_many",
        gpu=gpu,
        pids=shown,
    )
