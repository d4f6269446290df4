"""The tasks that hold GPUs, as programs register and ask for them: GPUs by index or UUID, refusals in words."""

from collections import Counter
from collections.abc import Callable, Sequence

from api.domain.access import Permission
from api.domain.gpu import GPUInfo
from api.domain.reading import FaultKind
from api.domain.sight import ANOTHERS_TASK, current_sight
from api.domain.task import Keep, RegisteredTask, TaskType, TaskView
from api.errors import Forbidden, GPUBusy, GPULost, ProcessNotRunning
from api.gpus.busy import describe_busy
from api.gpus.lookup import find_gpu, name_of
from api.gpus.registry import TaskRegistry
from api.gpus.state import GPUState
from api.util.pagination import Page, PageRequest, paginate


class GPUTasks:
    """Registers, shows and releases the tasks that hold GPUs of the latest state.

    `show_gpus` tells of every GPU what whoever asks may see.
    """

    def __init__(
        self,
        registry: TaskRegistry,
        state: Callable[[], GPUState],
        show_gpus: Callable[[], Sequence[GPUInfo]],
    ) -> None:
        self._registry = registry
        self._state = state
        self._show_gpus = show_gpus

    def register(
        self,
        gpu_ids: Sequence[int | str],
        task_type: TaskType,
        task_id: str | None = None,
        description: str | None = None,
        pid: int | None = None,
        owner: str | None = None,
    ) -> TaskView:
        """Lets a program hold GPUs, all of them or none.

        Raises Forbidden, GPUNotFound, GPULost, GPUBusy, TaskExists or ProcessNotRunning.
        """
        if pid is not None and not current_sight.get().sees_commands:
            needed = Permission.PROCESSES_READ
            raise Forbidden(
                f"To name a pid the key needs the permission {needed}.", data={"missing_permission": needed}
            )
        state = self._state()
        if pid is not None and any(find_gpu(state, str(one)).node != state.node for one in gpu_ids):
            raise ProcessNotRunning("A pid names a process of this machine, and the GPUs are in another: leave it out.")
        # Index and UUID may name the same GPU; it is held once.
        uuids = dict.fromkeys(_usable(state, reference) for reference in gpu_ids)
        try:
            task = self._registry.register(list(uuids), task_type, task_id, description, pid, owner)
        except GPUBusy as error:
            self._say_who(error)
            raise
        return self._show(task)

    def _say_who(self, error: GPUBusy) -> None:
        """Names the GPUs, and who holds them as far as whoever asks may know."""
        state, sight = self._state(), current_sight.get()
        owners = {gpu.task.task_id: gpu.task.owner for gpu in state.gpus if gpu.task is not None}
        holders = error.data["held_by"].items()
        held = {uuid: task_id if sight.sees(owners.get(task_id)) else None for uuid, task_id in holders}
        called = {gpu.reading.uuid: name_of(gpu, state.is_fleet) for gpu in state.gpus}
        said = [f"GPU {called.get(uuid)} is held by {task or ANOTHERS_TASK}" for uuid, task in held.items()]
        error.detail = "; ".join(said) + "."
        error.data = {"held_by": held, **describe_busy(self._show_gpus(), held)}

    def update_progress(
        self,
        task_id: str,
        progress: float | Keep | None = Keep.KEEP,
        estimated_remaining_time: float | Keep | None = Keep.KEEP,
    ) -> TaskView:
        """Records how far a task is, in %, and how many seconds it still needs; None: no longer known.

        Raises TaskNotFound.
        """
        return self._show(self._registry.update_progress(task_id, progress, estimated_remaining_time))

    def owner_of(self, task_id: str) -> str | None:
        """The user that a registered task belongs to; None: nobody. Raises TaskNotFound, TaskIsTraining."""
        return self._registry.get(task_id).owner

    def release(self, task_id: str) -> TaskView:
        """Frees the task's GPUs, which drain until their memory is back. Raises TaskNotFound."""
        return self._show(self._registry.release(task_id))

    def get(self, task_id: str) -> TaskView:
        """A registered task. Raises TaskNotFound."""
        return self._show(self._registry.get(task_id))

    def list(self, page: PageRequest) -> Page[TaskView]:
        """The registered tasks that whoever asks may see, oldest first."""
        seen = [task for task in self._registry.list() if current_sight.get().sees(task.owner)]
        return paginate(seen, lambda task: task.serial, page).map(self._show)

    def count(self) -> Counter[TaskType]:
        """How many tasks of each type hold GPUs, of those that whoever asks may see."""
        holders = [task for task in self._registry.holders().values() if task.hold is None]
        seen = [task for task in holders if current_sight.get().sees(task.owner)]
        return Counter({task.task_id: task.task_type for task in seen}.values())

    def _show(self, task: RegisteredTask) -> TaskView:
        indices = self._state().indices
        return TaskView(
            task_id=task.task_id,
            task_type=task.task_type,
            gpu_ids=tuple(indices.get(uuid) for uuid in task.gpu_uuids),
            gpu_uuids=task.gpu_uuids,
            description=task.description,
            pid=None if task.process is None else task.process.pid,
            progress=task.progress,
            estimated_remaining_time=task.estimated_remaining_time,
            started_at=task.started_at,
            updated_at=task.updated_at,
            owner=task.owner,
        )


def _usable(state: GPUState, reference: int | str) -> str:
    gpu = find_gpu(state, str(reference))
    if gpu.reading.uuid is None or gpu.reading.fault is FaultKind.LOST:
        raise GPULost(f"GPU {reference} cannot be held: {gpu.judgement.reason}.")
    return gpu.reading.uuid
