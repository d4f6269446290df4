"""What is let in, and what is refused with which words."""

from dataclasses import replace

import pytest

from api.domain.access import Quota
from api.domain.sight import Sight, seeing
from api.domain.training import GPURequest, ResumeOptions, TrainingRequest
from api.domain.usage import GB
from api.errors import GPUBusy, QuotaExceeded
from api.training.service import TrainingService
from tests.unit.training.test_quotas import Owned, owned
from tests.unit.trainings import steps

__all__ = ["owned"]


@pytest.fixture
def service(owned: Owned) -> TrainingService:
    return owned.machine.parts.service


def wish(count: int = 1, *, queue: bool = True) -> TrainingRequest:
    return TrainingRequest("toy", GPURequest(count=count), config={"epochs": 3}, queue=queue)


def start(service: TrainingService, count: int = 1, *, queue: bool = True, owner: str | None = "ann") -> str:
    return service.start(wish(count, queue=queue), "ann", owner=owner).task_id


def test_task_that_cannot_wait_is_refused_for_its_quota(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2)
    start(service, 2, queue=False)
    with pytest.raises(QuotaExceeded) as refused:
        start(service, queue=False)
    assert refused.value.detail == "Waits for 1 of ann's 2 GPUs: the quota is 2 at a time."
    assert (refused.value.data["quota"], refused.value.data["used"], refused.value.data["limit"]) == ("gpus", 2, 2)
    start(service, 2, queue=False, owner="bob")
    with pytest.raises(GPUBusy):
        start(service, queue=False, owner="cem")
    assert len(list(owned.machine.root.glob("tasks/*"))) <= 2


def test_refusal_names_no_task_that_its_reader_may_not_see(service: TrainingService):
    named = replace(wish(4, queue=False), name="secret plan")
    held = service.start(named, "ann", owner="ann").task_id
    with seeing(Sight("bob", sees_all=False)), pytest.raises(GPUBusy) as refused:
        start(service, queue=False, owner="bob")
    assert "another user's task" in refused.value.detail
    with pytest.raises(GPUBusy, match="secret plan"):
        start(service, queue=False, owner="ann")
    told = f"{refused.value.detail} {refused.value.data}"
    assert not any(word in told for word in ("secret plan", held))


def test_hours_that_are_used_up_are_waited_for_or_refused(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpu_hours_per_day=1)
    owned.machine.run(owner="ann")
    owned.machine.clock.advance(7200)
    owned.machine.end()
    owned.machine.free_gpus()
    with pytest.raises(QuotaExceeded, match="GPU hours of the last day"):
        start(service, queue=False)
    task_id = start(service)
    owned.machine.train()
    waits = service.get(task_id)
    assert waits.waiting_reason is not None
    assert waits.waiting_reason.startswith("ann has used 2.0 of 1 GPU hours of the last day; the next are free about ")


def test_queue_takes_as_many_tasks_as_the_quota_says(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(queued_tasks=2)
    first = [start(service, 4) for _ in range(2)]
    with pytest.raises(QuotaExceeded, match="may have 2 tasks in the queue"):
        start(service)
    assert sorted(task.task_id for task in owned.machine.tasks.queued()) == sorted(first)
    start(service, owner="bob")


def test_start_that_can_never_be_is_refused(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2)
    with pytest.raises(QuotaExceeded, match="quota of 2 at a time"):
        start(service, 3)
    assert owned.machine.tasks.queued() == []


def test_full_storage_is_refused_until_files_are_deleted(owned: Owned, service: TrainingService):
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
    service.delete(task_id, with_files=True)
    start(service)


def test_validating_says_what_starting_would(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=2, queued_tasks=1)
    start(service)
    for request in (wish(3), wish(1)):
        with pytest.raises(QuotaExceeded) as refused:
            service.start(request, "ann", owner="ann")
        found = service.validate(request, owner="ann")
        assert refused.value.detail in [error.message for error in found.errors]
    assert service.validate(wish(3), owner="bob").valid


def test_plan_says_that_a_quota_would_be_waited_for(owned: Owned, service: TrainingService):
    owned.given["ann"] = Quota(gpus=1)
    owned.machine.run(owner="ann")
    found = service.validate(wish(), owner="ann")
    assert found.gpus is not None
    assert found.gpus.waiting_reason == "waits for 1 of ann's 1 GPUs: the quota is 1 at a time"


def test_resuming_is_bounded_as_a_start(owned: Owned, service: TrainingService):
    owned.machine.run(owner="ann")
    owned.machine.prints(steps(1, 2))
    owned.machine.saves(1)
    owned.machine.ask_to_stop()
    owned.machine.train()
    owned.machine.end()
    owned.machine.free_gpus()
    owned.given["ann"] = Quota(queued_tasks=0)
    with pytest.raises(QuotaExceeded):
        service.resume("a", ResumeOptions(), lambda _: {}, "ann")
    owned.given["ann"] = Quota(queued_tasks=1)
    assert service.resume("a", ResumeOptions(), lambda _: {}, "ann").status == "queued"


def test_running_tasks_stay_when_a_quota_is_lowered(owned: Owned, service: TrainingService):
    owned.machine.run(count=3, owner="ann")
    owned.given["ann"] = Quota(gpus=1)
    task_id = start(service)
    owned.machine.train()
    waits = service.get(task_id)
    assert waits.waiting_reason == "waits for 3 of ann's 3 GPUs: the quota is 1 at a time"
    assert owned.machine.status() == "running"
