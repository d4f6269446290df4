import pytest

from api.files.weights.header import Header
from api.files.weights.recognition import FINGERPRINTS, fingerprints_for, recognise
from api.trainers.diffusion_pipe.models.registry import MODELS
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


def test_slots_are_keys_that_the_trainer_reads():
    for each in FINGERPRINTS:
        for slot in each.slots:
            model_type, _, key = slot.partition(".")
            facts = MODELS[model_type]
            assert key.partition("/")[0] in facts.kinds.keys() | facts.keys, slot


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_model_type_has_a_known_component(model_type: str):
    slots = [f"{model_type}.{key}" for key in MODELS[model_type].kinds]
    slots += [f"{slot}/transformer" for slot in slots]
    kinds = {each.component for slot in slots for each in fingerprints_for(slot)}
    assert kinds & {"transformer", "checkpoint"}
