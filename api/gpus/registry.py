"""Registers the tasks of external programs as holders of GPUs, and releases those whose process has ended."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from api.domain.task import TASK_ID_KINDS, Keep, ProcessIdentity, RegisteredTask, TaskType
from api.errors import ProcessNotRunning, TaskNotFound
from api.gpus.registration_store import Registrations
from api.gpus.sources import host
from api.util.clock import Clock
from api.util.ids import new_task_id

logger = logging.getLogger(__name__)


class TaskRegistry:
    """Registers, updates and releases tasks in a Registrations.

    `on_change` is called after each change, without a lock, with the UUIDs of the released GPUs.
    """

    def __init__(
        self,
        store: Registrations,
        clock: Clock,
        on_change: Callable[[Sequence[str]], None] = lambda released: None,
        is_running: Callable[[ProcessIdentity], bool] = host.is_running,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._is_running = is_running

    def register(
        self,
        gpu_uuids: Sequence[str],
        task_type: TaskType,
        task_id: str | None = None,
        description: str | None = None,
        pid: int | None = None,
        owner: str | None = None,
    ) -> RegisteredTask:
        """Make the task the holder of all these GPUs.

        Raises GPUBusy, TaskExists or ProcessNotRunning.
        """
        now = self._clock.now()
        task = RegisteredTask(
            task_id=task_id or new_task_id(TASK_ID_KINDS[task_type], now),
            task_type=task_type,
            gpu_uuids=tuple(gpu_uuids),
            started_at=now,
            description=description,
            process=None if pid is None else _running_process(pid),
            owner=owner,
        )
        task = self._store.claim(task)
        logger.info("task registered", extra={"task_id": task.task_id, "gpus": list(gpu_uuids), "pid": pid})
        self._on_change(())
        return task

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None
    ) -> RegisteredTask:
        """Change the values that are not KEEP, and return the task.

        Raises TaskNotFound.
        """
        task = self._store.update_progress(task_id, progress, estimated_remaining_time, self._clock.now())
        self._on_change(())
        return task

    def release(self, task_id: str) -> RegisteredTask:
        """Free the task's GPUs.

        Raises TaskNotFound.
        """
        task = self._store.release(task_id)
        self._on_change(task.gpu_uuids)
        logger.info("task released", extra={"task_id": task_id, "gpus": list(task.gpu_uuids)})
        return task

    def release_dead(self) -> list[RegisteredTask]:
        """Release the tasks whose registered process has ended, and return them."""
        released = []
        for task in self._store.list():
            if task.process is not None and not self._is_running(task.process):
                # Another caller may have released it.
                with suppress(TaskNotFound):
                    released.append(self._store.release(task.task_id))
        if released:
            self._on_change([uuid for task in released for uuid in task.gpu_uuids])
            logger.info("tasks of ended processes released", extra={"task_ids": [task.task_id for task in released]})
        return released

    def get(self, task_id: str) -> RegisteredTask:
        """Return the task with this id.

        Raises TaskNotFound.
        """
        return self._store.get(task_id)

    def list(self) -> tuple[RegisteredTask, ...]:
        """Return all tasks, oldest first."""
        return self._store.list()

    def holders(self) -> dict[str, RegisteredTask]:
        """Return the holder of each GPU by UUID."""
        return self._store.holders()


def _running_process(pid: int) -> ProcessIdentity:
    process = host.process_identity(pid)
    if process is None:
        raise ProcessNotRunning(f"No process with pid {pid} runs on this machine.", data={"pid": pid})
    return process
