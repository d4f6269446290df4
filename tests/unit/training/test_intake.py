"""Admission of tasks, and the messages of rejections."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.domain.access.principal import Quota
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.training import GPURequest, ResumeOptions, TaskFilter, TaskStatus, TrainingPlan, TrainingRequest
from api.domain.tasks.usage import GB
from api.errors import GPUBusy, QuotaExceeded
from api.training.intake import preview
from api.training.service import TrainingService
from tests.unit.builders import NOW
from tests.unit.training.queue.test_quotas import Owned, owned
from tests.unit.trainings import steps

__all__ = ["owned"]


@pytest.fixture
def service(owned: Owned) -> TrainingService:
    return owned.machine.parts.services.service


def toy_request(count: int = 1, *, queue: bool = True) -> TrainingRequest:
    return TrainingRequest("toy", GPURequest(count=count), config={"epochs": 3}, queue=queue)


def start(service: TrainingService, count: int = 1, *, queue: bool = True, owner: str | None = "ann") -> str:
    return service.start(toy_request(count, queue=queue), "ann", owner=owner).task_id


def test_task_that_does_not_wait_is_rejected_by_its_quota(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2)
    start(service, 2, queue=False)
    with pytest.raises(QuotaExceeded) as rejection:
        start(service, queue=False)
    assert rejection.value.detail == "Waits for 1 of ann's 2 GPUs: the quota is 2 at a time."
    assert (rejection.value.data["quota"], rejection.value.data["used"], rejection.value.data["limit"]) == (
        "gpus",
        2,
        2,
    )
    start(service, 2, queue=False, owner="bob")
    with pytest.raises(GPUBusy):
        start(service, queue=False, owner="cem")
    assert len(list(owned.machine.root.glob("tasks/*"))) <= 2


def test_task_that_does_not_wait_is_created_with_its_gpus_or_not_at_all(owned: Owned, service: TrainingService):
    task_id = start(service, 3, queue=False)
    with pytest.raises(GPUBusy):
        start(service, 3, queue=False)
    machine = owned.machine
    assert [task.task_id for task in machine.tasks.page(TaskFilter(), 9, None, None)[0]] == [task_id]
    assert len(machine.attempts.leases(LeaseKind.GPU)) == 3


def test_rejection_names_no_hidden_task(service: TrainingService):
    named = replace(toy_request(4, queue=False), name="secret plan")
    held = service.start(named, "ann", owner="ann").task_id
    with seeing(ReadScope("bob", sees_all=False)), pytest.raises(GPUBusy) as rejection:
        start(service, queue=False, owner="bob")
    assert "another user's task" in rejection.value.detail
    with pytest.raises(GPUBusy, match="secret plan"):
        start(service, queue=False, owner="ann")
    text = f"{rejection.value.detail} {rejection.value.data}"
    assert not any(word in text for word in ("secret plan", held))


def test_task_waits_for_used_up_hours_or_is_rejected(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpu_hours_per_day=1)
    owned.machine.run(owner="ann")
    owned.machine.clock.advance(7200)
    owned.machine.end()
    owned.machine.free_gpus()
    with pytest.raises(QuotaExceeded, match="GPU hours of the last day"):
        start(service, queue=False)
    task_id = start(service)
    owned.machine.train()
    waits = owned.machine.parts.services.details.get(task_id)
    assert waits.waiting_reason is not None
    assert waits.waiting_reason.startswith("ann has used 2.0 of 1 GPU hours of the last day; the next are free about ")


def test_queue_accepts_as_many_tasks_as_the_quota_permits(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(queued_tasks=2)
    first = [start(service, 4) for _ in range(2)]
    with pytest.raises(QuotaExceeded, match="already has 2 tasks in the queue"):
        start(service)
    assert sorted(task.task_id for task in owned.machine.tasks.queued()) == sorted(first)
    start(service, owner="bob")


def test_start_that_can_never_happen_is_rejected(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2)
    with pytest.raises(QuotaExceeded, match="quota is 2 at a time"):
        start(service, 3)
    assert owned.machine.tasks.queued() == []


def test_start_is_rejected_while_storage_is_full(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(storage_gb=0.0001)
    task_id = owned.machine.run(owner="ann")
    owned.machine.prints(steps(1), task_id)
    output = owned.machine.files(task_id).output
    output.mkdir(parents=True, exist_ok=True)
    (output / "model").write_bytes(b"x" * round(0.0002 * GB))
    owned.machine.end(task_id)
    owned.machine.free_gpus()
    owned.meter.measure()
    with pytest.raises(QuotaExceeded, match="delete finished trainings together with their files"):
        start(service)
    owned.machine.parts.services.files.delete(task_id, with_files=True)
    start(service)


def test_validation_reports_what_start_would(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2, queued_tasks=1)
    start(service)
    for request in (toy_request(3), toy_request(1)):
        with pytest.raises(QuotaExceeded) as rejection:
            service.start(request, "ann", owner="ann")
        found = service.validate(request, owner="ann")
        assert rejection.value.detail in [error.message for error in found.errors]
    assert service.validate(toy_request(3), owner="bob").valid


def test_plan_reports_waiting_for_a_quota(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=1)
    owned.machine.run(owner="ann")
    found = service.validate(toy_request(), owner="ann")
    assert found.gpus is not None
    assert found.gpus.waiting_reason == "waits for 1 of ann's 1 GPUs: the quota is 1 at a time"


def test_resume_has_the_same_limits_as_a_start(owned: Owned, service: TrainingService):
    owned.machine.run(owner="ann")
    owned.machine.prints(steps(1, 2))
    owned.machine.saves(1)
    owned.machine.request_task_stop()
    owned.machine.train()
    owned.machine.end()
    owned.machine.free_gpus()
    owned.given["ann"] = Quota(queued_tasks=0)
    with pytest.raises(QuotaExceeded):
        service.resume("a", ResumeOptions(), lambda _: {}, "ann")
    owned.given["ann"] = Quota(queued_tasks=1)
    assert service.resume("a", ResumeOptions(), lambda _: {}, "ann").status == "queued"


def test_lowered_quota_does_not_stop_running_tasks(owned: Owned, service: TrainingService):
    owned.machine.run(count=3, owner="ann")
    owned.given["ann"] = Quota(gpus=1)
    task_id = start(service)
    owned.machine.train()
    waits = owned.machine.parts.services.details.get(task_id)
    assert waits.waiting_reason == "waits for 3 of ann's 3 GPUs: the quota is 1 at a time"
    assert owned.machine.status() == "running"


def test_preview_waits_like_the_real_task():
    request = TrainingRequest("toy", GPURequest(count=2, min_memory=1000), name="cats", priority=3)
    task = preview("t", request, TrainingPlan("toy", "toy", 2, caches=("/cache",)), NOW)
    assert (task.task_id, task.status, task.name, task.priority) == ("t", TaskStatus.QUEUED, "cats", 3)
    assert (task.gpu_count, task.gpus.min_memory, task.caches) == (2, 1000, ("/cache",))
    assert (task.retry_not_before, task.attempts, task.progress) == (NOW, 0, None)


def test_preview_is_behind_all_queued_tasks():
    task = preview("t", TrainingRequest("toy"), TrainingPlan("toy", "toy", 1), NOW)
    assert task.serial > 2**60
    assert task.queued_at > NOW + timedelta(days=366)
