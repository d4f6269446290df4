import pytest

from api.domain.model_memory import ModelType, training_mb
from api.domain.task import TaskType
from api.gpus.available import find_available, needed_memory
from tests.unit.builders import reading, vitals
from tests.unit.gpus.fleets import fleet

FLUX = ModelType("flux")


@pytest.mark.parametrize(
    ("task_type", "model_type", "needed"),
    [
        (None, None, 7),
        (TaskType.TRAINING, FLUX, training_mb(FLUX)),
        (TaskType.PREPROCESSING, FLUX, 7),
        (TaskType.TRAINING, ModelType.COSMOS, 7),
    ],
)
def test_model_needs_its_training_memory(task_type: TaskType | None, model_type: ModelType | None, needed: int | None):
    assert needed_memory(7, task_type, model_type) == needed


def test_gpus_of_all_machines_are_listed_by_free_memory():
    big = reading(1, processes=(), vitals=vitals(memory_total_mb=90_000, memory_free_mb=89_000, memory_used_mb=900))
    found = find_available(fleet(big), 1000, None)
    assert [gpu.node for gpu in found.available_gpus] == ["gpu2", "here"]  # type: ignore[union-attr]
    assert find_available(fleet(big), 80_000, None).total_available == 1


def test_gpus_that_cannot_start_trainings_are_marked():
    found = find_available(fleet(reading(1, processes=())), 0, None).available_gpus
    assert [(gpu.gpu_id, gpu.startable, gpu.startable_reason) for gpu in found] == [
        (0, True, None),
        (1, False, "trainings start on here alone: EXECUTOR=local"),
    ]
