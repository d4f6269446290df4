from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.places import RunningTransfer, TaskPlaces
from api.domain.reason import Reason
from api.domain.task import TaskType
from api.domain.training import TaskSummary
from api.training.places import PlaceRules
from api.training.scheduler import Pass, QueueCircumstances, plan_pass
from tests.unit.builders import NOW, uuid_of
from tests.unit.training.builders import held, offer, task

AROUND = QueueCircumstances(now=NOW)


def given_to(result: Pass) -> dict[str, list[int]]:
    return {found.task.task_id: [gpu.index for gpu in found.gpus] for found in result.assignments}


def test_gpus_with_the_same_holder_are_said_together_and_by_its_name():
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


def test_gpus_of_a_fleet_are_said_with_their_machine():
    gpus = [held(n, "train_7", node="gpu2") for n in range(2)]
    waits = plan_pass([task("a", 2)], gpus, replace(AROUND, is_fleet=True)).waiting["a"]
    assert waits.text == "needs 2 GPUs: GPUs gpu2:0–1 are held by train_7"


def test_a_task_that_begins_meanwhile_is_not_said_to_wait_for_itself():
    waiting = plan_pass([task("a"), task("b")], [held(0, "a")], AROUND).waiting
    assert (waiting["a"].said.code, waiting["b"].text) == ("just_queued", "needs 1 GPU: GPU 0 is held by a")


def test_why_a_task_waits_is_two_lines_at_most_with_64_gpus():
    by_many = [held(n, f"train_20260101_000000_{n:08d}") for n in range(64)]
    by_two = [held(n, f"train_20260101_000000_{n % 2:08d}") for n in range(64)]
    busy = [
        offer(n, is_available=False, status=GPUStatus.BUSY, reason=f"pid {n} holds: {'x' * 900}") for n in range(64)
    ]
    for gpus in (by_many, by_two, busy):
        for wish in (task("a", 64), task("a", 64, *range(64))):
            assert len(plan_pass([wish], gpus, AROUND).waiting["a"].text) <= 240


def test_tasks_are_served_in_order():
    result = plan_pass([task("a"), task("b", 2), task("c")], [offer(n) for n in range(4)], AROUND)
    assert given_to(result) == {"a": [0], "b": [1, 2], "c": [3]}
    assert result.waiting == {}


def test_gpu_is_named_by_index_text_or_uuid():
    gpus = [offer(n) for n in range(3)]
    assert given_to(plan_pass([task("a", 1, 2)], gpus, AROUND)) == {"a": [2]}
    assert given_to(plan_pass([task("a", 1, "2")], gpus, AROUND)) == {"a": [2]}
    assert given_to(plan_pass([task("a", 1, uuid_of(2), "0")], gpus, AROUND)) == {"a": [0, 2]}


def test_gpu_of_a_cluster_is_named_with_its_machine():
    gpus = [offer(0, node=node, uuid=f"GPU-{node}") for node in ("n1", "n2")]
    (found,) = plan_pass([task("a", 1, "n2:0")], gpus, AROUND).assignments
    assert [gpu.node for gpu in found.gpus] == ["n2"]


def test_smallest_boards_that_suffice_are_given():
    gpus = [offer(0, total_mb=80_000, free_mb=79_000), offer(1), offer(2)]
    assert given_to(plan_pass([task("a")], gpus, AROUND)) == {"a": [1]}
    assert given_to(plan_pass([task("a", 2)], gpus, AROUND)) == {"a": [1, 2]}
    assert given_to(plan_pass([task("a", min_memory=40_000)], gpus, AROUND)) == {"a": [0]}


def test_boards_of_one_kind_go_before_a_mixture():
    gpus = [offer(0, total_mb=16_000, name="small"), offer(1), offer(2)]
    assert given_to(plan_pass([task("a", 2)], gpus, AROUND)) == {"a": [1, 2]}
    assert given_to(plan_pass([task("a", 3)], gpus, AROUND)) == {"a": [0, 1, 2]}


def test_those_behind_pass_when_they_take_nothing_away():
    gpus = [offer(0), offer(1), held(2)]
    result = plan_pass([task("large", 3), task("small")], gpus, AROUND)
    assert given_to(result) == {}
    assert "GPUs 0–1 are kept for large" in result.waiting["small"].text


def test_nobody_waits_behind_a_task_whose_gpus_may_never_come():
    foreign = offer(2, is_available=False, status=GPUStatus.BUSY, reason="a process uses it")
    result = plan_pass([task("large", 3), task("small")], [offer(0), offer(1), foreign], AROUND)
    assert given_to(result) == {"small": [0]}
    assert result.waiting["large"].text == "needs 3 GPUs: GPU 2 is busy (a process uses it)"


