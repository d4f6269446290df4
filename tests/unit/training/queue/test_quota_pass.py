"""Quotas within one pass."""

from dataclasses import replace
from typing import Any

from api.domain.access.principal import Quota
from api.domain.machines.gpu import GPUStatus
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import GB, Account, Owner
from api.training.queue.scheduler import Pass, PassContext, plan_pass
from tests.unit.builders import NOW
from tests.unit.training.builders import held, offer, task

FREE = [offer(n) for n in range(8)]


def of_ann(task_id: str, count: int = 1, *references: int, **changes: Any) -> TaskSummary:
    return task(task_id, count, *references, owner="ann", **changes)


def plan(queue: list[TaskSummary], account: Account, gpus: Any = FREE) -> Pass:
    accounts: dict[Owner, Account] = {"ann": account, None: Account()}
    return plan_pass(queue, gpus, PassContext(NOW, accounts=accounts))


def got(result: Pass) -> set[str]:
    return {found.task.task_id for found in result.assignments}


def code(result: Pass, task_id: str) -> str:
    return result.waiting[task_id].said.code


def test_quota_of_gpus_is_enforced_within_a_pass():
    result = plan([of_ann(name) for name in "abcd"], Account(Quota(gpus=3), gpus=1))
    assert got(result) == {"a", "b"}
    assert result.waiting["c"].text == "waits for 1 of ann's 3 GPUs: the quota is 3 at a time"
    assert code(result, "d") == "quota_gpus_kept"


def test_task_larger_than_the_quota_blocks_no_other_task():
    result = plan([of_ann("a", 4), of_ann("b", 2)], Account(Quota(gpus=2)))
    assert got(result) == {"b"}
    assert code(result, "a") == "quota_gpus_never"


def test_rest_of_the_quota_is_reserved_for_a_task_that_needs_more():
    result = plan([of_ann("large", 4), of_ann("small")], Account(Quota(gpus=4), gpus=2))
    assert got(result) == set()
    assert (code(result, "large"), code(result, "small")) == ("quota_gpus", "quota_gpus_kept")


def test_no_quota_is_reserved_for_a_task_whose_gpus_may_never_be_free():
    foreign = offer(7, is_available=False, status=GPUStatus.BUSY)
    result = plan([of_ann("pinned", 2, 6, 7), of_ann("small")], Account(Quota(gpus=2), gpus=1), [*FREE[:7], foreign])
    assert got(result) == {"small"}


def test_task_that_waits_for_its_quota_reserves_no_gpu():
    queue = [of_ann("a", 2), task("of nobody")]
    assert got(plan(queue, Account(Quota(gpus=2), gpus=1), [offer(0), held(1)])) == {"of nobody"}


def test_used_up_hours_keep_all_tasks_of_the_owner_waiting():
    account = Account(Quota(gpu_hours_per_day=1), gpu_seconds=3600)
    result = plan([of_ann("a"), of_ann("b"), task("c")], account)
    assert got(result) == {"c"}
    assert {code(result, "a"), code(result, "b")} == {"quota_hours"}


def test_full_storage_keeps_tasks_waiting_but_unknown_storage_does_not():
    full = Account(Quota(storage_gb=1), storage_bytes=GB)
    assert code(plan([of_ann("a")], full), "a") == "quota_storage"
    assert got(plan([of_ann("a")], replace(full, storage_bytes=None))) == {"a"}


def test_tasks_without_owner_have_no_limit():
    assert got(plan([task(name) for name in "abc"], Account(Quota(gpus=0)))) == {"a", "b", "c"}
