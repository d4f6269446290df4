import gc
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.training.queue.scheduler import Pass, PassContext, gc_paused, plan_pass
from api.training.queue.slots import RunningTasks, RunningTransfer, SlotLimits
from tests.unit.builders import NOW, uuid_of
from tests.unit.training.builders import held, offer, task

AROUND = PassContext(now=NOW)


def given_to(result: Pass) -> dict[str, list[int]]:
    return {found.task.task_id: [gpu.index for gpu in found.gpus] for found in result.assignments}


def test_gpus_with_the_same_holder_are_grouped_by_its_name():
    gpus = [held(n, "train_7") for n in range(6)]
    gpus += [offer(n, is_available=False, status=GPUStatus.BUSY, reason="pid 9 holds 900 MB") for n in (6, 7)]
    waits = plan_pass([task("a", 4)], gpus, replace(AROUND, names={"train_7": "portrait"})).waiting["a"]
    assert waits.text == "needs 4 GPUs: GPUs 0–5 are held by portrait, GPUs 6–7 are busy (pid 9 holds 900 MB)"
    assert waits.said.code == "needs_gpus"
    assert waits.said.params["obstacles"][0] == {
        "kind": "held_by",
        "gpus": "0–5",
        "is_one": False,
        "task_id": "train_7",
        "name": "portrait",
    }


def test_gpus_of_a_fleet_are_named_with_their_node():
    gpus = [held(n, "train_7", node="gpu2") for n in range(2)]
    waits = plan_pass([task("a", 2)], gpus, replace(AROUND, is_fleet=True)).waiting["a"]
    assert waits.text == "needs 2 GPUs: GPUs gpu2:0–1 are held by train_7"


def test_task_that_starts_in_the_meantime_does_not_wait_for_itself():
    waiting = plan_pass([task("a"), task("b")], [held(0, "a")], AROUND).waiting
    assert (waiting["a"].said.code, waiting["b"].text) == ("just_queued", "needs 1 GPU: GPU 0 is held by a")


def test_waiting_reason_fits_two_lines_with_64_gpus():
    by_many = [held(n, f"train_20260101_000000_{n:08d}") for n in range(64)]
    by_two = [held(n, f"train_20260101_000000_{n % 2:08d}") for n in range(64)]
    busy = [
        offer(n, is_available=False, status=GPUStatus.BUSY, reason=f"pid {n} holds: {'x' * 900}") for n in range(64)
    ]
    for gpus in (by_many, by_two, busy):
        for requested in (task("a", 64), task("a", 64, *range(64))):
            assert len(plan_pass([requested], gpus, AROUND).waiting["a"].text) <= 240


def test_tasks_start_in_order():
    result = plan_pass([task("a"), task("b", 2), task("c")], [offer(n) for n in range(4)], AROUND)
    assert given_to(result) == {"a": [0], "b": [1, 2], "c": [3]}
    assert result.waiting == {}


def test_gpu_is_referenced_by_index_text_or_uuid():
    gpus = [offer(n) for n in range(3)]
    assert given_to(plan_pass([task("a", 1, 2)], gpus, AROUND)) == {"a": [2]}
    assert given_to(plan_pass([task("a", 1, "2")], gpus, AROUND)) == {"a": [2]}
    assert given_to(plan_pass([task("a", 1, uuid_of(2), "0")], gpus, AROUND)) == {"a": [0, 2]}


def test_gpu_of_a_cluster_is_referenced_with_its_node():
    gpus = [offer(0, node=node, uuid=f"GPU-{node}") for node in ("n1", "n2")]
    (found,) = plan_pass([task("a", 1, "n2:0")], gpus, AROUND).assignments
    assert [gpu.node for gpu in found.gpus] == ["n2"]


def test_smallest_sufficient_gpus_are_assigned():
    gpus = [offer(0, total_mb=80_000, free_mb=79_000), offer(1), offer(2)]
    assert given_to(plan_pass([task("a")], gpus, AROUND)) == {"a": [1]}
    assert given_to(plan_pass([task("a", 2)], gpus, AROUND)) == {"a": [1, 2]}
    assert given_to(plan_pass([task("a", min_memory=40_000)], gpus, AROUND)) == {"a": [0]}


def test_gpus_of_one_kind_are_preferred():
    gpus = [offer(0, total_mb=16_000, name="small"), offer(1), offer(2)]
    assert given_to(plan_pass([task("a", 2)], gpus, AROUND)) == {"a": [1, 2]}
    assert given_to(plan_pass([task("a", 3)], gpus, AROUND)) == {"a": [0, 1, 2]}


