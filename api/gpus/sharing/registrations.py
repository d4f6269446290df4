"""Register the tasks of external programs as holders of GPUs, and release those whose process has ended.

A released GPU is draining until its memory is free: `judgement.py`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from api.domain.machines.hold import Hold
from api.domain.reason import Reason
from api.domain.tasks.task import TASK_ID_KINDS, Keep, ProcessIdentity, RegisteredTask, TaskType
from api.errors import ProcessNotRunning, TaskNotFound
from api.gpus.sharing.registration_store import Registrations
from api.gpus.snapshot import GPUSnapshot
from api.gpus.sources import host
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.text.ids import new_task_id

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
        self.store = store  #: to read the tasks
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
        task = self.store.claim(task)
        logger.info("task registered", extra={"task_id": task.task_id, "gpus": list(gpu_uuids), "pid": pid})
        self._on_change(())
        return task

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None
    ) -> RegisteredTask:
        """Change the values that are not KEEP, and return the task.

        Raises TaskNotFound.
        """
        task = self.store.update_progress(task_id, progress, estimated_remaining_time, self._clock.now())
        self._on_change(())
        return task

    def release(self, task_id: str) -> RegisteredTask:
        """Free the task's GPUs.

        Raises TaskNotFound.
        """
        task = self.store.release(task_id)
        self._on_change(task.gpu_uuids)
        logger.info("task released", extra={"task_id": task_id, "gpus": list(task.gpu_uuids)})
        return task

    def release_dead(self) -> list[RegisteredTask]:
        """Release the tasks whose registered process has ended, and return them."""
        released = []
        for task in self.store.list():
            if task.process is not None and not self._is_running(task.process):
                # Another caller may have released it.
                with suppress(TaskNotFound):
                    released.append(self.store.release(task.task_id))
        if released:
            self._on_change([uuid for task in released for uuid in task.gpu_uuids])
            logger.info("tasks of ended processes released", extra={"task_ids": [task.task_id for task in released]})
        return released


def _running_process(pid: int) -> ProcessIdentity:
    process = host.process_identity(pid)
    if process is None:
        raise ProcessNotRunning(f"No process with pid {pid} runs on this machine.", data={"pid": pid})
    return process


class GPUHolders:
    """Returns the holders of GPUs without raising, so that sweeps continue without the database. Not thread-safe."""

    def __init__(self, registry: TaskRegistry, note_release: Callable[[RegisteredTask, Reason], None]) -> None:
        """`note_release(task, why)` is called for each task that is released on behalf of its owner."""
        self._registry = registry
        self._note_release = note_release
        self._held: Mapping[str, RegisteredTask] | None = None
        self._is_failing = {"read": False, "release": False}

    def read(self) -> Mapping[str, RegisteredTask] | None:
        """Return the current, or last known, holder of each GPU by UUID; None if never known."""
        try:
            with wait_limit(READ_SECONDS):
                self._held = self._registry.store.holders()
        except Exception as error:
            self._note_failure("read", "the holders of GPUs cannot be read; the last known ones are used", error)
        else:
            self._is_failing["read"] = False
        return self._held

    @property
    def timed_holds(self) -> Mapping[str, Sequence[Hold]]:
        """The pauses and claims of each GPU, by UUID, as last read."""
        return self._registry.store.timed_holds

    def release_ended(
        self, snapshot: GPUSnapshot, has_changed_source: bool, others: Collection[str | None] = ()
    ) -> None:
        """Release tasks whose process has ended, and tasks on simulated GPUs that real ones replaced.

        `others` are the UUIDs of other machines' GPUs.
        """
        try:
            for task in self._registry.release_dead() if self._may_have_dead() else ():
                pid = None if task.process is None else task.process.pid
                self._note_release(task, Reason.of("its process {pid} has ended", "process_ended", pid=pid))
            if has_changed_source:
                self._release_simulated({*others, *(gpu.uuid for gpu in snapshot.gpus)})
        except Exception as error:
            # The next sweep tries again.
            self._note_failure("release", "the tasks of ended processes cannot be released", error)
        else:
            self._is_failing["release"] = False

    def _may_have_dead(self) -> bool:
        """Return whether a holder with a registered process was read last, or the holders are unknown."""
        held = None if self._held is None else self._held.values()
        return held is None or any(task.process is not None and not task.is_started_here for task in held)

    def _release_simulated(self, present: Collection[str | None]) -> None:
        """Release the tasks on simulated GPUs that real ones replaced."""
        for task in self._registry.store.list():
            if not any(uuid in present for uuid in task.gpu_uuids):
                gave_way = Reason.of("its simulated GPUs gave way to real ones", "simulated_gone")
                self._note_release(self._registry.release(task.task_id), gave_way)

    def _note_failure(self, what: str, message: str, error: Exception) -> None:
        # Logged once: the database may be down for days.
        if not self._is_failing[what]:
            logger.warning(message, extra={"problem": str(error)})
        self._is_failing[what] = True
