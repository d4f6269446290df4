"""Finds the GPUs that are available now. Pure functions."""

from api.domain.gpu import AvailableGPUResponse
from api.domain.model_memory import ModelType, training_mb
from api.domain.task import TaskType
from api.gpus.fleet_view import placed
from api.gpus.judgement import JudgedGPU
from api.gpus.offers import why_unstartable
from api.gpus.state import GPUState
from api.gpus.view import show_available


def needed_memory(min_memory: int, task_type: TaskType | None, model_type: ModelType | None) -> int:
    """Return the free memory in MB that a request needs.

    A `model_type` adds the memory of its training. For preprocessing it adds nothing: that needs less, and no figure is
    known.
    """
    if model_type is None or task_type is TaskType.PREPROCESSING:
        return min_memory
    return max(min_memory, training_mb(model_type) or 0)


def find_available(state: GPUState, needed: int, count: int | None) -> AvailableGPUResponse:
    """Return the available GPUs with this much free memory in MB, most free memory first.

    `count` limits the list.
    """
    found = [gpu for gpu in state.gpus if gpu.judgement.is_available and _has_free(gpu, needed)]
    # In whole GB, so that a display's few MB do not reorder equal boards.
    found.sort(key=lambda gpu: (-((gpu.vitals.memory_free_mb or 0) // 1024), gpu.reading.index or 0))
    return AvailableGPUResponse(
        available_gpus=tuple(
            placed(state, gpu.node, show_available(state.snapshot_of(gpu.node), gpu, why_unstartable(state, gpu.node)))
            for gpu in found[:count]
        ),
        total_available=len(found),
        timestamp=state.snapshot.taken_at,
        source=state.snapshot.source,
    )


def _has_free(gpu: JudgedGPU, needed_mb: int) -> bool:
    if needed_mb == 0:
        return True
    free = gpu.vitals.memory_free_mb
    return free is not None and free >= needed_mb
