"""Claim GPUs for tasks: create attempts with their leases, ports and resume points."""

import logging
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from api.db.leases import ResourceHeld
from api.domain.machines.gpu import GPUOffer
from api.domain.machines.lease import LEASE_SECONDS
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Attempt, NewTask, TaskSummary
from api.errors import Conflict
from api.executors.executor import AttemptRef, Executor
from api.files.task_files import TaskFiles
from api.gpus.service import GPUService
from api.training.attempts.checkpoint_copy import COPIED_RUN
from api.training.output.resume_points import last_complete
from api.training.output.written import TrainingOutput
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import AttemptStore, NewAttempt
from api.training.records.usage_store import Bound, OverQuota
from api.util.clock import Clock
from api.util.files.foreign_trees import list_names
from api.util.measures import TASK_ID, queue_waits

logger = logging.getLogger(__name__)


class AttemptClaims:
    """Creates attempts together with the leases of their GPUs."""

    def __init__(
        self,
        attempts: AttemptStore,
        output: TrainingOutput,
        executor: Executor,
        gpus: GPUService,
        clock: Clock,
        quotas: Quotas | None = None,
    ) -> None:
        """Create the claims. Without `quotas`, tasks have no owners."""
        self._attempts = attempts
        self._output = output
        self._executor = executor
        self._gpus = gpus
        self._clock = clock
        self._quotas = quotas

    def claim(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> bool:
        """Give a queued task these GPUs. Return False if that is impossible now."""
        try:
            attempt = self._attempts.claim(self._new_attempt(task, gpus), self._clock.now(), self._bound(task))
        except OSError as error:
            # Its checkpoint is unknown, and a start from scratch would lose work.
            logger.warning("cannot start a task yet", extra={"task_id": task.task_id, "problem": str(error)})
            return False
        except (ResourceHeld, OverQuota, Conflict) as error:
            logger.info("another task was faster", extra={"task_id": task.task_id, "problem": str(error)})
            return False
        logger.info("attempt claimed", extra={"attempt": attempt.uid, "gpus": list(attempt.gpu_indices)})
        waited = (attempt.created_at - task.queued_at).total_seconds()
        queue_waits.observe(max(0.0, waited), (task.kind,), (TASK_ID, task.task_id))
        return True

    def _bound(self, task: TaskSummary) -> Bound | None:
        # A task without GPUs does not count towards the limit.
        return self._quotas.gpu_bound(task.owner) if self._quotas is not None and task.needs_gpus else None

    def create_and_claim(self, new: NewTask, task: TaskSummary, gpus: Sequence[GPUOffer], actor: str) -> Attempt | None:
        """Create a task together with an attempt on these GPUs.

        Return None if a task with the same idempotency key exists. Raise ResourceHeld, OverQuota or NodeDrained.
        """
        claim, bound = self._new_attempt(task, gpus), self._bound(task)
        return self._attempts.create_and_claim(new, claim, self._clock.now(), actor, bound)

    def why_queued(self, task: TaskSummary) -> Reason | None:
        """Return why the executor has not started the task's latest attempt yet, or None."""
        latest = self._attempts.of_task(task.task_id)[-1:]
        files = self._output.files(task.task_id)
        refs = [AttemptRef(attempt.uid, Path(attempt.directory), files.log) for attempt in latest]
        return next((self._executor.why_queued(ref) for ref in refs), None)

    def _new_attempt(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> NewAttempt:
        files = self._output.files(task.task_id)
        run_dir, checkpoint = self._resume_point(task, files)
        ordered = sorted(gpus, key=lambda gpu: gpu.index)
        # Several GPUs may mean several processes, which connect through a port.
        state = self._gpus.state
        node = ordered[0].node if ordered else state.node
        port = self._executor.free_port(node, self._attempts.held_ports()) if ordered else None
        return NewAttempt(
            task_id=task.task_id,
            token=secrets.token_hex(16),
            node=node,
            gpu_uuids=tuple(gpu.uuid for gpu in ordered),
            gpu_indices=tuple(gpu.index for gpu in ordered),
            caches=task.caches,
            master_port=port,
            directory_of=str(files.attempts),
            known_run_dirs=tuple(sorted(list_names(str(files.output), levels=2)[0])),
            run_dir=run_dir,
            resumed_from=checkpoint,
            expires_at=self._clock.now() + timedelta(seconds=LEASE_SECONDS),
            is_fleet=state.is_fleet,
        )

    def _resume_point(self, task: TaskSummary, files: TaskFiles) -> tuple[str | None, str | None]:
        """Return the run directory and checkpoint to resume from, or None for both to start from scratch."""
        trainer = self._output.trainers.get(task.trainer)
        if task.resume is None or trainer is None:
            return None, None
        if task.kind is TaskType.EXPORT and task.resume.checkpoint is not None:
            # The copy is made when the attempt starts.
            return str(files.output / COPIED_RUN), task.resume.checkpoint
        run_dir = trainer.find_run_dir(files.output)
        if run_dir is None:
            return None, None
        last = last_complete(trainer.checkpoints(run_dir))
        name = task.resume.checkpoint or (None if last is None else last.name)
        return (None, None) if name is None else (str(run_dir), name)