def test_later_tasks_start_first_if_they_take_nothing_away():
    gpus = [offer(0), offer(1), held(2)]
    result = plan_pass([task("large", 3), task("small")], gpus, AROUND)
    assert given_to(result) == {}
    assert "GPUs 0–1 are reserved for large" in result.waiting["small"].text


def test_no_task_waits_behind_one_whose_gpus_may_never_be_free():
    foreign = offer(2, is_available=False, status=GPUStatus.BUSY, reason="a process uses it")
    result = plan_pass([task("large", 3), task("small")], [offer(0), offer(1), foreign], AROUND)
    assert given_to(result) == {"small": [0]}
    assert result.waiting["large"].text == "needs 3 GPUs: GPU 2 is busy (a process uses it)"


def test_gpus_that_the_first_task_cannot_use_are_not_reserved():
    gpus = [offer(0), held(1, total_mb=80_000)]
    result = plan_pass([task("large", min_memory=40_000), task("small")], gpus, AROUND)
    assert given_to(result) == {"small": [0]}
    assert "GPU 1 is held by other" in result.waiting["large"].text
    assert "GPU 0 has 23,000 MB free" in result.waiting["large"].text


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (replace(AROUND, disk_problem=Reason.of("the disk is full", "disk_full")), "the disk is full"),
        (replace(AROUND, active=2, max_concurrent=2), "MAX_CONCURRENT_TASKS is 2"),
        (replace(AROUND, cache_holders={"/c": "other"}), "other is caching"),
    ],
)
def test_waiting_reason_is_given(around: PassContext, words: str):
    result = plan_pass([task("a", caches=("/c",))], [offer(0)], around)
    assert given_to(result) == {}
    assert words in result.waiting["a"].text


def test_limit_of_tasks_is_enforced_within_a_pass():
    result = plan_pass([task(name) for name in "abc"], [offer(n) for n in range(3)], replace(AROUND, max_concurrent=2))
    assert set(given_to(result)) == {"a", "b"}


def test_tasks_that_only_lack_gpus_are_listed_in_order_up_to_the_limit():
    queue, gpus = [task("a", count=2), task("b", count=2), task("c"), task("d", count=2)], [offer(0)]
    gpus.append(held(1, "x"))
    assert [each.task_id for each in plan_pass(queue, gpus, AROUND).short] == ["a", "b", "c", "d"]
    limited = replace(AROUND, active=1, max_concurrent=3)
    assert [each.task_id for each in plan_pass(queue, gpus, limited).short] == ["a", "b"]


def test_one_task_at_a_time_builds_a_cache():
    queue = [task("a", caches=("/c",)), task("b", caches=("/c",)), task("c", caches=("/d",))]
    result = plan_pass(queue, [offer(n) for n in range(3)], AROUND)
    assert set(given_to(result)) == {"a", "c"}


def test_retry_waits_for_its_time_and_reserves_nothing():
    later = task("a", retry_not_before=NOW + timedelta(seconds=7))
    result = plan_pass([later, task("b")], [offer(0)], AROUND)
    assert given_to(result) == {"b": [0]}
    assert result.waiting["a"].text == "retries in 7 s"


def test_retry_does_not_wait_for_a_clock_that_was_set_back():
    later = task("a", retry_not_before=NOW + timedelta(days=1))
    assert given_to(plan_pass([later], [offer(0)], AROUND)) == {"a": [0]}


def test_missing_gpu_is_named():
    assert "GPU 9 does not exist" in plan_pass([task("a", 1, 9)], [offer(0)], AROUND).waiting["a"].text


# -- generated queues ----------------------------------------------------------------------------------------------

GPUS = 6


@st.composite
def offers(draw: st.DrawFn) -> list[GPUOffer]:
    def one(index: int) -> GPUOffer:
        total = draw(st.sampled_from([16_000, 24_000, 80_000, None]))
        kind = draw(st.sampled_from(["free", "held", "foreign"]))
        sized = {"total_mb": total, "free_mb": None if total is None else total - draw(st.integers(0, 5000))}
        if kind == "held":
            return held(index, **sized)
        return offer(index, **sized, is_available=kind == "free")

    return [one(index) for index in range(draw(st.integers(0, GPUS)))]


