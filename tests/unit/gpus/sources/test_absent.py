import pytest

from api.domain.reading import SourceName
from api.gpus.registration_store import MemoryRegistrations
from api.gpus.service import GPUService
from api.gpus.sources.absent import AbsentSource
from api.gpus.sources.source import GPUFault
from api.util.clock import FakeClock
from tests.unit.builders import identity


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
