"""GPU offers and queued tasks."""

from dataclasses import replace
from typing import Any

from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.training import GPURequest, TaskSummary, TrainingPlan, TrainingRequest
from api.training.intake import preview
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