REFERENCES = st.lists(st.integers(0, GPUS), min_size=1, max_size=3, unique=True).map(tuple)
REQUESTS = st.tuples(st.integers(1, GPUS), st.just(()) | REFERENCES, st.sampled_from([0, 15_000, 40_000]))


def queue_of(options: list[tuple[int, tuple[int, ...], int]]) -> list[TaskSummary]:
    return [
        task(f"t{number}", count, *references, min_memory=memory)
        for number, (count, references, memory) in enumerate(options)
    ]


@settings(max_examples=200, deadline=None)
@given(gpus=offers(), options=st.lists(REQUESTS, max_size=8))
def test_every_gpu_is_assigned_once_and_only_if_free_and_suitable(gpus: list[GPUOffer], options: list[Any]):
    queue = queue_of(options)
    result = plan_pass(queue, gpus, AROUND)
    given_uuids = [gpu.uuid for found in result.assignments for gpu in found.gpus]
    assert len(given_uuids) == len(set(given_uuids))
    for found in result.assignments:
        requested = found.task.gpus
        assert len(found.gpus) == found.task.gpu_count
        assert all(gpu.is_available for gpu in found.gpus)
        assert all(not requested.min_memory or (gpu.free_mb or 0) >= requested.min_memory for gpu in found.gpus)
        assert not requested.references or {gpu.index for gpu in found.gpus} == set(requested.references)
    served = {found.task.task_id for found in result.assignments}
    assert served | set(result.waiting) == {each.task_id for each in queue}
    assert served.isdisjoint(result.waiting)
    assert all(result.waiting.values())


@settings(max_examples=200, deadline=None)
@given(gpus=offers(), options=st.lists(REQUESTS, min_size=1, max_size=8))
def test_later_tasks_take_nothing_from_earlier_ones(gpus: list[GPUOffer], options: list[Any]):
    queue = queue_of(options)
    all_together = given_to(plan_pass(queue, gpus, AROUND))
    for length in range(len(queue)):
        alone = given_to(plan_pass(queue[:length], gpus, AROUND))
        assert {name: all_together[name] for name in alone} == alone


@settings(max_examples=60, deadline=None)
@given(
    options=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(-1, 1)), min_size=1, max_size=12),
    late=st.integers(0, 30),
)
def test_every_task_finally_runs(options: list[tuple[int, int, int]], late: int):
    """Small tasks arrive for a while; each runs for some rounds."""
    queue = [task(f"t{n}", count, priority=priority, serial=n) for n, (count, _, priority) in enumerate(options)]
    rounds = {f"t{n}": length for n, (_, length, _) in enumerate(options)}
    running: dict[str, tuple[int, list[int]]] = {}
    for now in range(400):
        if now < late:
            queue.append(task(f"late{now}", serial=1000 + now, priority=-1))
        running = {name: (left - 1, gpus) for name, (left, gpus) in running.items() if left > 1}
        taken = {index: name for name, (_, gpus) in running.items() for index in gpus}
        gpus = [held(n, taken[n]) if n in taken else offer(n) for n in range(4)]
        queue.sort(key=lambda each: (-each.priority, each.serial))
        result = given_to(plan_pass(queue, gpus, AROUND))
        running.update({name: (rounds.get(name, 2), indices) for name, indices in result.items()})
        queue = [each for each in queue if each.task_id not in result]
        if not queue and now >= late:
            return
    pytest.fail(f"{[each.task_id for each in queue]} never ran")


def test_tasks_without_gpus_get_slots_independently_of_gpus():
    queue = [task("big", 4), task("e1", 0), task("e2", 0), task("e3", 0)]
    around = replace(AROUND, slot_limits=SlotLimits(3), running=RunningTasks(working={None: 1}))
    result = plan_pass(queue, [held(n) for n in range(4)], around)
    assert given_to(result) == {"e1": [], "e2": []}
    assert result.waiting["e3"].text == "3 tasks without GPUs run, and PREPROCESS_PARALLEL is 3"
    assert result.waiting["big"].said.code == "needs_gpus"


def download(task_id: str, **changes: Any) -> TaskSummary:
    return task(task_id, 0, kind=TaskType.DOWNLOAD, **changes)


def test_transfers_have_their_own_slots():
    around = replace(AROUND, slot_limits=SlotLimits(1, 2), running=RunningTasks(0, {None: 1}, (RunningTransfer(None),)))
    queue = [task("e", 0), download("d1"), download("d2")]
    around = replace(around, addresses={"d1": "https://a.example/w", "d2": "https://a.example/x"})
    result = plan_pass(queue, [], around)
    assert given_to(result) == {"d1": []}
    assert result.waiting["e"].said.code == "preprocess_parallel"
    assert result.waiting["d2"].text == "2 downloads and pushes run, and TRANSFERS_PARALLEL is 2"


