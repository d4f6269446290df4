"""What a refused request for GPUs is told: who holds them, and which are free. Pure functions."""

from collections.abc import Collection, Sequence
from typing import Any

from api.domain.gpu import GPUInfo, NodeGPUInfo


def describe_busy(gpus: Sequence[GPUInfo], wanted: Collection[str]) -> dict[str, Any]:
    """The `data` of `gpu_busy`: the first of the wanted GPUs that is taken, who holds it, and which GPUs are free.

    `wanted` are what requests call GPUs, as text; when it is empty any GPU would do.
    """
    busy = [gpu for gpu in gpus if not gpu.is_available]
    named = [gpu for gpu in busy if not wanted or not _names(gpu).isdisjoint(wanted)]
    # Who is held by a task can say when it will be over.
    first = next((gpu for gpu in named if gpu.current_task is not None), named[0] if named else None)
    return {
        "gpu_id": None if first is None else _name(first),
        "current_task": None if first is None else first.current_task,
        "available_gpus": [_name(gpu) for gpu in gpus if gpu.is_available],
    }


def _name(gpu: GPUInfo) -> int | str | None:
    # An index alone says nothing where several machines have one.
    return f"{gpu.node}:{gpu.gpu_id}" if isinstance(gpu, NodeGPUInfo) else gpu.gpu_id


def _names(gpu: GPUInfo) -> set[str]:
    return {str(gpu.gpu_id), str(_name(gpu)), gpu.uuid or ""}
