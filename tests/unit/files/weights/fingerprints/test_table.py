import pytest

from api.files.weights.header import Header
from api.files.weights.recognition import FINGERPRINTS, recognise
from tests.unit.files.weights.stand_ins import STAND_INS

_EXPORT = "model.diffusion_model."


@pytest.mark.parametrize("name", STAND_INS)
def test_each_component_is_recognised_by_keys_and_shapes(name: str):
    shapes = {key.removeprefix(_EXPORT): tuple(shape) for key, shape in STAND_INS[name].items()}
    found = recognise(Header(shapes))
    assert found is not None
    assert found.name == name


def test_each_fingerprint_has_a_unique_name_and_a_source():
    assert len({each.name for each in FINGERPRINTS}) == len(FINGERPRINTS)
    assert all(each.source and each.has for each in FINGERPRINTS)
