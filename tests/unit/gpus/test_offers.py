from dataclasses import replace

import pytest

from api.domain.machines.reading import FaultKind, GPUProcess, SourceName
from api.domain.tasks.task import ProcessIdentity, RegisteredTask
from api.gpus.health.events import GPUEvents
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


def test_offer_contains_the_gpu_and_its_holder():
    one, other = list_offers(state_of(reading(0), reading(1), held=task("train_1")))
    assert (one.node, one.index, one.uuid, one.free_mb) == ("here", 0, uuid_of(0), 24_176)
    assert (one.held_by, one.is_available) == ("train_1", False)
    assert (other.held_by, other.is_available) == (None, True)


def test_permanent_holder_is_not_waited_for():
    (offer,) = list_offers(state_of(reading(0), held=replace(task("x"), quarantine="it lives")))
    assert (offer.held_by, offer.is_available) == (None, False)


def test_only_gpus_of_startable_nodes_are_offered():
    keeper = GPUStateKeeper("here", FakeClock(), 10.0, GPUEvents())
    keeper.offer_from(lambda: {"elsewhere"})
    assert list_offers(keeper.judge(snapshot(reading(0)), {})) == ()


def test_gpus_of_other_nodes_have_a_reason():
    ((found, why),) = list_unstartable(fleet(reading(1, processes=())))
    assert (found.node, why.text) == ("gpu2", "trainings start on here alone: EXECUTOR=local")
    assert explain_no_gpus(fleet(reading(1))) is None


@pytest.mark.parametrize(
    ("names", "start"),
    [
        ({"here"}, None),
        (set(), "the nodes of Slurm are not known yet: check slurmrestd"),
        (
            {"n1", "n2"},
            "Slurm has n1, n2, but none of their GPUs is reported to this server: run ROLE=node there",
        ),
        ({f"n{n}" for n in range(1, 9)}, "Slurm has n1, n2, n3, n4, n5 and 3 more, but none of their GPUs is "),
    ],
)
def test_cluster_without_reported_gpus_explains_what_to_run(names: set[str], start: str | None):
    keeper = GPUStateKeeper("here", FakeClock(), 10.0, GPUEvents())
    keeper.offer_from(lambda: names)
    state = keeper.judge(snapshot(reading(0)), {})
    why = explain_no_gpus(state)
    assert (why is None) is (start is None)
    assert why is None or why.text.startswith(start or "")
    assert [gpu.node for gpu, _ in list_unstartable(state)] == ([] if start is None else ["here"])


def test_gpu_without_a_uuid_is_not_offered():
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
def test_gpu_is_clear_after_a_later_reading_without_use(gpu: GPUReading, since: float, clear: bool):
    state = state_of(gpu)
    assert is_clear(state, uuid_of(0), state.snapshot.taken_monotonic + since) is clear


def test_lost_gpus_are_found_with_the_reason():
    ((uuid, why),) = find_lost(state_of(reading(0), lost(1)), (uuid_of(0), uuid_of(1))).items()
    assert (uuid, "off the bus" in str(getattr(why, "text", why))) == (uuid_of(1), True)
    assert find_lost(state_of(reading(0, fault=FaultKind.UNREADABLE)), (uuid_of(0),)) == {}


def test_names_are_in_the_requested_order():
    state = state_of(reading(0), reading(1))
    assert name_gpus(state, [uuid_of(1), "GPU-x"]) == ("NVIDIA Test", None)


def test_pids_are_listed_only_if_meaningful():
    gpus = (reading(0, processes=(process(7), process(8))), reading(1, processes=None))
    assert list_pids(state_of(*gpus), has_own_pids=False) == {uuid_of(0): (7, 8)}
    assert list_pids(state_of(*gpus), has_own_pids=True) is None
    assert list_pids(state_of(*gpus, source=SourceName.SIMULATED), has_own_pids=False) is None


def test_measured_memory_is_the_maximum_and_unknown_for_simulated_gpus():
    gpus = (reading(0, vitals=vitals(memory_used_mb=5)), reading(1, vitals=vitals(memory_used_mb=9)), reading(2))
    assert max(measure_memory(state_of(*gpus), [uuid_of(0), uuid_of(1)]).values()) == 9
    assert measure_memory(state_of(reading(0, vitals=vitals(memory_used_mb=None))), [uuid_of(0)]) == {}
    assert measure_memory(state_of(*gpus, source=SourceName.SIMULATED), [uuid_of(0)]) == {}


def test_gpu_is_shared_unless_all_its_processes_are_certainly_its_tasks():
    own, other = process(4711, memory_mb=300), process(99, memory_mb=300)
    holder = replace(task("train_1"), process=ProcessIdentity(4711, 1.0))

    def shared(processes: tuple[GPUProcess, ...] | None, has_own_pids: bool = False) -> bool:
        state = state_of(reading(0, processes=processes), reading(1), held=holder)
        return is_shared(state, [uuid_of(0)], has_own_pids)

    assert not shared((own,))
    assert not shared((replace(process(5), ancestors=frozenset({4711})),))
    assert shared((own, other))
    assert shared(None)
    # If pids are of another namespace, a single process must be the task's.
    assert not shared((other,), has_own_pids=True)
    assert shared((own, other), has_own_pids=True)