def test_gpus_that_the_first_cannot_use_are_not_kept():
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
def test_what_keeps_a_task_waiting_is_said(around: QueueCircumstances, words: str):
    result = plan_pass([task("a", caches=("/c",))], [offer(0)], around)
    assert given_to(result) == {}
    assert words in result.waiting["a"].text


def test_number_of_tasks_is_kept_within_a_pass():
    result = plan_pass([task(name) for name in "abc"], [offer(n) for n in range(3)], replace(AROUND, max_concurrent=2))
    assert set(given_to(result)) == {"a", "b"}


def test_those_that_wait_for_gpus_alone_are_named_in_their_order_and_no_more_than_may_run():
    queue, gpus = [task("a", count=2), task("b", count=2), task("c"), task("d", count=2)], [offer(0)]
    gpus.append(held(1, "x"))
    assert [each.task_id for each in plan_pass(queue, gpus, AROUND).short] == ["a", "b", "c", "d"]
    limited = replace(AROUND, active=1, max_concurrent=3)
    assert [each.task_id for each in plan_pass(queue, gpus, limited).short] == ["a", "b"]


def test_one_task_at_a_time_fills_a_cache():
    queue = [task("a", caches=("/c",)), task("b", caches=("/c",)), task("c", caches=("/d",))]
    result = plan_pass(queue, [offer(n) for n in range(3)], AROUND)
    assert set(given_to(result)) == {"a", "c"}


def test_retry_waits_for_its_time_and_keeps_nothing():
    later = task("a", not_before=NOW + timedelta(seconds=7))
    result = plan_pass([later, task("b")], [offer(0)], AROUND)
    assert given_to(result) == {"b": [0]}
    assert result.waiting["a"].text == "tries again in 7 s"


def test_retry_does_not_wait_for_a_clock_that_was_set_back():
    later = task("a", not_before=NOW + timedelta(days=1))
    assert given_to(plan_pass([later], [offer(0)], AROUND)) == {"a": [0]}


def test_gpu_that_is_gone_is_named():
    assert "GPU 9 is not there" in plan_pass([task("a", 1, 9)], [offer(0)], AROUND).waiting["a"].text


# -- whatever comes ------------------------------------------------------------------------------------------------

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
WISHES = st.tuples(st.integers(1, GPUS), st.just(()) | REFERENCES, st.sampled_from([0, 15_000, 40_000]))


def queue_of(wishes: list[tuple[int, tuple[int, ...], int]]) -> list[TaskSummary]:
    return [
        task(f"t{number}", count, *references, min_memory=memory)
        for number, (count, references, memory) in enumerate(wishes)
    ]


@settings(max_examples=200, deadline=None)
@given(gpus=offers(), wishes=st.lists(WISHES, max_size=8))
def test_every_gpu_is_given_once_and_only_if_it_is_free_and_suits(gpus: list[GPUOffer], wishes: list[Any]):
    queue = queue_of(wishes)
    result = plan_pass(queue, gpus, AROUND)
    given_uuids = [gpu.uuid for found in result.assignments for gpu in found.gpus]
    assert len(given_uuids) == len(set(given_uuids))
    for found in result.assignments:
        wish = found.task.gpus
        assert len(found.gpus) == found.task.gpu_count
        assert all(gpu.is_available for gpu in found.gpus)
        assert all(not wish.min_memory or (gpu.free_mb or 0) >= wish.min_memory for gpu in found.gpus)
        assert not wish.references or {gpu.index for gpu in found.gpus} == set(wish.references)
    served = {found.task.task_id for found in result.assignments}
    assert served | set(result.waiting) == {each.task_id for each in queue}
    assert served.isdisjoint(result.waiting)
    assert all(result.waiting.values())


@settings(max_examples=200, deadline=None)
@given(gpus=offers(), wishes=st.lists(WISHES, min_size=1, max_size=8))
def test_those_behind_take_nothing_from_those_before(gpus: list[GPUOffer], wishes: list[Any]):
    queue = queue_of(wishes)
    all_together = given_to(plan_pass(queue, gpus, AROUND))
    for length in range(len(queue)):
        alone = given_to(plan_pass(queue[:length], gpus, AROUND))
        assert {name: all_together[name] for name in alone} == alone


@settings(max_examples=60, deadline=None)
@given(
    wishes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(-1, 1)), min_size=1, max_size=12),
    late=st.integers(0, 30),
)
def test_every_task_runs_in_the_end(wishes: list[tuple[int, int, int]], late: int):
    """Small tasks keep coming for a while; each runs for some rounds."""
    queue = [task(f"t{n}", count, priority=priority, serial=n) for n, (count, _, priority) in enumerate(wishes)]
    rounds = {f"t{n}": length for n, (_, length, _) in enumerate(wishes)}
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


