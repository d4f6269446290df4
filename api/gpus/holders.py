"""Who holds which GPU, for the sweeps: known as of the last time that the database could be read."""

import logging
from collections.abc import Callable, Collection, Mapping

from api.domain.reason import Reason
from api.domain.task import RegisteredTask
from api.gpus.registry import TaskRegistry
from api.gpus.snapshot import GPUSnapshot
from api.util.deadlines import READ_SECONDS, hurrying

logger = logging.getLogger(__name__)


class GPUHolders:
    """Tells who holds which GPU, and never raises, so that sweeps go on without the database. One caller at a time."""

    def __init__(self, registry: TaskRegistry, note_release: Callable[[RegisteredTask, Reason], None]) -> None:
        """`note_release(task, why)` is told of tasks that are released for their owners."""
        self._registry = registry
        self._note_release = note_release
        self._held: Mapping[str, RegisteredTask] | None = None
        self._is_failing = {"read": False, "release": False}

    def read(self) -> Mapping[str, RegisteredTask] | None:
        """Who holds which GPU, by UUID, or who last did; None when that was never known."""
        try:
            with hurrying(READ_SECONDS):
                self._held = self._registry.holders()
        except Exception as error:
            self._note_failure("read", "who holds which GPU cannot be read: the last that is known counts", error)
        else:
            self._is_failing["read"] = False
        return self._held

    def release_ended(
        self, snapshot: GPUSnapshot, has_changed_source: bool, others: Collection[str | None] = ()
    ) -> None:
        """Releases the tasks whose process has ended, and those on simulated GPUs that gave way to real ones. `others`:
        the GPUs of other machines, by UUID.
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
        """Whether a program with a process was among the holders when they were read last, or nobody knows."""
        held = None if self._held is None else self._held.values()
        return held is None or any(task.process is not None and not task.is_started_here for task in held)

    def _release_simulated(self, present: Collection[str | None]) -> None:
        """Releases the tasks on simulated GPUs, which gave way to real ones."""
        for task in self._registry.list():
            if not any(uuid in present for uuid in task.gpu_uuids):
                gave_way = Reason.of("its simulated GPUs gave way to real ones", "simulated_gone")
                self._note_release(self._registry.release(task.task_id), gave_way)

    def _note_failure(self, what: str, message: str, error: Exception) -> None:
        # Said once: a database may be away for days.
        if not self._is_failing[what]:
            logger.warning(message, extra={"problem": str(error)})
        self._is_failing[what] = True
