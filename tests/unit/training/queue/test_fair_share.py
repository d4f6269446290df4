"""Fair share: owners who used less in the last day come first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.access.principal import Quota
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import DAY_SECONDS, Account, Owner
from api.training.queue.fair_share import ASSUMED_SECONDS, FairQueue, in_fair_order
from api.training.queue.scheduler import Pass, PassContext, plan_pass
from api.training.queue.slots import RunningTasks, SlotLimits
from tests.unit.builders import NOW
from tests.unit.training.builders import held, offer, task

HOUR = 3600.0


def owned(task_id: str, owner: Owner, count: int = 1, **changes: Any) -> TaskSummary:
    return task(task_id, count, owner=owner, **changes)


def using(**hours: float) -> dict[Owner, Account]:
    """Return accounts without quotas that used this many GPU hours."""
    return {owner: Account(gpu_seconds=used * HOUR) for owner, used in hours.items()}


def served(queue: Sequence[TaskSummary], accounts: Mapping[Owner, Account]) -> list[str]:
    return [each.task_id for each in in_fair_order(queue, accounts)]


def sweep(owner: str, count: int, **changes: Any) -> list[TaskSummary]:
    return [owned(f"{owner}{number}", owner, **changes) for number in range(count)]


def given_to(result: Pass) -> dict[str, list[int]]:
    return {found.task.task_id: [gpu.index for gpu in found.gpus] for found in result.assignments}


def pass_context(accounts: Mapping[Owner, Account]) -> PassContext:
    return PassContext(NOW, accounts=accounts)


def test_owner_with_less_use_comes_first():
    assert served([*sweep("ann", 1), *sweep("bob", 1)], using(ann=3, bob=2)) == ["bob0", "ann0"]


def test_sweep_and_another_owner_take_turns():
    queue = [*sweep("ann", 5), *sweep("bob", 3)]
    assert served(queue, using(ann=0, bob=0)) == ["ann0", "bob0", "ann1", "bob1", "ann2", "bob2", "ann3", "ann4"]


def test_owner_with_less_use_catches_up_before_taking_turns():
    queue = [*sweep("ann", 3), *sweep("bob", 4)]
    assert served(queue, using(ann=2.5, bob=0)) == ["bob0", "bob1", "bob2", "ann0", "bob3", "ann1", "ann2"]


def test_task_with_many_gpus_counts_as_many_turns():
    queue = [owned("large", "ann", 4), *sweep("ann", 1), *sweep("bob", 5)]
    assert served(queue, using(ann=0, bob=0)) == ["large", "bob0", "bob1", "bob2", "bob3", "ann0", "bob4"]


def test_priority_comes_before_fairness():
    queue = [owned("urgent", "ann", priority=1), *sweep("bob", 1)]
    assert served(queue, using(ann=90, bob=0)) == ["urgent", "bob0"]


def test_gpus_of_higher_priorities_count_for_lower_ones():
    queue = [owned("urgent", "ann", priority=1), *sweep("ann", 1), *sweep("bob", 1)]
    assert served(queue, using(ann=0, bob=0)) == ["urgent", "bob0", "ann0"]


def test_tasks_without_owner_count_as_one_owner():
    queue = [owned("x", None), owned("y", None), *sweep("bob", 2)]
    assert served(queue, {None: Account(), "bob": Account()}) == ["x", "bob0", "y", "bob1"]


def test_without_accounts_only_age_counts():
    queue = [*sweep("ann", 3), *sweep("bob", 1)]
    assert served(queue, {}) == ["ann0", "ann1", "ann2", "bob0"]


def test_task_without_gpus_costs_its_owner_no_turn():
    pinned = [owned(f"pinned{n}", "ann", gpus=task("x", 1, 0).gpus) for n in range(9)]
    queue = [*pinned, owned("any", "ann"), *sweep("bob", 3)]
    result = plan_pass(queue, [held(0), offer(1)], pass_context(using(ann=0, bob=5)))
    assert given_to(result) == {"any": [1]}


def test_task_with_reserved_gpus_costs_its_owner_a_turn():
    queue = [owned("large", "ann", 4), *sweep("ann", 1), *sweep("bob", 1)]
    line = FairQueue(queue, using(ann=0, bob=0.5))
    order = []
    for each in line:
        order.append(each.task_id)
        if each.task_id == "large":
            line.charge(each)
    assert order == ["large", "bob0", "ann0"]


def test_gpus_reserved_for_a_large_task_are_not_assigned_to_later_ones():
    queue = [owned("large", "ann", 3), *sweep("bob", 5)]
    result = plan_pass(queue, [offer(0), offer(1), held(2)], pass_context(using(ann=0, bob=1)))
    assert given_to(result) == {}
    assert "reserved for large" in result.waiting["bob0"].text


def test_within_a_pass_free_gpus_are_shared():
    queue = [*sweep("ann", 50), *sweep("bob", 1), *sweep("cem", 50)]
    result = plan_pass(queue, [offer(n) for n in range(5)], pass_context(using(ann=0, bob=0, cem=0)))
    assert list(given_to(result)) == ["ann0", "bob0", "cem0", "ann1", "cem1"]


# -- generated queues ----------------------------------------------------------------------------------------------

OWNERS = ("ann", "bob", "cem", None)
TASKS = st.lists(st.tuples(st.sampled_from(OWNERS), st.integers(1, 4), st.integers(0, 2)), max_size=12)


def queue_of(drawn: list[tuple[Owner, int, int]]) -> list[TaskSummary]:
    made = [
        owned(f"t{n}", owner, count, priority=priority, serial=n) for n, (owner, count, priority) in enumerate(drawn)
    ]
    return sorted(made, key=lambda each: (-each.priority, each.serial))


@settings(max_examples=200, deadline=None)
@given(
    drawn=TASKS,
    owner=st.sampled_from(OWNERS),
    free=st.integers(0, 6),
    used=st.floats(0, 100),
)
def test_single_owner_is_served_as_without_accounts(drawn: list[Any], owner: Owner, free: int, used: float):
    queue = queue_of([(owner, count, priority) for _, count, priority in drawn])
    gpus = [offer(n) if n < free else held(n) for n in range(6)]
    alone = {owner: Account(gpu_seconds=used * HOUR)}
    assert in_fair_order(queue, alone) == queue
    assert plan_pass(queue, gpus, pass_context(alone)) == plan_pass(queue, gpus, PassContext(NOW))


@settings(max_examples=200, deadline=None)
@given(drawn=TASKS, hours=st.lists(st.floats(0, 50), min_size=4, max_size=4))
def test_every_task_is_served_once_by_priority_and_per_owner_by_age(drawn: list[Any], hours: list[float]):
    queue = queue_of(drawn)
    order = in_fair_order(queue, {owner: Account(gpu_seconds=used) for owner, used in zip(OWNERS, hours, strict=True)})
    assert sorted(each.task_id for each in order) == sorted(each.task_id for each in queue)
    assert [each.priority for each in order] == sorted((each.priority for each in order), reverse=True)
    for owner in OWNERS:
        assert [each for each in order if each.owner == owner] == [each for each in queue if each.owner == owner]


QUOTAS = st.fixed_dictionaries({owner: st.none() | st.integers(0, 5) for owner in ("ann", "bob", "cem")})


@settings(max_examples=300, deadline=None)
@given(
    drawn=TASKS,
    quotas=QUOTAS,
    holding=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    full_hours=st.sets(st.sampled_from(["ann", "bob", "cem"])),
    free=st.integers(0, 6),
)
def test_no_pass_exceeds_a_quota(
    drawn: list[Any], quotas: dict[str, int | None], holding: list[int], full_hours: set[str], free: int
):
    queue = queue_of(drawn)
    accounts: dict[Owner, Account] = {None: Account()}
    for (owner, most), gpus in zip(quotas.items(), holding, strict=True):
        hours = 1.0 if owner in full_hours else None
        accounts[owner] = Account(Quota(gpus=most, gpu_hours_per_day=hours), gpus, gpu_seconds=2 * HOUR)
    result = plan_pass(queue, [offer(n) if n < free else held(n) for n in range(6)], pass_context(accounts))
    for owner, most in quotas.items():
        got = sum(found.task.gpu_count for found in result.assignments if found.task.owner == owner)
        assert got == 0 or most is None or accounts[owner].gpus + got <= most
        assert got == 0 or owner not in full_hours
    assert {found.task.task_id for found in result.assignments} | set(result.waiting) == {t.task_id for t in queue}


# -- over time -----------------------------------------------------------------------------------------------------


@dataclass
class SimulatedMachine:
    """A machine and its queue over time in steps of a minute, with the usage of the last day."""

    gpus: int
    quotas: Mapping[str, int | None] = field(default_factory=dict)
    now: float = 0.0
    queue: list[TaskSummary] = field(default_factory=list)
    running: dict[str, tuple[TaskSummary, float, list[int]]] = field(default_factory=dict)
    past: list[tuple[Owner, int, float, float]] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)
    serial: int = 0

    def put(self, task_id: str, owner: Owner, count: int = 1, minutes: float = 10, priority: int = 0) -> None:
        self.serial += 1
        self.queue.append(owned(task_id, owner, count, serial=self.serial, priority=priority))
        self.minutes[task_id] = minutes

    def used(self, owner: Owner) -> float:
        since = self.now - DAY_SECONDS
        spans = [(gpus, began, ended) for who, gpus, began, ended in self.past if who == owner]
        spans += [
            (t.gpu_count, self.started[t.task_id], self.now) for t, _, _ in self.running.values() if t.owner == owner
        ]
        return sum(gpus * max(0.0, ended - max(began, since)) for gpus, began, ended in spans)

    def account(self, owner: Owner) -> Account:
        gpus = sum(t.gpu_count for t, _, _ in self.running.values() if t.owner == owner)
        return Account(Quota(gpus=self.quotas.get(str(owner))), gpus, self.used(owner))

    def step(self) -> None:
        for task_id, (mine, until, _) in list(self.running.items()):
            if until <= self.now:
                del self.running[task_id]
                self.past.append((mine.owner, mine.gpu_count, self.started[task_id], until))
        taken = {index: name for name, (_, _, gpus) in self.running.items() for index in gpus}
        gpus = [held(n, taken[n]) if n in taken else offer(n) for n in range(self.gpus)]
        self.queue.sort(key=lambda each: (-each.priority, each.serial))
        accounts = {owner: self.account(owner) for owner in {each.owner for each in self.queue}}
        for found in plan_pass(self.queue, gpus, pass_context(accounts)).assignments:
            mine = found.task
            self.running[mine.task_id] = (
                mine,
                self.now + 60 * self.minutes[mine.task_id],
                [g.index for g in found.gpus],
            )
            self.started[mine.task_id] = self.now
        self.queue = [each for each in self.queue if each.task_id not in self.started]
        for owner, most in self.quotas.items():
            assert most is None or self.account(owner).gpus <= most
        self.now += 60


def test_single_task_of_another_owner_starts_next_despite_a_sweep_of_50():
    room = SimulatedMachine(gpus=4)
    for number in range(50):
        room.put(f"ann{number}", "ann", minutes=30 + number)
    for _ in range(5):
        room.step()
    room.put("bob", "bob")
    before = set(room.started)
    while "bob" not in room.started:
        room.step()
    assert set(room.started) - before == {"bob"}


def test_two_sweeps_share_a_machine_equally():
    room = SimulatedMachine(gpus=4)
    for number in range(200):
        room.put(f"ann{number}", "ann", minutes=20)
    for number in range(200):
        room.put(f"bob{number}", "bob", minutes=45)
    for _ in range(600):
        room.step()
    assert room.used("bob") == pytest.approx(room.used("ann"), rel=0.15)


def test_heavy_use_counts_for_a_day_at_most():
    """New owners without usage arrive without end."""
    room = SimulatedMachine(gpus=2)
    room.past = [("ann", 2, -DAY_SECONDS, -60.0)]
    room.put("late", "ann", minutes=60)
    while "late" not in room.started and room.now < 3 * DAY_SECONDS:
        if room.now % 600 == 0:
            room.put(f"new{room.now}", f"user{room.now}", minutes=20)
        room.step()
    assert room.started["late"] <= DAY_SECONDS + HOUR


def test_large_task_is_not_overtaken_forever_by_small_ones_of_another_owner():
    room = SimulatedMachine(gpus=4)
    for number in range(300):
        room.put(f"bob{number}", "bob", minutes=15 + number % 20)
    for _ in range(30):
        room.step()
    room.put("large", "ann", 4)
    asked_at = room.now
    while "large" not in room.started and room.now < DAY_SECONDS:
        room.step()
    # As soon as the running task has ended.
    assert room.started["large"] - asked_at <= 36 * 60


def test_large_task_is_not_overtaken_forever_by_its_owners_small_ones():
    room = SimulatedMachine(gpus=8, quotas={"ann": 4})
    for number in range(4):
        room.put(f"first{number}", "ann", minutes=10 + 5 * number)
    room.step()
    room.put("large", "ann", 4)
    for number in range(100):
        room.put(f"small{number}", "ann", minutes=30)
    while "large" not in room.started and room.now < DAY_SECONDS:
        room.step()
    assert room.started["large"] <= 30 * 60


@settings(max_examples=40, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(st.sampled_from(OWNERS), st.integers(1, 4), st.integers(1, 30), st.integers(0, 1)),
        min_size=1,
        max_size=14,
    ),
    quotas=st.fixed_dictionaries({owner: st.none() | st.integers(4, 6) for owner in ("ann", "bob", "cem")}),
    late=st.integers(0, 60),
)
def test_every_task_finally_runs_without_exceeding_a_quota(
    drawn: list[tuple[Owner, int, int, int]], quotas: dict[str, int | None], late: int
):
    """Small tasks of a new owner arrive for a while."""
    room = SimulatedMachine(gpus=4, quotas=quotas)
    for number, (owner, count, minutes, priority) in enumerate(drawn):
        room.put(f"t{number}", owner, count, minutes, priority)
    for minute in range(2 * 24 * 60):
        if minute < late:
            room.put(f"late{minute}", "dora", minutes=3)
        room.step()
        if not room.queue and minute >= late:
            return
    pytest.fail(f"{[each.task_id for each in room.queue]} never ran")


def test_newly_assigned_gpu_counts_for_an_hour():
    assert ASSUMED_SECONDS == HOUR
    line = FairQueue([*sweep("ann", 2), *sweep("bob", 1)], using(ann=0, bob=0.5))
    order = []
    for each in line:
        line.charge(each)
        order.append(each.task_id)
    assert order == ["ann0", "bob0", "ann1"]


def test_pass_does_not_change_accounts():
    accounts = using(ann=1, bob=2)
    before = {owner: replace(account) for owner, account in accounts.items()}
    plan_pass([*sweep("ann", 3), *sweep("bob", 3)], [offer(n) for n in range(4)], pass_context(accounts))
    assert accounts == before


def test_slots_go_to_the_owner_with_fewer_running_tasks():
    accounts = using(ann=0, bob=40)
    queue = [*(task(f"a{n}", 0, owner="ann", serial=n) for n in range(3)), task("b0", 0, owner="bob", serial=9)]
    crowded = replace(pass_context(accounts), running=RunningTasks(working={"ann": 1}), slot_limits=SlotLimits(3))
    given = [found.task.task_id for found in plan_pass(queue, [], crowded).assignments]
    assert given == ["b0", "a0"]
