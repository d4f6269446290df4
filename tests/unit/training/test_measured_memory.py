from dataclasses import replace
from typing import Any

import pytest

from api.domain.tasks.measured_memory import MemoryFacts, MemoryOrigin, MemoryRun, MemorySize, PlannedMemory
from api.domain.tasks.training import TrainingPlan
from api.training.measured_memory import judge_memory, with_measured_memory

FACTS = MemoryFacts("flux", "flux-dev", {"method": "lora"}, (MemorySize(512, 1, 1),), rank=32, blocks_to_swap=8)


def runs(*peaks: int, **others: Any) -> list[MemoryRun]:
    return [MemoryRun(replace(FACTS, **others), peak) for peak in peaks]


def test_equal_facts_give_the_measured_memory_and_the_number_of_runs():
    found = judge_memory(FACTS, runs(21_000, 22_000, 21_500) + runs(9_000, rank=8))
    assert (found.origin, found.runs, found.median_mb, found.most_mb) == (MemoryOrigin.MEASURED, 3, 21_500, 22_000)


@pytest.mark.parametrize(
    "more",
    [{"rank": 64}, {"blocks_to_swap": 0}, {"sizes": (MemorySize(768, 1, 1),)}, {"sizes": (MemorySize(512, 1, 4),)}],
)
def test_larger_load_gives_an_upper_bound_and_smaller_load_a_lower_bound(more: dict[str, Any]):
    found = judge_memory(FACTS, runs(30_000, **more))
    assert (found.origin, found.at_most_mb, found.at_least_mb) == (MemoryOrigin.AT_MOST, 30_000, None)
    found = judge_memory(replace(FACTS, **more), runs(20_000))
    assert (found.origin, found.at_most_mb, found.at_least_mb) == (MemoryOrigin.AT_LEAST, None, 20_000)


def test_closest_bound_is_used():
    above = [*runs(40_000, rank=128), *runs(26_000, 27_000, rank=64)]
    found = judge_memory(FACTS, [*above, *runs(18_000, rank=8), *runs(19_000, rank=16)])
    assert (found.runs, found.at_most_mb, found.at_least_mb) == (2, 27_000, 19_000)


@pytest.mark.parametrize(
    "other",
    [
        {"model_type": "wan"},
        {"variant": "flux-schnell"},
        {"settings": {"method": "full"}},
        {"sizes": ()},
        {"sizes": (MemorySize(1024, 1, 1),), "rank": 8},
    ],
)
def test_incomparable_runs_are_ignored(other: dict[str, Any]):
    assert judge_memory(FACTS, runs(30_000, **other)) == PlannedMemory(FACTS)


def test_unknown_weights_are_not_compared():
    facts = replace(FACTS, variant=None)
    assert judge_memory(facts, [MemoryRun(facts, 9_000)]).origin is MemoryOrigin.ESTIMATED


@pytest.mark.parametrize(
    ("found", "estimate", "figure", "basis"),
    [
        (runs(21_914, 20_000), 16_000, 21_914, "measured in 2 runs here with the same settings: at most 21.4 GB."),
        (runs(21_914, rank=64), 16_000, 21_914, "at most: 1 run here with the same or a larger load used 21.4 GB."),
        (
            runs(10_240, rank=8),
            16_384,
            16_384,
            "at least: 1 run here with the same or a smaller load used 10.0 GB; estimated: 16.0 GB.",
        ),
        (runs(20_480, rank=8), None, 20_480, "at least: 1 run here with the same or a smaller load used 20.0 GB."),
        ([], 16_384, 16_384, "a table"),
        ([], None, None, "a table"),
    ],
)
def test_plan_explains_its_memory_figure(found: list[MemoryRun], estimate: int | None, figure: int | None, basis: str):
    plan = TrainingPlan(
        "x", "flux", 1, estimated_memory_mb=estimate, memory_basis="a table", memory=PlannedMemory(FACTS)
    )
    made = with_measured_memory(plan, found)
    assert (made.estimated_memory_mb, made.memory_basis) == (figure, basis)
    assert made.memory is not None
    assert (made.memory.origin is MemoryOrigin.UNKNOWN) is (figure is None)
