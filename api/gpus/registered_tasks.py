"""Register and show the tasks of external programs that hold GPUs, with GPUs by index or UUID."""

from collections import Counter
from collections.abc import Callable, Sequence

from api.domain.access.principal import Permission
from api.domain.access.read_scope import OTHER_USERS_TASK, current_scope
from api.domain.machines.gpu import GPUInfo
from api.domain.machines.reading import FaultKind
from api.domain.tasks.task import Keep, RegisteredTask, TaskType, TaskView
from api.errors import Forbidden, GPUBusy, GPULost, ProcessNotRunning
from api.gpus.busy_error import describe_busy
from api.gpus.lookup import find_gpu, name_of
from api.gpus.sharing.registrations import TaskRegistry
from api.gpus.state import GPUState
from api.util.copying import copy_fields
from api.util.http.pagination import Page, PageRequest, paginate


class GPUTasks:
    """Registers, lists and releases the tasks that hold GPUs.

    `show_gpus` returns all GPUs as the current reader may see them.
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
        """Register a program as holder of GPUs, all of them or none.

        Raises Forbidden, GPUNotFound, GPULost, GPUBusy, TaskExists or ProcessNotRunning.
        """
        if pid is not None and not current_scope.get().sees_commands:
            needed = Permission.PROCESSES_READ
            raise Forbidden(
                f"The key needs the permission {needed} to register a pid.", data={"missing_permission": needed}
            )
        state = self._state()
        if pid is not None and any(find_gpu(state, str(one)).node != state.node for one in gpu_ids):
            raise ProcessNotRunning("The pid must belong to this machine, but the GPUs are in another: omit the pid.")
        # Index and UUID may name the same GPU; it is registered once.
        uuids = dict.fromkeys(_usable(state, reference) for reference in gpu_ids)
        try:
            task = self._registry.register(list(uuids), task_type, task_id, description, pid, owner)
        except GPUBusy as error:
            self._add_holders(error)
            raise
        return self._show(task)

    def _add_holders(self, error: GPUBusy) -> None:
        """Add the names of the GPUs to the error, and their holders as far as the reader may see them."""
        state, scope = self._state(), current_scope.get()
        owners = {gpu.task.task_id: gpu.task.owner for gpu in state.gpus if gpu.task is not None}
        holders = error.data["held_by"].items()
        held = {uuid: task_id if scope.sees(owners.get(task_id)) else None for uuid, task_id in holders}
        names = {gpu.reading.uuid: name_of(gpu, state.is_fleet) for gpu in state.gpus}
        sentences = [f"GPU {names.get(uuid)} is held by {task or OTHER_USERS_TASK}" for uuid, task in held.items()]
        error.detail = "; ".join(sentences) + "."
        error.data = {"held_by": held, **describe_busy(self._show_gpus(), held)}

    def update_progress(
        self,
        task_id: str,
        progress: float | Keep | None = Keep.KEEP,
        estimated_remaining_time: float | Keep | None = Keep.KEEP,
    ) -> TaskView:
        """Record the progress of a task in %, and the remaining seconds; None means unknown.

        Raises TaskNotFound.
        """
        return self._show(self._registry.update_progress(task_id, progress, estimated_remaining_time))

    def owner_of(self, task_id: str) -> str | None:
        """Return the owner of a registered task, or None.

        Raises TaskNotFound, TaskIsTraining.
        """
        return self._registry.store.get(task_id).owner

    def release(self, task_id: str) -> TaskView:
        """Release the task's GPUs, which are draining until their memory is free.

        Raises TaskNotFound.
        """
        return self._show(self._registry.release(task_id))

    def get(self, task_id: str) -> TaskView:
        """Return a registered task.

        Raises TaskNotFound.
        """
        return self._show(self._registry.store.get(task_id))

    def list(self, page: PageRequest) -> Page[TaskView]:
        """Return the registered tasks that the reader may see, oldest first."""
        seen = [task for task in self._registry.store.list() if current_scope.get().sees(task.owner)]
        return paginate(seen, lambda task: task.serial, page).map(self._show)

    def count(self) -> Counter[TaskType]:
        """Return how many visible tasks of each type hold GPUs."""
        holders = [task for task in self._registry.store.holders().values() if task.hold is None]
        seen = [task for task in holders if current_scope.get().sees(task.owner)]
        return Counter({task.task_id: task.task_type for task in seen}.values())

    def _show(self, task: RegisteredTask) -> TaskView:
        indices = self._state().indices
        return copy_fields(
            TaskView,
            task,
            gpu_ids=tuple(indices.get(uuid) for uuid in task.gpu_uuids),
            pid=None if task.process is None else task.process.pid,
        )


def _usable(state: GPUState, reference: int | str) -> str:
    gpu = find_gpu(state, str(reference))
    if gpu.reading.uuid is None or gpu.reading.fault is FaultKind.LOST:
        raise GPULost(f"GPU {reference} cannot be used: {gpu.judgement.reason}.")
    return gpu.reading.uuid
