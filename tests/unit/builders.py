"""Readings and evaluated GPUs for tests, with defaults for values that a test does not need."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from api.domain.machines.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    ProcessKind,
    SourceName,
)
from api.domain.tasks.task import ProcessIdentity, RegisteredTask, TaskType
from api.gpus.health.circumstances import GPUCircumstances
from api.gpus.health.judgement import JudgedGPU, judge
from api.gpus.snapshot import GPUReading, GPUSnapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONOTONIC = 1000.0


def uuid_of(index: int) -> str:
    return f"GPU-{index:08x}-0000-0000-0000-000000000000"


def identity(index: int = 0, **changes: Any) -> GPUIdentity:
    return replace(GPUIdentity(index=index, uuid=uuid_of(index), name="NVIDIA Test"), **changes)


def vitals(**changes: Any) -> GPUVitals:
    usual = GPUVitals(
        memory_total_mb=24_576, memory_used_mb=400, memory_free_mb=24_176, utilization_gpu=0, temperature_gpu=35
    )
    return replace(usual, **changes)


def process(pid: int = 4711, memory_mb: int | None = 8000, **changes: Any) -> GPUProcess:
    usual = GPUProcess(
        pid=pid,
        kind=ProcessKind.COMPUTE,
        memory_mb=memory_mb,
        user="ada",
        command="python train.py",
        started_at=NOW,
        container_id=None,
        host_memory_mb=1000,
    )
    return replace(usual, **changes)


def reading(index: int = 0, **changes: Any) -> GPUReading:
    usual = GPUReading(
        index=index,
        identity=identity(index),
        vitals=vitals(),
        condition=GPUCondition(),
        processes=(),
        read_at=NOW,
        read_monotonic=MONOTONIC,
    )
    return replace(usual, **changes)


def lost(index: int = 0, **changes: Any) -> GPUReading:
    gone = {
        "vitals": None,
        "condition": None,
        "processes": None,
        "fault": FaultKind.LOST,
        "fault_reason": "off the bus",
    }
    return reading(index, **{**gone, **changes})


def task(
    task_id: str = "train_1", task_type: TaskType = TaskType.TRAINING, *uuids: str, pid: int | None = None
) -> RegisteredTask:
    return RegisteredTask(
        task_id=task_id,
        task_type=task_type,
        gpu_uuids=uuids or (uuid_of(0),),
        started_at=NOW,
        process=None if pid is None else ProcessIdentity(pid, 1.0),
    )


def circumstances(**changes: Any) -> GPUCircumstances:
    return replace(GPUCircumstances(now=MONOTONIC, max_age=10.0), **changes)


def judged(gpu: GPUReading, **around: Any) -> JudgedGPU:
    return JudgedGPU(gpu, judge(gpu, circumstances(**around)), around.get("task"), "here")


def snapshot(*gpus: GPUReading, **changes: Any) -> GPUSnapshot:
    usual = GPUSnapshot(
        sequence=1,
        gpus=gpus,
        source=SourceName.NVML,
        versions=DriverVersions(driver="580.65.06", cuda="13.0", nvml="13.580.65.06"),
        taken_at=NOW,
        taken_monotonic=MONOTONIC,
        sweep_seconds=0.25,
    )
    return replace(usual, **changes)
