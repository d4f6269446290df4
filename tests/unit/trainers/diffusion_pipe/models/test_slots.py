import pytest

from api.files.weights.recognition import FINGERPRINTS
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS, MODELS
from api.trainers.diffusion_pipe.models.slots import fingerprints_for, slots_of, titles_for


@pytest.mark.parametrize("model_type", DESCRIPTIONS)
def test_files_fit_keys_that_the_trainer_reads_by_known_fingerprints(model_type: str):
    facts, known = MODELS[model_type], {each.name for each in FINGERPRINTS}
    for key, names in DESCRIPTIONS[model_type].fits.items():
        assert key.partition("/")[0] in facts.kinds.keys() | facts.keys
        assert set(names.split()) <= known


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_model_type_has_a_known_component(model_type: str):
    slots = [f"{model_type}.{key}" for key in MODELS[model_type].kinds]
    slots += [f"{slot}/transformer" for slot in slots]
    kinds = {each.component for slot in slots for each in fingerprints_for(slot)}
    assert kinds & {"transformer", "checkpoint"}


def test_a_slot_for_a_language_model_accepts_unknown_ones_but_does_not_name_them():
    assert [each.name for each in fingerprints_for("z_image.text_encoders")] == ["qwen-3-4b", "language-model"]
    assert titles_for("z_image.text_encoders") == ("the text encoder Qwen3 4B",)


def test_a_component_that_the_trainer_cannot_use_has_no_slots():
    assert slots_of("sdxl-refiner") == frozenset()
    assert slots_of("sdxl") == {"sdxl.checkpoint_path"}
