from typing import Any

import pytest

from api.domain.models.settings_view import RequestFormsView
from api.errors import Invalid
from api.trainers.diffusion_pipe.config.forms import convert_forms
from api.trainers.diffusion_pipe.models.registry import PRESETS

CONFIG = "# mine\nepochs = 3\n\n[model]\ntype = 'flux'\ndtype = 'bfloat16'\n"
DATASET = "resolutions = [512]\n\n[[directory]]\npath = '/srv/cats'\n"


def convert(**given: Any) -> RequestFormsView:
    return convert_forms("flux", *(given.get(name) for name in ("config", "dataset", "config_toml", "dataset_toml")))


def test_text_is_converted_to_values_and_returned_unchanged():
    found = convert(config_toml=CONFIG, dataset_toml=DATASET)
    assert found.config == {"epochs": 3, "model": {"type": "flux", "dtype": "bfloat16"}}
    assert found.dataset == {"resolutions": [512], "directories": [{"path": "/srv/cats"}]}
    assert (found.config_toml, found.dataset_toml) == (CONFIG, DATASET)


def test_groups_of_the_structured_form_become_keys_of_the_file():
    found = convert(config={"epochs": 3, "save": {"every_n_epochs": 1}, "model": {"dtype": "bfloat16"}})
    assert found.config == {"epochs": 3, "model": {"type": "flux", "dtype": "bfloat16"}, "save_every_n_epochs": 1}
    assert found.config_toml is not None
    assert found.config_toml.startswith("epochs = 3\nsave_every_n_epochs = 1\n\n[model]\n")
    assert (found.dataset, found.dataset_toml) == (None, None)


def test_empty_form_is_converted_to_empty_form():
    found = convert(config={}, dataset_toml="")
    assert (found.config, found.config_toml, found.dataset, found.dataset_toml) == ({}, "", {}, "")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: f"{preset.model_type}-{preset.name}")
def test_each_preset_survives_conversion_to_text(preset: Any):
    values = {**preset.config, "model": {"type": preset.model_type, **preset.model}}
    there = convert_forms(preset.model_type, values, dict(preset.dataset), None, None)
    back = convert_forms(preset.model_type, None, None, there.config_toml, there.dataset_toml)
    assert (back.config, back.dataset) == (values, dict(preset.dataset))


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"config_toml": "epochs = "}, "/config_toml"),
        ({"config_toml": "gradient_clipping = inf\n"}, "/config_toml/gradient_clipping"),
        ({"config_toml": f"epochs = {2**63}\n"}, "/config_toml/epochs"),
        ({"config_toml": "a = [[0xffffffffffffffffff]]\n"}, "/config_toml/a/0/0"),
        ({"dataset_toml": "resolutions = [512, 1.5]\n"}, "/dataset_toml/resolutions"),
        ({"config": {"epochs": None}}, "/config/epochs"),
        ({"dataset": {"resolutions": [1, "a"]}}, "/dataset/resolutions"),
    ],
)
def test_value_without_a_json_form_is_an_error_at_its_pointer(given: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as found:
        convert(**given)
    assert [mistake.pointer for mistake in found.value.mistakes] == [pointer]
