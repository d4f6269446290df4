"""Determine the reason for each null in a GPU's details."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from api.domain.access.read_scope import OF_ANOTHER_USER
from api.domain.machines.reading import FaultKind
from api.gpus.health.judgement import JudgedGPU
from api.gpus.snapshot import GPUSnapshot

#: Fields of the details whose null means that there is none. They have no reason.
_NONE_IS_KNOWN = ("status_reason", "status_reason_code", "current_task", "paused_until", "timestamp")

# Parts of the details that are not read from the GPU.
_NOT_READ = ("health", "current_task")

# Computed fields, which are null because of these fields.
_MADE_FROM = {
    "memory.utilization": ("memory.used", "memory.total"),
    "memory.total_gb": ("memory.total",),
    "memory.free_gb": ("memory.free",),
    "power.limit": ("power.enforced_limit",),
    "power.usage_percent": ("power.current", "power.limit", "power.enforced_limit"),
}


def null_paths(shown: Any, above: str = "") -> Iterator[str]:
    """Return the paths of the unknown values in a GPU's details."""
    for field in fields(shown):
        value = getattr(shown, field.name)
        if value is None:
            if field.name not in _NONE_IS_KNOWN:
                yield above + field.name
        elif is_dataclass(value) and field.name not in _NOT_READ:
            yield from null_paths(value, f"{above}{field.name}.")


def why_null(snapshot: GPUSnapshot, gpu: JudgedGPU, paths: Iterable[str]) -> dict[str, str]:
    """Return the reason for each null at these paths of the details: from the source, or implied by the fault."""
    reasons = {
        **snapshot.versions.unavailable,
        **gpu.identity.unavailable,
        **gpu.vitals.unavailable,
        **gpu.condition.unavailable,
    }
    if gpu.reading.processes_unlisted is not None:
        reasons["processes"] = gpu.reading.processes_unlisted
    if gpu.reading.fault is FaultKind.LOST:
        default = "lost"
    elif gpu.reading.fault is FaultKind.NO_PERMISSION:
        default = "no_permission"
    elif gpu.reading.vitals is None:
        default = "not_read"
    else:
        default = "unsupported"
    found = {path: _reason(path, reasons, default) for path in paths}
    if gpu.hides_task:
        found["current_task"] = OF_ANOTHER_USER
    return found


def _reason(path: str, reasons: Mapping[str, str], default: str) -> str:
    for origin in (*_MADE_FROM.get(path, ()), path):
        # A reason for a whole group ("mig") or several fields ("memory_repair.remapped_rows") is stored under their
        # common prefix.
        found = [key for key in reasons if origin == key or origin.startswith((key + ".", key + "_"))]
        if found:
            return reasons[max(found, key=len)]
    return default
