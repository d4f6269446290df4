import pytest

from api.domain.machines.reading import SourceName, XidEvent
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.auto import AbsentSource, AutoSource
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from api.util.clock import FakeClock
from tests.unit.builders import identity


class Machine:
    """A machine on which a test adds and removes the library."""

    def __init__(self, absent: bool) -> None:
        self.absent = absent
        self.nvml, self.simulated = FakeSource(count=2), FakeSource(count=4)
        self.simulated.name = SourceName.SIMULATED
        self.source = AutoSource(lambda: self.nvml, self.simulated, lambda: self.absent)


@pytest.fixture
def bare() -> Machine:
    return Machine(absent=True)


@pytest.fixture
def equipped() -> Machine:
    return Machine(absent=False)


def test_machine_with_the_library_shows_its_gpus(equipped: Machine):
    assert equipped.source.refresh(True) == 2
    assert equipped.source.name is SourceName.NVML


def test_machine_without_the_library_shows_simulated_gpus(bare: Machine):
    assert bare.source.refresh(True) == 4
    assert bare.source.name is SourceName.SIMULATED


def test_appearing_library_is_used(bare: Machine):
    bare.source.refresh(True)
    before = bare.source.generation
    bare.absent = False
    assert bare.source.refresh(True) == 2
    assert bare.source.name is SourceName.NVML
    assert bare.source.generation > before


def test_failing_library_is_not_replaced_by_a_simulation(equipped: Machine):
    equipped.nvml.problem = SourceFault("driver not loaded", "load it", 9)
    with pytest.raises(SourceFault):
        equipped.source.refresh(True)
    assert equipped.source.name is SourceName.NVML


def test_appearing_failing_library_is_not_replaced_by_a_simulation(bare: Machine):
    bare.source.refresh(True)
    bare.absent = False
    bare.nvml.problem = SourceFault("driver not loaded", "load it", 9)
    for _ in range(2):
        with pytest.raises(SourceFault):
            bare.source.refresh(True)
    assert bare.source.name is SourceName.NVML


def test_disappearing_library_does_not_bring_simulated_gpus_back(equipped: Machine):
    equipped.source.refresh(True)
    equipped.absent = True
    equipped.nvml.problem = SourceFault("library missing", "install it", 12)
    with pytest.raises(SourceFault):
        equipped.source.refresh(True)


def test_all_calls_go_to_the_current_source(bare: Machine):
    bare.nvml.xids.append(XidEvent("GPU-real", 79))
    gpu = bare.source.identify(3)
    assert gpu == bare.simulated.identities[3]
    assert bare.source.read_vitals(gpu) == bare.simulated.vitals[3]
    assert bare.source.read_condition(gpu) == bare.simulated.conditions[3]
    assert bare.source.read_processes(gpu) == ()
    assert bare.source.next_xid() is None
    bare.absent = False
    bare.source.refresh(True)
    assert bare.source.next_xid() == XidEvent("GPU-real", 79)
    bare.source.observe_tasks({"GPU-real": None})
    assert (bare.nvml.held, bare.simulated.held) == ({"GPU-real": None}, {})


def test_machine_without_gpus_works_and_has_none():
    gpus = GPUService(AbsentSource(), MemoryRegistrations(), FakeClock())
    gpus._monitor.sweep()
    status = gpus.get_status()
    assert (status.gpus, status.source, status.source_problem) == ((), SourceName.NONE, None)
    assert gpus.get_readiness().status == "ready"
    gpus.stop_monitoring()


@pytest.mark.parametrize("read", ["identify", "read_vitals", "read_condition", "read_processes"])
def test_reading_a_missing_gpu_is_a_fault(read: str):
    source = AbsentSource()
    with pytest.raises(GPUFault):
        getattr(source, read)(0 if read == "identify" else identity(0))
    assert source.next_xid() is None
