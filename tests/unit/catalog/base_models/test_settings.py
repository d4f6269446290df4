import pytest

from api.catalog.base_models.settings import SettingsService
from api.errors import Invalid, ModelNotFound
from api.trainers.diffusion_pipe.config.forms import convert_forms
from api.trainers.diffusion_pipe.key_descriptions import describe_settings
from api.trainers.diffusion_pipe.models.registry import MODELS

SETTINGS = SettingsService(MODELS, describe_settings, convert_forms)


def test_unknown_model_type_is_rejected_with_the_known_ones():
    with pytest.raises(ModelNotFound) as found:
        SETTINGS.describe("nothing")
    assert "flux" in found.value.data["models"]
    with pytest.raises(ModelNotFound):
        SETTINGS.convert("nothing", config_toml="epochs = 1\n")


def test_keys_and_forms_are_those_of_the_trainer():
    assert SETTINGS.describe("wan").model_id == "wan"
    assert SETTINGS.convert("wan", config_toml="epochs = 1\n").config == {"epochs": 1}
    with pytest.raises(Invalid):
        SETTINGS.convert("wan", config_toml="epochs = ")
