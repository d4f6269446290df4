"""Build the data of a rejected request for GPUs: their holders, and the free GPUs. Pure functions."""

from collections.abc import Collection, Sequence
from typing import Any

from api.domain.machines.gpu import GPUInfo, NodeGPUInfo


def describe_busy(gpus: Sequence[GPUInfo], wanted: Collection[str]) -> dict[str, Any]:
    """Return the `data` of `gpu_busy`: the first requested GPU that is held, its holder, and the free GPUs.

    `wanted` are the requested GPU names; if it is empty, any GPU would do.
    """
    busy = [gpu for gpu in gpus if not gpu.is_available]
    named = [gpu for gpu in busy if not wanted or not _names(gpu).isdisjoint(wanted)]
    # Prefer a GPU that a task holds, because the task has an expected end.
    first = next((gpu for gpu in named if gpu.current_task is not None), named[0] if named else None)
    return {
        "gpu_id": None if first is None else _name(first),
        "current_task": None if first is None else first.current_task,
        "available_gpus": [_name(gpu) for gpu in gpus if gpu.is_available],
    }


def _name(gpu: GPUInfo) -> int | str | None:
    # An index is ambiguous if there are several machines.
    return f"{gpu.node}:{gpu.gpu_id}" if isinstance(gpu, NodeGPUInfo) else gpu.gpu_id


def _names(gpu: GPUInfo) -> set[str]:
    return {str(gpu.gpu_id), str(_name(gpu)), gpu.uuid or ""}