def test_hanging_hub_does_not_block_transfers_from_other_hosts():
    queue = [*(download(f"h{n}") for n in range(9)), download("elsewhere")]
    around = replace(AROUND, addresses={"elsewhere": "https://a.example/w"})
    result = plan_pass(queue, [], replace(around, slot_limits=SlotLimits(hub="https://hub.example")))
    assert given_to(result) == {"h0": [], "h1": [], "h2": [], "h3": [], "elsewhere": []}
    assert result.waiting["h4"].text == "4 downloads and pushes run, and TRANSFERS_PARALLEL is 4"


def test_trainings_use_no_slots_and_slots_count_no_trainings():
    around = replace(
        AROUND, active=2, max_concurrent=2, running=RunningTasks(working={None: 1}), slot_limits=SlotLimits(2)
    )
    result = plan_pass([task("a"), task("e", 0)], [offer(0)], around)
    assert given_to(result) == {"e": []}
    assert result.waiting["a"].said.code == "max_concurrent"


def test_full_disk_keeps_tasks_without_gpus_waiting():
    full = replace(AROUND, disk_problem=Reason.of("there are 3 MB free", "disk_low"))
    assert plan_pass([task("e", 0)], [], full).waiting["e"].text == "there are 3 MB free"


def test_task_gets_gpus_of_one_node():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b", "b", "c", "c", "c"])]
    queue = [task("three", count=3), task("two", count=2), task("one", count=1)]
    assert given_to(plan_pass(queue, gpus, PassContext(NOW))) == {"three": [3, 4, 5], "two": [1, 2], "one": [0]}


def test_gpus_of_several_nodes_cannot_be_combined():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b", "c"])]
    result = plan_pass([task("two", count=2), task("one", count=1)], gpus, PassContext(NOW))
    assert given_to(result) == {"one": [0]}


def test_gpus_are_reserved_on_the_node_where_the_rest_becomes_free():
    gpus = [replace(offer(0), node="a"), replace(held(1, "runs"), node="b"), replace(offer(2), node="b")]
    result = plan_pass([task("two", count=2), task("one", count=1)], gpus, PassContext(NOW))
    assert given_to(result) == {"one": [0]}


def test_task_restricted_to_nodes_gets_their_gpus():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b"])]
    around = PassContext(NOW, nodes_of={"bound": frozenset({"b"}), "nowhere": frozenset()})
    result = plan_pass([task("bound"), task("nowhere"), task("free")], gpus, around)
    assert given_to(result) == {"bound": [1], "free": [0]}
    assert "partition" in result.waiting["nowhere"].text


def test_task_on_a_machine_without_gpus_gets_that_reason():
    why = Reason.of("Slurm knows {nodes}", "no_reporters", nodes="n1")
    around = replace(AROUND, no_gpus=why)
    assert plan_pass([task("a")], [], around).waiting["a"] is why
    assert plan_pass([task("a")], [held(0)], around).waiting["a"].text == "needs 1 GPU: GPU 0 is held by other"


def test_unstartable_free_or_requested_gpus_are_named_last():
    why = Reason.of("trainings start on {node} alone: EXECUTOR=local", "starts_here_alone", node="here")
    there = [(offer(index + 4, node="gpu2"), why) for index in range(2)]
    busy = (offer(6, node="gpu2", is_available=False), why)
    around = replace(AROUND, is_fleet=True, unstartable=lambda: [*there, busy])
    waiting = plan_pass([task("a"), task("b", 1, "gpu2:6")], [held(0)], around).waiting
    assert waiting["a"].text == (
        "needs 1 GPU: GPU here:0 is held by other, "
        "GPUs gpu2:4–5 cannot be used (trainings start on here alone: EXECUTOR=local)"
    )
    assert waiting["b"].text == (
        "needs GPU gpu2:6: GPU gpu2:6 cannot be used (trainings start on here alone: EXECUTOR=local)"
    )


def _fail() -> None:
    assert not gc.isenabled()
    raise ValueError("no")


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_collector_is_restored_in_every_case(is_on: bool):
    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        with pytest.raises(ValueError, match="no"), gc_paused():
            _fail()
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if before else gc.disable)()
