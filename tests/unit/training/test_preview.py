from datetime import timedelta

from api.domain.training import GPURequest, TaskStatus, TrainingPlan, TrainingRequest
from api.training.preview import preview
from tests.unit.builders import NOW


def test_preview_waits_like_the_real_task():
    request = TrainingRequest("toy", GPURequest(count=2, min_memory=1000), name="cats", priority=3)
    task = preview("t", request, TrainingPlan("toy", "toy", 2, caches=("/cache",)), NOW)
    assert (task.task_id, task.status, task.name, task.priority) == ("t", TaskStatus.QUEUED, "cats", 3)
    assert (task.gpu_count, task.gpus.min_memory, task.caches) == (2, 1000, ("/cache",))
    assert (task.not_before, task.attempts, task.progress) == (NOW, 0, None)


def test_preview_is_behind_all_queued_tasks():
    task = preview("t", TrainingRequest("toy"), TrainingPlan("toy", "toy", 1), NOW)
    assert task.serial > 2**60
    assert task.queued_at > NOW + timedelta(days=366)
