"""Determine the reason for each null in a GPU's details."""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from api.domain.read_scope import OF_ANOTHER_USER
from api.domain.reading import FaultKind
from api.gpus.judgement import JudgedGPU
from api.gpus.snapshot import GPUSnapshot


class _Group(NamedTuple):
    """Fields of one source object: their paths in the details, and one getter for all their values."""

    paths: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]


def _group(**attributes: str) -> _Group:
    # Keywords cannot contain dots, so paths are written with __.
    paths = tuple(path.replace("__", ".") for path in attributes)
    return _Group(paths, attrgetter(*attributes.values()))


_READING = _group(gpu_id="index", uuid="uuid", processes="processes")
_VERSIONS = _group(driver_version="driver", cuda_version="cuda", nvml_version="nvml")
_IDENTITY = _group(
    name="name",
    serial="serial",
    architecture="architecture",
    compute_capability="compute_capability",
    temperature__slowdown="temperature_slowdown",
    temperature__shutdown="temperature_shutdown",
    power__default_limit="power_default_limit_watts",
    power__min_limit="power_min_limit_watts",
    power__max_limit="power_max_limit_watts",
    clocks__max__graphics="clocks_max.graphics",
    clocks__max__sm="clocks_max.sm",
    clocks__max__memory="clocks_max.memory",
    clocks__max__video="clocks_max.video",
    pcie__bus_id="pci_bus_id",
    pcie__max_generation="pcie_max_generation",
    pcie__max_width="pcie_max_width",
)
_VITALS = _group(
    memory__total="memory_total_mb",
    memory__used="memory_used_mb",
    memory__free="memory_free_mb",
    memory__reserved="memory_reserved_mb",
    utilization__gpu="utilization_gpu",
    utilization__memory="utilization_memory",
    utilization__encoder="utilization_encoder",
    utilization__decoder="utilization_decoder",
    temperature__gpu="temperature_gpu",
    temperature__memory="temperature_memory",
    power__current="power_watts",
    power__energy_joules="energy_joules",
    fan_speed="fan_percent",
    clocks__current__graphics="clocks.graphics",
    clocks__current__sm="clocks.sm",
    clocks__current__memory="clocks.memory",
    clocks__current__video="clocks.video",
    pstate="pstate",
    throttle_reasons="throttle_reasons",
)
_CONDITION = _group(
    ecc="ecc",
    memory_repair="repair",
    pcie__generation="pcie_generation",
    pcie__width="pcie_width",
    nvlink="nvlinks",
    mig__enabled="mig_enabled",
    mig__pending="mig_pending",
    compute_mode="compute_mode",
    persistence_mode="persistence_mode",
)
_ECC = _group(
    ecc__enabled="enabled",
    ecc__corrected_volatile="corrected_volatile",
    ecc__uncorrected_volatile="uncorrected_volatile",
    ecc__corrected_aggregate="corrected_aggregate",
    ecc__uncorrected_aggregate="uncorrected_aggregate",
)
_REPAIR = _group(
    memory_repair__retired_pages="retired_pages",
    memory_repair__retired_pages_pending="retired_pages_pending",
    memory_repair__remapped_rows_corrected="remapped_rows_corrected",
    memory_repair__remapped_rows_uncorrected="remapped_rows_uncorrected",
    memory_repair__remapped_rows_pending="remapped_rows_pending",
    memory_repair__remapped_rows_failure="remapped_rows_failure",
)

# Computed fields, which are null because of these fields.
_MADE_FROM = {
    "memory.utilization": ("memory.used", "memory.total"),
    "memory.total_gb": ("memory.total",),
    "memory.free_gb": ("memory.free",),
    "power.limit": ("power.enforced_limit",),
    "power.usage_percent": ("power.current", "power.limit", "power.enforced_limit"),
}


def why_null(snapshot: GPUSnapshot, gpu: JudgedGPU) -> dict[str, str]:
    """Return the reason for each null in the details, by path: from the source, or implied by the fault."""
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
    found = {path: _reason(path, reasons, default) for path in _null_paths(snapshot, gpu)}
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


def _null_paths(snapshot: GPUSnapshot, gpu: JudgedGPU) -> Iterator[str]:
    condition = gpu.condition
    for group, source in (
        (_READING, gpu.reading),
        (_VERSIONS, snapshot.versions),
        (_IDENTITY, gpu.identity),
        (_VITALS, gpu.vitals),
        (_CONDITION, condition),
        (_ECC, condition.ecc),
        (_REPAIR, condition.repair),
    ):
        if source is not None:
            values = group.values(source)
            # Most often nothing is null, and one check in C shows it.
            if None in values:
                yield from (path for path, value in zip(group.paths, values, strict=True) if value is None)
    yield from _computed_nulls(gpu)


def _computed_nulls(gpu: JudgedGPU) -> Iterator[str]:
    vitals, limit = gpu.vitals, gpu.power_limit
    if vitals.memory_total_mb is None:
        yield "memory.total_gb"
    if vitals.memory_free_mb is None:
        yield "memory.free_gb"
    if vitals.memory_used_mb is None or not vitals.memory_total_mb:
        yield "memory.utilization"
    if limit is None:
        yield "power.limit"
    if vitals.power_watts is None or not limit:
        yield "power.usage_percent"
