import pytest

from api.domain.models.settings_view import SettingView
from api.trainers.diffusion_pipe.config.key_help import (
    ADAPTER_HELP,
    DATASET_HELP,
    DIRECTORY_HELP,
    MODEL_HELP,
    MONITORING_HELP,
    OPTIMIZER_HELP,
    TOP_HELP,
)
from api.trainers.diffusion_pipe.config.keys import ADAPTER, DATASET, DIRECTORY, MODEL, MONITORING, OPTIMIZERS, TOP
from api.trainers.diffusion_pipe.key_descriptions import describe_settings
from api.trainers.diffusion_pipe.models.registry import MODELS

TABLES = {"model", "adapter", "optimizer", "monitoring"}


def settings_of(model_type: str, table: str, file: str = "config") -> dict[str, SettingView]:
    found = [each for each in describe_settings(model_type).tables if (each.name, each.file) == (table, file)]
    assert len(found) == 1
    return {setting.name: setting for setting in found[0].settings}


def test_every_checked_key_has_help_and_no_other():
    assert TOP_HELP.keys() == TOP.keys() - TABLES - {"lora"}
    assert ADAPTER_HELP.keys() == ADAPTER.keys()
    assert MODEL_HELP.keys() == MODEL.keys()
    assert MONITORING_HELP.keys() == MONITORING.keys()
    assert DATASET_HELP.keys() == DATASET.keys()
    assert DIRECTORY_HELP.keys() == DIRECTORY.keys()
    arguments = {name for taken in OPTIMIZERS.values() for name in taken}
    assert OPTIMIZER_HELP.keys() == arguments | {"type", "gradient_release", "beta2_half_life"}


@pytest.mark.parametrize("model_type", MODELS)
def test_every_path_and_key_of_a_type_is_described(model_type: str):
    facts, described = MODELS[model_type], settings_of(model_type, "model")
    assert described.keys() >= {*facts.kinds, *facts.keys, *facts.required, "type", "dtype"}
    assert described.keys().isdisjoint(facts.unread)
    assert all(described[name].is_path for name in facts.kinds)
    assert all(described[name].is_required for name in facts.required)
    assert ("blocks_to_swap" in settings_of(model_type, "")) is (facts.swap is not None)


def test_described_bounds_and_choices_equal_the_checked_ones():
    top = settings_of("flux", "")
    assert top["epochs"].is_required
    assert top["lr_scheduler"].options == ("constant", "linear", "cosine")
    assert not top["lr_scheduler"].is_open
    assert top["gradient_accumulation_steps"].least == 1
    assert top["uncond_fraction"].most == 1
    assert top["activation_checkpointing"].options == (False, True, "unsloth")


def test_limited_keys_are_described_only_for_their_types():
    assert settings_of("flux", "adapter")["type"].options == ("lora",)
    assert "rank_dropout" in settings_of("wan", "adapter")
    assert settings_of("flux", "optimizer")["stabilize"].only_for == ("adamw8bitkahan",)
    assert settings_of("flux", "optimizer")["type"].only_for is None


def test_path_is_required_for_directories_only():
    assert settings_of("flux", "directory", "dataset")["path"].is_required
    assert not any(setting.is_required for setting in settings_of("flux", "", "dataset").values())