def test_tasks_without_gpus_get_places_whatever_the_gpus_are():
    queue = [task("big", 4), task("e1", 0), task("e2", 0), task("e3", 0)]
    around = replace(AROUND, place_rules=PlaceRules(3), places=TaskPlaces(working={None: 1}))
    result = plan_pass(queue, [held(n) for n in range(4)], around)
    assert given_to(result) == {"e1": [], "e2": []}
    assert result.waiting["e3"].text == "3 tasks without GPUs run, and PREPROCESS_PARALLEL is 3"
    assert result.waiting["big"].said.code == "needs_gpus"


def download(task_id: str, **changes: Any) -> TaskSummary:
    return task(task_id, 0, kind=TaskType.DOWNLOAD, **changes)


def test_transfers_have_places_of_their_own():
    around = replace(AROUND, place_rules=PlaceRules(1, 2), places=TaskPlaces(0, {None: 1}, (RunningTransfer(None),)))
    queue = [task("e", 0), download("d1"), download("d2")]
    around = replace(around, addresses={"d1": "https://a.example/w", "d2": "https://a.example/x"})
    result = plan_pass(queue, [], around)
    assert given_to(result) == {"d1": []}
    assert result.waiting["e"].said.code == "preprocess_parallel"
    assert result.waiting["d2"].text == "2 downloads and pushes run, and TRANSFERS_PARALLEL is 2"


def test_a_hub_that_hangs_does_not_hold_what_comes_from_elsewhere():
    queue = [*(download(f"h{n}") for n in range(9)), download("elsewhere")]
    around = replace(AROUND, addresses={"elsewhere": "https://a.example/w"})
    result = plan_pass(queue, [], replace(around, place_rules=PlaceRules(hub="https://hub.example")))
    assert given_to(result) == {"h0": [], "h1": [], "h2": [], "h3": [], "elsewhere": []}
    assert result.waiting["h4"].text == "4 downloads and pushes run, and TRANSFERS_PARALLEL is 4"


def test_trainings_do_not_count_as_places_nor_places_as_trainings():
    around = replace(
        AROUND, active=2, max_concurrent=2, places=TaskPlaces(working={None: 1}), place_rules=PlaceRules(2)
    )
    result = plan_pass([task("a"), task("e", 0)], [offer(0)], around)
    assert given_to(result) == {"e": []}
    assert result.waiting["a"].said.code == "max_concurrent"


def test_a_full_disk_keeps_tasks_without_gpus_waiting():
    full = replace(AROUND, disk_problem=Reason.of("there are 3 MB free", "disk_low"))
    assert plan_pass([task("e", 0)], [], full).waiting["e"].text == "there are 3 MB free"


def test_a_task_gets_gpus_of_one_machine():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b", "b", "c", "c", "c"])]
    queue = [task("three", count=3), task("two", count=2), task("one", count=1)]
    assert given_to(plan_pass(queue, gpus, QueueCircumstances(NOW))) == {"three": [3, 4, 5], "two": [1, 2], "one": [0]}


def test_gpus_of_several_machines_together_are_too_few():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b", "c"])]
    result = plan_pass([task("two", count=2), task("one", count=1)], gpus, QueueCircumstances(NOW))
    assert given_to(result) == {"one": [0]}


def test_gpus_are_kept_on_the_machine_where_the_rest_will_come():
    gpus = [replace(offer(0), node="a"), replace(held(1, "runs"), node="b"), replace(offer(2), node="b")]
    result = plan_pass([task("two", count=2), task("one", count=1)], gpus, QueueCircumstances(NOW))
    assert given_to(result) == {"one": [0]}


def test_a_task_that_is_bound_to_machines_gets_gpus_of_these():
    gpus = [replace(offer(n), node=node) for n, node in enumerate(["a", "b"])]
    around = QueueCircumstances(NOW, nodes_of={"bound": frozenset({"b"}), "nowhere": frozenset()})
    result = plan_pass([task("bound"), task("nowhere"), task("free")], gpus, around)
    assert given_to(result) == {"bound": [1], "free": [0]}
    assert "partition" in result.waiting["nowhere"].text


def test_task_without_any_gpu_waits_for_the_reason_that_there_is_none():
    why = Reason.of("Slurm knows {nodes}", "no_reporters", nodes="n1")
    around = replace(AROUND, no_gpus=why)
    assert plan_pass([task("a")], [], around).waiting["a"] is why
    assert plan_pass([task("a")], [held(0)], around).waiting["a"].text == "needs 1 GPU: GPU 0 is held by other"


def test_free_gpus_on_which_nothing_can_be_started_are_named_last_and_so_are_those_that_were_asked_for():
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
