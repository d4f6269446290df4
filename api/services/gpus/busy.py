"""What a refused request for GPUs is told: who holds them, and which are free. Pure functions."""

from collections.abc import Collection, Sequence
from typing import Any

from api.models.gpu import GPUInfo


def describe_busy(gpus: Sequence[GPUInfo], wanted: Collection[str]) -> dict[str, Any]:
    """The `data` of `gpu_busy`: the first of the wanted GPUs that is taken, who holds it, and which GPUs are free.

    `wanted` are indices and UUIDs as text; when it is empty any GPU would do.
    """
    busy = [gpu for gpu in gpus if not gpu.is_available]
    named = [gpu for gpu in busy if not wanted or not _names(gpu).isdisjoint(wanted)]
    # Who is held by a task can say when it will be over.
    first = next((gpu for gpu in named if gpu.current_task is not None), named[0] if named else None)
    return {
        "gpu_id": None if first is None else first.gpu_id,
        "current_task": None if first is None else first.current_task,
        "available_gpus": [gpu.gpu_id for gpu in gpus if gpu.is_available],
    }


def _names(gpu: GPUInfo) -> set[str]:
    # Only where there are several machines GPUs say of which they are.
    return {str(gpu.gpu_id), f"{getattr(gpu, 'node', None)}:{gpu.gpu_id}", gpu.uuid or ""}
