"""The holders of a node's GPUs as the head reports them, because a node has no database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from api.domain.machines.hold import Hold
from api.domain.machines.node import HeldGPUs
from api.domain.tasks.task import Keep, RegisteredTask
from api.errors import Conflict, TaskNotFound


class ReportedHolders:
    """The holders in the head's last receipt. Programs register at the head."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._held: dict[str, RegisteredTask] = {}
        self.timed_holds: Mapping[str, Sequence[Hold]] = {}  #: the head knows them

    def take(self, held: Sequence[HeldGPUs]) -> None:
        """Replace the holders by those of a receipt."""
        tasks = (
            RegisteredTask(one.task_id, one.task_type, one.gpu_uuids, one.started_at, is_started_here=True)
            for one in held
        )
        self._held = {uuid: task for task in tasks for uuid in task.gpu_uuids}

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        raise Conflict("Programs must be registered at the head, not at a node.")

    def get(self, task_id: str) -> RegisteredTask:
        raise TaskNotFound.named(task_id)

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        return self.get(task_id)

    def release(self, task_id: str) -> RegisteredTask:
        return self.get(task_id)

    def list(self) -> tuple[RegisteredTask, ...]:
        return ()

    def holders(self) -> dict[str, RegisteredTask]:
        return self._held
