import pytest

from api.errors import GPUNotFound
from api.gpus.lookup import find_gpu
from api.gpus.state import GPUState
from tests.unit.builders import judged, reading, snapshot, uuid_of

GPUS = (reading(0), reading(1))
STATE = GPUState("here", snapshot(*GPUS), tuple(judged(gpu) for gpu in GPUS), {}, 0)


@pytest.mark.parametrize("reference", ["1", uuid_of(1)])
def test_gpu_is_found_by_index_and_by_uuid(reference: str):
    assert find_gpu(STATE, reference).reading.uuid == uuid_of(1)


@pytest.mark.parametrize("reference", ["2", "None", "", "GPU-"])
def test_unknown_gpu_is_rejected_with_the_known_ones(reference: str):
    with pytest.raises(GPUNotFound) as refused:
        find_gpu(STATE, reference)
    assert refused.value.data == {"gpu_ids": [0, 1]}
