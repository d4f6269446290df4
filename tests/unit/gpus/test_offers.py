from dataclasses import replace

import pytest

from api.domain.reading import FaultKind, GPUProcess, SourceName
from api.domain.task import ProcessIdentity, RegisteredTask
from api.gpus.events import GPUEvents
from api.gpus.offers import (
    explain_no_gpus,
    find_lost,
    is_clear,
    is_shared,
    list_offers,
    list_pids,
    list_unstartable,
    measure_memory,
    name_gpus,
)
from api.gpus.snapshot import GPUReading
from api.gpus.state import GPUState, GPUStateKeeper
from api.util.clock import FakeClock
from tests.unit.builders import lost, process, reading, snapshot, task, uuid_of, vitals
from tests.unit.gpus.fleets import fleet


def state_of(*gpus: GPUReading, held: RegisteredTask | None = None, source: SourceName = SourceName.NVML) -> GPUState:
    clock = FakeClock()
    now = clock.monotonic()
    fresh = [gpu if gpu.fault else replace(gpu, read_monotonic=now) for gpu in gpus]
    keeper = GPUStateKeeper("here", clock, 10.0, GPUEvents())
    holders = {} if held is None else dict.fromkeys(held.gpu_uuids, held)
    return keeper.judge(snapshot(*fresh, source=source, taken_monotonic=now), holders)


def test_an_offer_says_what_a_gpu_has_and_who_holds_it():
    one, other = list_offers(state_of(reading(0), reading(1), held=task("train_1")))
    assert (one.node, one.index, one.uuid, one.free_mb) == ("here", 0, uuid_of(0), 24_176)
    assert (one.held_by, one.is_available) == ("train_1", False)
    assert (other.held_by, other.is_available) == (None, True)


def test_nobody_waits_behind_what_may_stay_for_ever():
    (offer,) = list_offers(state_of(reading(0), held=replace(task("x"), quarantine="it lives")))
    assert (offer.held_by, offer.is_available) == (None, False)


def test_only_gpus_of_nodes_where_something_can_start_are_offered():
    keeper = GPUStateKeeper("here", FakeClock(), 10.0, GPUEvents())
    keeper.offer_from(lambda: {"elsewhere"})
    assert list_offers(keeper.judge(snapshot(reading(0)), {})) == ()


def test_gpus_on_which_nothing_can_be_started_say_why():
    ((found, why),) = list_unstartable(fleet(reading(1, processes=())))
    assert (found.node, why.text) == ("gpu2", "trainings start on here alone: EXECUTOR=local")
    assert explain_no_gpus(fleet(reading(1))) is None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"here"}, None),
        (set(), "the machines of Slurm are not known yet: is slurmrestd up?"),
        (
            {"n1", "n2"},
            "Slurm knows n1, n2, and no GPU of theirs is reported to this server: run ROLE=node there",
        ),
        ({f"n{n}" for n in range(1, 9)}, "Slurm knows n1, n2, n3, n4, n5 and 3 more, and no GPU of theirs is "),
    ],
)
def test_cluster_without_reports_of_its_gpus_says_what_to_run(names: set[str], words: str | None):
    keeper = GPUStateKeeper("here", FakeClock(), 10.0, GPUEvents())
    keeper.offer_from(lambda: names)
    state = keeper.judge(snapshot(reading(0)), {})
    why = explain_no_gpus(state)
    assert (why is None) is (words is None)
    assert why is None or why.text.startswith(words or "")
    assert [gpu.node for gpu, _ in list_unstartable(state)] == ([] if words is None else ["here"])


def test_a_gpu_without_a_name_is_no_offer():
    assert list_offers(state_of(replace(reading(0), index=None), reading(1, identity=None))) == ()


@pytest.mark.parametrize(
    ("gpu", "since", "clear"),
    [
        (reading(0), -1.0, True),
        (reading(0), 0.0, False),
        (reading(0, processes=(process(),)), -1.0, False),
        (lost(0), -1.0, False),
        (reading(1), -1.0, False),
    ],
)
def test_a_gpu_is_clear_when_a_later_reading_shows_nobody_at_work(gpu: GPUReading, since: float, clear: bool):
    state = state_of(gpu)
    assert is_clear(state, uuid_of(0), state.snapshot.taken_monotonic + since) is clear


def test_lost_gpus_are_found_with_the_reason():
    ((uuid, why),) = find_lost(state_of(reading(0), lost(1)), (uuid_of(0), uuid_of(1))).items()
    assert (uuid, "off the bus" in str(getattr(why, "text", why))) == (uuid_of(1), True)
    assert find_lost(state_of(reading(0, fault=FaultKind.UNREADABLE)), (uuid_of(0),)) == {}


def test_names_are_given_in_the_order_that_is_asked_for():
    state = state_of(reading(0), reading(1))
    assert name_gpus(state, [uuid_of(1), "GPU-x"]) == ("NVIDIA Test", None)


def test_pids_are_told_only_where_they_mean_something():
    gpus = (reading(0, processes=(process(7), process(8))), reading(1, processes=None))
    assert list_pids(state_of(*gpus), has_own_pids=False) == {uuid_of(0): (7, 8)}
    assert list_pids(state_of(*gpus), has_own_pids=True) is None
    assert list_pids(state_of(*gpus, source=SourceName.SIMULATED), has_own_pids=False) is None


def test_memory_is_the_most_on_any_of_the_gpus_and_not_known_of_simulated_ones():
    gpus = (reading(0, vitals=vitals(memory_used_mb=5)), reading(1, vitals=vitals(memory_used_mb=9)), reading(2))
    assert measure_memory(state_of(*gpus), [uuid_of(0), uuid_of(1)]) == 9
    assert measure_memory(state_of(reading(0, vitals=vitals(memory_used_mb=None))), [uuid_of(0)]) is None
    assert measure_memory(state_of(*gpus, source=SourceName.SIMULATED), [uuid_of(0)]) is None


def test_gpu_is_shared_unless_all_on_it_is_certainly_its_tasks():
    own, other = process(4711, memory_mb=300), process(99, memory_mb=300)
    holder = replace(task("train_1"), process=ProcessIdentity(4711, 1.0))

    def shared(processes: tuple[GPUProcess, ...] | None, has_own_pids: bool = False) -> bool:
        state = state_of(reading(0, processes=processes), reading(1), held=holder)
        return is_shared(state, [uuid_of(0)], has_own_pids)

    assert not shared((own,))
    assert not shared((replace(process(5), ancestors=frozenset({4711})),))
    assert shared((own, other))
    assert shared(None)
    # Where pids mean nothing a single process can only be the task's.
    assert not shared((other,), has_own_pids=True)
    assert shared((own, other), has_own_pids=True)
