"""Build the API's answers from readings, judgements and tasks. Pure functions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from api.domain.machines.gpu import (
    GPUMIG,
    AvailableGPU,
    CurrentTask,
    CurrentTaskDetails,
    GPUClocks,
    GPUDetails,
    GPUInfo,
    GPUMemory,
    GPUPCIe,
    GPUPower,
    GPUProcesses,
    GPUStatus,
    GPUStatusResponse,
    GPUSummary,
    GPUTemperature,
    GPUTemperatureDetails,
    GPUUtilization,
    ProcessOnGPU,
)
from api.domain.machines.reading import GPUProcess, GPUVitals
from api.domain.reason import Reason, code_of, text_of
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.judgement import JudgedGPU
from api.gpus.null_reasons import null_paths, why_null
from api.gpus.snapshot import GPUSnapshot
from api.trainers.diffusion_pipe.models.registry import models_that_fit
from api.util.copying import copy_fields


def show_status(snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU], now: datetime) -> GPUStatusResponse:
    """Return the answer of `/gpu/status`."""
    return GPUStatusResponse(
        gpus=tuple(show_gpu(snapshot, gpu) for gpu in gpus),
        summary=show_summary(snapshot, gpus, now),
        timestamp=snapshot.taken_at,
        source=snapshot.source,
        source_problem=None if snapshot.problem is None else text_of(snapshot.problem),
        source_problem_code=code_of(snapshot.problem),
        stale=snapshot.problem is not None or any(gpu.judgement.stale for gpu in gpus),
    )


def show_gpu(snapshot: GPUSnapshot, gpu: JudgedGPU, make: Callable[..., GPUInfo] = GPUInfo) -> GPUInfo:
    """Return one GPU of `/gpu/status`, built by `make` from its fields."""
    vitals, reading = gpu.vitals, gpu.reading
    limit = gpu.power_limit
    return make(
        gpu_id=reading.index,
        uuid=reading.uuid,
        name=gpu.identity.name,
        memory=_memory(vitals),
        utilization_gpu=vitals.utilization_gpu,
        utilization_memory=vitals.utilization_memory,
        temperature=GPUTemperature(gpu=vitals.temperature_gpu, memory=vitals.temperature_memory),
        power_usage=vitals.power_watts,
        power_limit=limit,
        power_utilization=_percent(vitals.power_watts, limit),
        status=gpu.judgement.status,
        status_reason=gpu.judgement.reason,
        status_reason_code=gpu.judgement.said,
        is_available=gpu.judgement.is_available,
        current_task=_task(gpu.task),
        paused_until=gpu.paused_until,
        claims=gpu.claims,
        driver_version=snapshot.versions.driver,
        cuda_version=snapshot.versions.cuda,
        stale=gpu.judgement.stale,
        read_at=reading.read_at,
    )


def show_summary(snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU], now: datetime) -> GPUSummary:
    """Return the answer of `/gpu/summary`."""
    available = [gpu for gpu in gpus if gpu.judgement.is_available]
    busy = (GPUStatus.TRAINING, GPUStatus.PREPROCESSING, GPUStatus.BUSY, GPUStatus.DRAINING)
    total = _sum(gpu.vitals.memory_total_mb for gpu in gpus)
    return GPUSummary(
        total_gpus=len(gpus),
        available_gpus=len(available),
        busy_gpus=sum(gpu.judgement.status in busy for gpu in gpus),
        total_memory=total,
        available_memory=_sum(gpu.vitals.memory_free_mb for gpu in available) or (None if total is None else 0),
        memory_utilization=_percent(
            _sum(gpu.vitals.memory_used_mb for gpu in gpus),
            # A GPU that reports only its size is excluded from the share of used memory.
            _sum(gpu.vitals.memory_total_mb for gpu in gpus if gpu.vitals.memory_used_mb is not None),
        ),
        timestamp=snapshot.taken_at,
        updated_at=now,
    )


def show_available(snapshot: GPUSnapshot, gpu: JudgedGPU, why_not: Reason | None = None) -> AvailableGPU:
    """Return one GPU of `/gpu/available`; `why_not` is the reason why no training can start on it."""
    vitals = gpu.vitals
    memory = _memory(vitals)
    return AvailableGPU(
        gpu_id=gpu.reading.index,
        uuid=gpu.reading.uuid,
        name=gpu.identity.name,
        memory_total=memory.total,
        memory_free=memory.free,
        memory_total_gb=memory.total_gb,
        memory_free_gb=memory.free_gb,
        status=gpu.judgement.status,
        utilization_gpu=vitals.utilization_gpu,
        temperature_gpu=vitals.temperature_gpu,
        driver_version=snapshot.versions.driver,
        recommended_for=models_that_fit(memory.free),
        startable=why_not is None,
        startable_reason=None if why_not is None else why_not.text,
        startable_reason_code=None if why_not is None else why_not.said,
    )


def show_details(snapshot: GPUSnapshot, gpu: JudgedGPU) -> GPUDetails:
    """Return the answer of `/gpu/{id}/details`."""
    identity, vitals, condition = gpu.identity, gpu.vitals, gpu.condition
    details = GPUDetails(
        gpu_id=gpu.reading.index,
        uuid=gpu.reading.uuid,
        name=identity.name,
        serial=identity.serial,
        architecture=identity.architecture,
        compute_capability=identity.compute_capability,
        memory=_memory(vitals),
        utilization=GPUUtilization(
            gpu=vitals.utilization_gpu,
            memory=vitals.utilization_memory,
            encoder=vitals.utilization_encoder,
            decoder=vitals.utilization_decoder,
        ),
        temperature=GPUTemperatureDetails(
            gpu=vitals.temperature_gpu,
            memory=vitals.temperature_memory,
            slowdown=identity.temperature_slowdown,
            shutdown=identity.temperature_shutdown,
        ),
        power=_power(gpu),
        fan_speed=vitals.fan_percent,
        clocks=GPUClocks(current=vitals.clocks, max=identity.clocks_max),
        pstate=vitals.pstate,
        throttle_reasons=vitals.throttle_reasons,
        ecc=condition.ecc,
        memory_repair=condition.repair,
        pcie=GPUPCIe(
            bus_id=identity.pci_bus_id,
            generation=condition.pcie_generation,
            max_generation=identity.pcie_max_generation,
            width=condition.pcie_width,
            max_width=identity.pcie_max_width,
        ),
        nvlink=condition.nvlinks,
        mig=GPUMIG(enabled=condition.mig_enabled, pending=condition.mig_pending, slices=condition.mig_slices),
        compute_mode=condition.compute_mode,
        persistence_mode=condition.persistence_mode,
        processes=show_process_list(gpu),
        driver_version=snapshot.versions.driver,
        cuda_version=snapshot.versions.cuda,
        nvml_version=snapshot.versions.nvml,
        health=gpu.judgement.health,
        status=gpu.judgement.status,
        status_reason=gpu.judgement.reason,
        status_reason_code=gpu.judgement.said,
        is_available=gpu.judgement.is_available,
        current_task=_task_details(gpu.task),
        paused_until=gpu.paused_until,
        claims=gpu.claims,
        source=snapshot.source,
        stale=gpu.judgement.stale,
        timestamp=gpu.reading.read_at,
        unavailable={},
    )
    return replace(details, unavailable=why_null(snapshot, gpu, null_paths(details)))


def show_processes(snapshot: GPUSnapshot, gpu: JudgedGPU, note: Reason | None) -> GPUProcesses:
    """Return the answer of `/gpu/{id}/processes`."""
    processes = show_process_list(gpu)
    return GPUProcesses(
        gpu_id=gpu.reading.index,
        uuid=gpu.reading.uuid,
        processes=processes,
        note=None if note is None else note.text,
        note_code=None if note is None else note.said,
        unavailable={} if processes is not None else {"processes": why_null(snapshot, gpu, ["processes"])["processes"]},
        timestamp=gpu.reading.read_at,
        source=snapshot.source,
    )


def show_process_list(gpu: JudgedGPU) -> tuple[ProcessOnGPU, ...] | None:
    """Return the processes that hold memory of a GPU, each with its task; None if the driver lists none."""
    if gpu.reading.processes is None:
        return None
    return tuple(_process(process, gpu.task) for process in gpu.reading.processes)


def _memory(vitals: GPUVitals) -> GPUMemory:
    return GPUMemory(
        total=vitals.memory_total_mb,
        used=vitals.memory_used_mb,
        free=vitals.memory_free_mb,
        reserved=vitals.memory_reserved_mb,
        utilization=_percent(vitals.memory_used_mb, vitals.memory_total_mb),
        total_gb=_gb(vitals.memory_total_mb),
        free_gb=_gb(vitals.memory_free_mb),
        unified=vitals.memory_unified,
    )


def _power(gpu: JudgedGPU) -> GPUPower:
    limit = gpu.power_limit
    return GPUPower(
        current=gpu.vitals.power_watts,
        limit=limit,
        default_limit=gpu.identity.power_default_limit_watts,
        min_limit=gpu.identity.power_min_limit_watts,
        max_limit=gpu.identity.power_max_limit_watts,
        usage_percent=_percent(gpu.vitals.power_watts, limit),
        energy_joules=gpu.vitals.energy_joules,
    )


def _task(task: RegisteredTask | None) -> CurrentTask | None:
    if task is None:
        return None
    return copy_fields(CurrentTask, task)


def _task_details(task: RegisteredTask | None) -> CurrentTaskDetails | None:
    if task is None:
        return None
    return copy_fields(
        CurrentTaskDetails,
        task,
        pid=None if task.process is None else task.process.pid,
        start_time=task.started_at,
    )


def _process(process: GPUProcess, task: RegisteredTask | None) -> ProcessOnGPU:
    return ProcessOnGPU(
        pid=process.pid,
        type=process.kind,
        memory=process.memory_mb,
        user=process.user,
        command=process.command,
        started_at=process.started_at,
        container_id=process.container_id,
        host_memory=process.host_memory_mb,
        gpu_instance_id=process.gpu_instance_id,
        task_id=task.task_id if task is not None and belongs_to(process, task) else None,
        unavailable=process.unavailable,
    )


def belongs_to(process: GPUProcess, task: RegisteredTask) -> bool:
    """Return whether a process on a task's GPU is the task's process or a descendant of it."""
    if task.process is None:
        # A task without a registered process owns all processes on its GPU.
        return True
    return process.pid == task.process.pid or task.process.pid in process.ancestors


def _percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 1)


def _gb(megabytes: int | None) -> float | None:
    return None if megabytes is None else round(megabytes / 1024, 2)


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
