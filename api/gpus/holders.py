"""Reads the holder of each GPU for the sweeps; uses the last known holders while the database is down."""

import logging
from collections.abc import Callable, Collection, Mapping

from api.domain.reason import Reason
from api.domain.task import RegisteredTask
from api.gpus.registry import TaskRegistry
from api.gpus.snapshot import GPUSnapshot
from api.util.deadlines import READ_SECONDS, wait_limit

logger = logging.getLogger(__name__)


class GPUHolders:
    """Returns the holders of GPUs without raising, so that sweeps continue without the database. Not thread-safe."""

    def __init__(self, registry: TaskRegistry, note_release: Callable[[RegisteredTask, Reason], None]) -> None:
        """Create it. `note_release(task, why)` is called for each task that is released on behalf of its owner."""
        self._registry = registry
        self._note_release = note_release
        self._held: Mapping[str, RegisteredTask] | None = None
        self._is_failing = {"read": False, "release": False}

    def read(self) -> Mapping[str, RegisteredTask] | None:
        """Return the current, or last known, holder of each GPU by UUID; None if never known."""
        try:
            with wait_limit(READ_SECONDS):
                self._held = self._registry.holders()
        except Exception as error:
            self._note_failure("read", "the holders of GPUs cannot be read; the last known ones are used", error)
        else:
            self._is_failing["read"] = False
        return self._held

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
        for task in self._registry.list():
            if not any(uuid in present for uuid in task.gpu_uuids):
                gave_way = Reason.of("its simulated GPUs gave way to real ones", "simulated_gone")
                self._note_release(self._registry.release(task.task_id), gave_way)

    def _note_failure(self, what: str, message: str, error: Exception) -> None:
        # Logged once: the database may be down for days.
        if not self._is_failing[what]:
            logger.warning(message, extra={"problem": str(error)})
        self._is_failing[what] = True
