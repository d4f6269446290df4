"""GPU offers and queued tasks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.tasks.training import GPURequest, TaskSummary, TrainingPlan, TrainingRequest
from api.files.task_files import TaskStorage
from api.gpus.service import GPUService
from api.trainers.trainer import Trainer
from api.training.capacity_check import CapacityCheck
from api.training.check import OptionsCheck, RequestChecker
from api.training.intake import preview
from api.training.output.written import TrainingOutput
from tests.unit.builders import NOW, uuid_of


def offer(index: int, **changes: Any) -> GPUOffer:
    free = GPUOffer(
        node="here",
        index=index,
        uuid=uuid_of(index),
        name="NVIDIA Test",
        total_mb=24_000,
        free_mb=23_000,
        is_available=True,
        status=GPUStatus.AVAILABLE,
        reason=None,
        held_by=None,
    )
    return replace(free, **changes)


def held(index: int, by: str = "other", **changes: Any) -> GPUOffer:
    busy = {"is_available": False, "status": GPUStatus.TRAINING, "held_by": by, "free_mb": 1000}
    return offer(index, **{**busy, **changes})


def task(task_id: str, count: int = 1, *references: int | str, **changes: Any) -> TaskSummary:
    gpus = GPURequest(references, len(references) or count, changes.pop("min_memory", 0))
    plan = TrainingPlan("toy", "toy", gpus.count, caches=changes.pop("caches", ()))
    made = preview(task_id, TrainingRequest("toy", gpus), plan, NOW)
    return replace(made, **changes)


def create_checker(
    trainers: Mapping[str, Trainer], gpus: GPUService, root: Path, min_free_mb: int = 0
) -> RequestChecker:
    """Return a checker of a server without datasets, notifications and samples."""
    storage = TaskStorage(root, min_free_mb)
    return RequestChecker(TrainingOutput(storage, trainers), CapacityCheck(gpus, storage), OptionsCheck())
