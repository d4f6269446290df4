"""When quotas permit waiting tasks to start."""

from datetime import timedelta
from typing import Any

from api.domain.access.principal import Quota
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import GB, Account, Owner
from api.training.queue.forecast import QuotaForecast, forecast_queue
from tests.unit.builders import NOW
from tests.unit.training.builders import held, offer, task
from tests.unit.training.queue.test_forecast import seconds_until


def of_ann(task_id: str, count: int = 1, **changes: Any) -> TaskSummary:
    return task(task_id, count, owner="ann", **changes)


def forecast(
    queue: list[TaskSummary],
    account: Account,
    gpus: list[Any],
    remaining: dict[str, float],
    active: tuple[TaskSummary, ...] = (),
) -> Any:
    accounts: dict[Owner, Account] = {"ann": account}
    permitted = QuotaForecast(accounts, active, remaining, NOW)
    return forecast_queue(queue, gpus, remaining, {each.task_id: 100.0 for each in queue}, NOW, permitted)


def test_task_waits_for_the_end_of_its_owners_other_task():
    found = forecast(
        [of_ann("a"), of_ann("b")], Account(Quota(gpus=1)), [offer(0), held(1, "x")], {"x": 30.0}, (of_ann("x"),)
    )
    assert [seconds_until(found, name) for name in "ab"] == [30.0, 130.0]


def test_other_owner_gets_the_gpu_that_a_quota_leaves_free():
    found = forecast(
        [of_ann("a"), task("b", owner="bob")],
        Account(Quota(gpus=1)),
        [offer(0), held(1, "x")],
        {"x": 30.0},
        (of_ann("x"),),
    )
    assert [seconds_until(found, name) for name in "ab"] == [30.0, 0.0]


def test_start_is_unknown_while_the_end_of_the_owners_tasks_is_unknown():
    found = forecast([of_ann("a")], Account(Quota(gpus=1)), [offer(0), held(1, "x")], {}, (of_ann("x"),))
    assert seconds_until(found, "a") is None
    assert seconds_until(forecast([of_ann("a", 2)], Account(Quota(gpus=1)), [offer(0), offer(1)], {}), "a") is None


def test_used_up_hours_delay_only_their_owner():
    account = Account(Quota(gpu_hours_per_day=1), 0, 3600, NOW + timedelta(seconds=500))
    found = forecast([of_ann("a"), task("b", owner="bob")], account, [offer(0)], {})
    assert [seconds_until(found, name) for name in "ab"] == [500.0, 0.0]
    assert [found[name].position for name in "ab"] == [1, 2]


def test_start_is_unknown_with_full_storage_or_hours_that_never_return():
    for account in (
        Account(Quota(storage_gb=1), storage_bytes=GB),
        Account(Quota(gpu_hours_per_day=0)),
    ):
        assert seconds_until(forecast([of_ann("a")], account, [offer(0)], {}), "a") is None


def test_owner_without_a_quota_is_forecast_without_limits():
    queue, gpus, remaining = [of_ann("a", 2), of_ann("b"), of_ann("c", 3)], [offer(0), held(1, "x")], {"x": 30.0}
    durations = {each.task_id: 100.0 for each in queue}
    assert forecast(queue, Account(gpu_seconds=9000), gpus, remaining, (of_ann("x"),)) == forecast_queue(
        queue, gpus, remaining, durations, NOW
    )
