"""Tasks and the GPUs that they hold: claimed all at once or not at all."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from api.errors import GPUBusy, TaskExists, TaskNotFound
from api.models.task import Keep, RegisteredTask


class TaskStore(Protocol):
    """The seam behind the registry: in memory now, in the database when training brings one."""

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        """Records the task as holder of all its GPUs, and gives it its serial number.

        Raises GPUBusy or TaskExists, and then changes nothing.
        """
        ...

    def get(self, task_id: str) -> RegisteredTask:
        """The task with this id. Raises TaskNotFound."""
        ...

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        """Changes what is not KEEP. Raises TaskNotFound."""
        ...

    def release(self, task_id: str) -> RegisteredTask:
        """Forgets the task and frees its GPUs. Raises TaskNotFound."""
        ...

    def list(self) -> tuple[RegisteredTask, ...]:
        """Every task, oldest first."""
        ...

    def holders(self) -> dict[str, RegisteredTask]:
        """Who holds which GPU, by UUID."""
        ...


class MemoryTaskStore:
    """Tasks in memory, under one lock; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, RegisteredTask] = {}
        self._holders: dict[str, str] = {}
        self._last_serial = 0

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        with self._lock:
            if task.task_id in self._tasks:
                raise TaskExists(f'A task with the id "{task.task_id}" exists already.', data={"task_id": task.task_id})
            self._refuse_held(task.gpu_uuids)
            self._last_serial += 1
            task = self._tasks[task.task_id] = replace(task, serial=self._last_serial)
            self._holders.update(dict.fromkeys(task.gpu_uuids, task.task_id))
            return task

    def _refuse_held(self, uuids: Iterable[str]) -> None:
        held = {uuid: self._holders[uuid] for uuid in uuids if uuid in self._holders}
        if held:
            who = ", ".join(f"{uuid} is held by {task_id}" for uuid, task_id in held.items())
            raise GPUBusy(f"{who}.", data={"held_by": held})

    def get(self, task_id: str) -> RegisteredTask:
        with self._lock:
            return self._get(task_id)

    def _get(self, task_id: str) -> RegisteredTask:
        try:
            return self._tasks[task_id]
        except KeyError:
            raise TaskNotFound(f'No task has the id "{task_id}".') from None

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        with self._lock:
            task = self._get(task_id)
            remaining = estimated_remaining_time
            task = self._tasks[task_id] = replace(
                task,
                progress=task.progress if progress is Keep.KEEP else progress,
                estimated_remaining_time=task.estimated_remaining_time if remaining is Keep.KEEP else remaining,
                updated_at=now,
            )
            return task

    def release(self, task_id: str) -> RegisteredTask:
        with self._lock:
            task = self._get(task_id)
            del self._tasks[task_id]
            for uuid in task.gpu_uuids:
                del self._holders[uuid]
            return task

    def list(self) -> tuple[RegisteredTask, ...]:
        with self._lock:
            return tuple(self._tasks.values())

    def holders(self) -> dict[str, RegisteredTask]:
        with self._lock:
            return {uuid: self._tasks[task_id] for uuid, task_id in self._holders.items()}
