"""What the scheduler and the executor are told of the GPUs."""

from dataclasses import replace

from api.models.reading import SourceName
from api.services.gpus.offers import list_offers, list_pids
from api.services.gpus.state import GPUState
from tests.unit.services.builders import judged, process, reading, snapshot, uuid_of


def state(*readings: object, **changes: object) -> GPUState:
    shown = snapshot(*readings)
    gpus = tuple(judged(each) for each in readings)
    return GPUState("node-7", snapshot=replace(shown, **changes), gpus=gpus, xids={}, failed_sweeps=0)


def test_an_offer_names_the_machine_that_the_gpu_is_in():
    assert [(offer.node, offer.index) for offer in list_offers(state(reading(0), reading(1)))] == [
        ("node-7", 0),
        ("node-7", 1),
    ]


def test_the_driver_names_who_is_at_work_on_each_gpu_that_it_can_list():
    busy = reading(0, processes=(process(51), process(52)))
    found = list_pids(state(busy, reading(1, processes=()), reading(2, processes=None)), has_own_pids=False)
    assert found == {uuid_of(0): (51, 52), uuid_of(1): ()}


def test_pids_of_another_namespace_and_of_simulated_gpus_say_nothing():
    busy = reading(0, processes=(process(51),))
    assert list_pids(state(busy), has_own_pids=True) is None
    assert list_pids(state(busy, source=SourceName.SIMULATED), has_own_pids=False) is None
