"""Quotas and usage of owners."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.db.database import Database, sqlite_url
from api.domain.access.principal import Quota
from api.domain.tasks.training import GPURequest, TrainingRequest
from api.domain.tasks.usage import DAY_SECONDS, GB, Account, GPUHold, Usage
from api.errors import QuotaExceeded
from api.training.output.storage_meter import StorageMeter
from api.training.queue import quotas as quotas_module
from api.training.queue.quotas import Quotas, when_below
from api.training.records.usage_store import Bound, UsageStore
from api.util.clock import FakeClock
from tests.unit.builders import NOW
from tests.unit.trainings import TrainingMachine

HOUR = 3600.0


@dataclass
class Owned:
    """A machine whose tasks have owners, and their quotas."""

    machine: TrainingMachine
    given: dict[str, Quota] = field(default_factory=dict)

    @property
    def quotas(self) -> Quotas:
        assert self.machine.quotas is not None
        return self.machine.quotas

    @property
    def meter(self) -> StorageMeter:
        return self.machine.meter

    def account(self, owner: str = "ann") -> Account:
        return self.quotas.accounts([owner])[owner]


@pytest.fixture
def owned(migrated_file: Path, tmp_path: Path, clock: FakeClock) -> Iterator[Owned]:
    (tmp_path / "database.sqlite").write_bytes(migrated_file.read_bytes())
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    given: dict[str, Quota] = {}
    machine = TrainingMachine(database, tmp_path, clock, quota_of=lambda user: given.get(user, Quota()))
    yield Owned(machine, given)
    machine.close()
    database.close()


def toy_request(count: int) -> TrainingRequest:
    return TrainingRequest("toy", GPURequest(count=count))


def test_account_has_held_gpus_and_used_hours(owned: Owned):
    owned.given["ann"] = Quota(gpus=4)
    owned.machine.run(count=2, owner="ann")
    owned.machine.clock.advance(HOUR)
    assert owned.account() == Account(Quota(gpus=4), 2, 2 * HOUR, None, None)
    assert owned.quotas.accounts([None])[None] == Account()


def test_used_hours_are_counted_again_when_a_gpu_changes_hands_or_after_a_while(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
):
    counted = []
    count = UsageStore.gpu_seconds
    monkeypatch.setattr(UsageStore, "gpu_seconds", lambda self, now: counted.append(now) or count(self, now))
    owned.machine.run(owner="ann")
    owned.account()
    counted.clear()
    for _ in range(3):
        owned.account()
    assert counted == []
    owned.machine.clock.advance(quotas_module.FRESH_SECONDS + 1)
    owned.account()
    assert len(counted) == 1
    owned.machine.end()
    owned.account()
    assert len(counted) == 2


def test_return_of_used_up_hours_is_known(owned: Owned):
    owned.given["ann"] = Quota(gpu_hours_per_day=1)
    began = owned.machine.clock.now()
    owned.machine.run(owner="ann")
    owned.machine.clock.advance(2 * HOUR)
    owned.machine.end()
    account = owned.account()
    assert account.has_used_its_hours
    assert account.hours_return_at == began + timedelta(days=1, hours=1)


def test_usage_has_the_units_of_the_quota(owned: Owned):
    owned.machine.run(count=2, owner="ann")
    owned.machine.put("b", count=4, owner="ann")
    owned.machine.clock.advance(HOUR / 2)
    assert owned.quotas.usage_of(["ann"]) == {"ann": Usage(2, 1, 1.0, None)}
    owned.meter.measure()
    assert owned.quotas.usage_of(["bob", "ann"])["bob"] == Usage(0, 0, 0.0, 0.0)


def test_limits_are_those_of_the_owners_quota(owned: Owned):
    owned.given["ann"] = Quota(gpus=3, queued_tasks=0)
    assert (owned.quotas.gpu_bound("ann"), owned.quotas.queue_bound("ann")) == (Bound("ann", 3), Bound("ann", 0))
    assert [owned.quotas.gpu_bound(owner) for owner in ("bob", None)] == [None, None]


def test_request_that_waiting_cannot_help_is_rejected(owned: Owned, monkeypatch: pytest.MonkeyPatch):
    owned.given["ann"] = Quota(gpus=2, queued_tasks=1, storage_gb=1)

    def problems(count: int) -> list[str]:
        return [each.data["quota"] for each in owned.quotas.problems("ann", toy_request(count))]

    assert (problems(2), problems(3)) == ([], ["gpus"])
    monkeypatch.setattr(owned.meter, "bytes_of", lambda owner: GB)
    assert problems(3) == ["gpus", "storage_gb"]
    assert owned.quotas.queue_problems("ann") == []
    owned.machine.put(count=4, owner="ann")
    assert [each.code for each in owned.quotas.queue_problems("ann")] == ["quota_exceeded"]
    assert owned.quotas.problems(None, toy_request(9)) == []


def test_error_has_the_text_of_the_reason(owned: Owned):
    owned.given["ann"] = Quota(gpus=2)
    problem = owned.quotas.problems("ann", toy_request(3))[0]
    assert problem.detail == ("Needs 3 GPUs, but ann's quota is 2 at a time: request fewer, or ask for a higher quota.")
    assert problem.status == 409
    assert problem.data == {"quota": "gpus", "user": "ann", "limit": 2, "requested": 3}


def test_dataset_larger_than_the_remaining_quota_is_rejected(owned: Owned, monkeypatch: pytest.MonkeyPatch):
    owned.given["ann"] = Quota(storage_gb=1.0)
    monkeypatch.setattr(owned.meter, "_stored_by", lambda: {"ann": GB // 2})
    owned.meter.measure()
    owned.quotas.require_storage("ann", GB // 2)
    owned.quotas.require_storage("bob", 10 * GB)
    owned.quotas.require_storage(None, 10 * GB)
    with pytest.raises(QuotaExceeded) as refused:
        owned.quotas.require_storage("ann", GB)
    assert refused.value.data == {
        "quota": "storage_gb",
        "user": "ann",
        "used": "0.5",
        "limit": "1",
        "more": "1.0",
    }


AT = NOW.timestamp()


def ago(gpus: int, began: float, ended: float | None) -> GPUHold:
    """Return GPUs held from this many hours ago until this many hours ago; None: still held."""
    return GPUHold(gpus, AT - began * HOUR, None if ended is None else AT - ended * HOUR)


def hours_until(holds: list[GPUHold], hours: float) -> float | None:
    found = when_below(holds, hours * HOUR, NOW)
    return None if found is None else (found - NOW) / timedelta(hours=1)


def test_hours_return_a_day_after_their_use():
    assert hours_until([ago(1, 10, 2)], 8) == pytest.approx(14)
    assert hours_until([ago(1, 10, 2)], 6) == pytest.approx(16)
    assert hours_until([ago(2, 10, 6)], 4) == pytest.approx(16)


def test_running_task_uses_hours_as_fast_as_others_return():
    assert hours_until([ago(1, 20, 10), ago(1, 5, None)], 10) is None
    assert hours_until([ago(3, 23, 18), ago(1, 5, None)], 15) == pytest.approx(4)


def test_endless_training_never_gets_below_the_limit():
    assert hours_until([ago(1, 30, None)], 20) is None


def test_quota_of_zero_is_never_available():
    assert hours_until([], 0) is None
    assert hours_until([ago(1, 2, 1)], 0) is None


HOLDS = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0, 40), st.floats(0, 1) | st.none()).map(
        lambda drawn: ago(drawn[0], drawn[1], None if drawn[2] is None else drawn[1] * drawn[2])
    ),
    max_size=6,
)


def used_at(holds: list[GPUHold], at: float) -> float:
    """Return the GPU hours of the day before this time by their definition, if running attempts continue."""
    since = at - DAY_SECONDS
    spans = [
        (hold.gpus, max(hold.began_at, since), min(at if hold.ended_at is None else hold.ended_at, at))
        for hold in holds
    ]
    return sum(gpus * max(0.0, ended - began) for gpus, began, ended in spans) / HOUR


@settings(max_examples=300, deadline=None)
@given(holds=HOLDS, share=st.floats(0.05, 1))
def test_time_is_the_first_with_use_below_the_limit(holds: list[GPUHold], share: float):
    used = used_at(holds, AT)
    hours = used * share
    found = hours_until(holds, hours)
    if found is None:
        steps = [AT + HOUR * step / 4 for step in range(1, 400)]
        assert hours <= 0 or min(used_at(holds, step) for step in steps) > hours - 1e-6
        return
    assert used_at(holds, AT + found * HOUR) == pytest.approx(hours, abs=1e-3)
    for part in (0.1, 0.5, 0.9, 0.999):
        assert used_at(holds, AT + part * found * HOUR) >= hours - 1e-3
