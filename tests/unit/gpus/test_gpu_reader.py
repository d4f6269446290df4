from dataclasses import replace

import pytest

from api.domain.machines.reading import FaultKind, GPUCondition
from api.domain.reason import text_of
from api.gpus.gpu_reader import CONDITION_SECONDS, MEMORY_MOVED_MB, PROCESS_SECONDS, GPUReader
from api.gpus.sources.source import FakeSource, GPUFault
from api.util.clock import FakeClock


class CountingSource(FakeSource):
    def __init__(self) -> None:
        super().__init__(count=1)
        self.identifications = self.condition_reads = 0

    def identify(self, slot):
        self.identifications += 1
        return super().identify(slot)

    def read_condition(self, gpu):
        self.condition_reads += 1
        return super().read_condition(gpu)


@pytest.fixture
def counting() -> CountingSource:
    return CountingSource()


@pytest.fixture
def slot(counting: CountingSource, clock: FakeClock):
    made = GPUReader(0, counting, clock)
    yield made
    made.reader.stop()


def test_unread_slot_has_that_reason(slot: GPUReader):
    assert (slot.latest.uuid, text_of(slot.latest.fault_reason or "")) == (None, "not read yet")


def test_first_read_reads_everything(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    slot.read()
    assert slot.latest.identity == counting.identities[0]
    assert slot.latest.vitals == counting.vitals[0]
    assert slot.latest.condition == counting.conditions[0]
    assert slot.latest.processes == ()
    assert (slot.latest.read_at, slot.latest.read_monotonic) == (clock.now(), clock.monotonic())


def test_identity_is_read_once(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    for _ in range(20):
        slot.read()
        clock.advance(5)
    assert counting.identifications == 1


def test_identity_is_read_again_after_a_reinitialisation(slot: GPUReader, counting: CountingSource):
    slot.read()
    counting.generation += 1
    counting.identities[0] = replace(counting.identities[0], uuid="GPU-other")
    slot.read()
    assert slot.latest.uuid == "GPU-other"


def test_condition_is_read_less_often(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    for _ in range(12):
        slot.read()
        clock.advance(5)
    assert counting.condition_reads == 60 / CONDITION_SECONDS


def test_processes_are_read_less_often(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    for _ in range(12):
        slot.read()
        clock.advance(5)
    assert counting.process_reads == 60 / PROCESS_SECONDS


def test_slightly_early_sweep_keeps_the_interval(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    slot.read()
    clock.advance(PROCESS_SECONDS - 0.01)
    slot.read()
    assert counting.process_reads == 2


@pytest.mark.parametrize("moved", [MEMORY_MOVED_MB, -MEMORY_MOVED_MB])
def test_processes_are_read_immediately_when_memory_changes(slot: GPUReader, counting: CountingSource, moved: int):
    slot.read()
    counting.set_memory(0, 400 + moved)
    slot.read()
    assert counting.process_reads == 2


def test_small_memory_change_does_not_trigger_a_process_list(slot: GPUReader, counting: CountingSource):
    slot.read()
    counting.set_memory(0, 400 + MEMORY_MOVED_MB - 1)
    slot.read()
    assert counting.process_reads == 1


def test_slow_memory_growth_eventually_triggers_a_process_list(slot: GPUReader, counting: CountingSource):
    for used in (400, 440, 480):
        counting.set_memory(0, used)
        slot.read()
    assert counting.process_reads == 2


def test_new_condition_is_read_at_its_interval(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    slot.read()
    counting.conditions[0] = GPUCondition(compute_mode="prohibited")
    clock.advance(CONDITION_SECONDS)
    slot.read()
    assert slot.latest.condition == counting.conditions[0]


def test_lost_gpu_keeps_its_identity_without_values(slot: GPUReader, counting: CountingSource):
    slot.read()
    counting.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    slot.read()
    assert slot.latest.identity == counting.identities[0]
    assert (slot.latest.vitals, slot.latest.condition, slot.latest.processes) == (None, None, None)
    assert (slot.latest.fault, slot.latest.fault_reason) == (FaultKind.LOST, "fell off the bus")


def test_unreadable_gpu_keeps_its_last_values_with_their_age(
    slot: GPUReader, counting: CountingSource, clock: FakeClock
):
    slot.read()
    began = clock.monotonic()
    clock.advance(5)
    counting.faults[0] = GPUFault(FaultKind.UNREADABLE, "error 999")
    slot.read()
    assert (slot.latest.vitals, slot.latest.read_monotonic) == (counting.vitals[0], began)
    assert slot.latest.fault is FaultKind.UNREADABLE


def test_returning_gpu_is_identified_and_listed_again(slot: GPUReader, counting: CountingSource):
    slot.read()
    counting.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    slot.read()
    del counting.faults[0]
    slot.read()
    assert (slot.latest.fault, slot.latest.fault_reason) == (None, None)
    assert slot.latest.vitals is not None
    assert (counting.identifications, counting.process_reads) == (2, 2)


def count_pcie(counting: CountingSource, received: int | None, sent: int | None) -> None:
    counting.vitals[0] = replace(counting.vitals[0], pcie_rx_bytes=received, pcie_tx_bytes=sent)


def test_pcie_rate_is_computed_from_two_readings(slot: GPUReader, counting: CountingSource, clock: FakeClock):
    count_pcie(counting, 1000, 5000)
    slot.read()
    assert slot.latest.vitals.pcie_rx_bytes_per_second is None
    clock.advance(5)
    count_pcie(counting, 2000, 5000)
    slot.read()
    assert slot.latest.vitals.pcie_rx_bytes_per_second == 200.0
    assert slot.latest.vitals.pcie_tx_bytes_per_second == 0.0


@pytest.mark.parametrize("received", [None, 10])
def test_wrapped_or_missing_counter_has_no_rate(
    slot: GPUReader, counting: CountingSource, clock: FakeClock, received: int | None
):
    count_pcie(counting, 1000, 5000)
    slot.read()
    clock.advance(5)
    count_pcie(counting, received, 6000)
    slot.read()
    assert slot.latest.vitals.pcie_rx_bytes_per_second is None
