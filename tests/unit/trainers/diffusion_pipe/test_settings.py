import pytest

from api.domain.settings_view import SettingView
from api.trainers.diffusion_pipe import key_words
from api.trainers.diffusion_pipe.keys import ADAPTER, DATASET, DIRECTORY, MODEL, MONITORING, OPTIMIZERS, TOP
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.settings import describe_settings

TABLES = {"model", "adapter", "optimizer", "monitoring"}


def settings_of(model_type: str, table: str, file: str = "config") -> dict[str, SettingView]:
    found = [each for each in describe_settings(model_type).tables if (each.name, each.file) == (table, file)]
    assert len(found) == 1
    return {setting.name: setting for setting in found[0].settings}


def test_every_key_that_is_checked_has_words_and_no_other_has():
    assert key_words.TOP_WORDS.keys() == TOP.keys() - TABLES - {"lora"}
    assert key_words.ADAPTER_WORDS.keys() == ADAPTER.keys()
    assert key_words.MODEL_WORDS.keys() == MODEL.keys()
    assert key_words.MONITORING_WORDS.keys() == MONITORING.keys()
    assert key_words.DATASET_WORDS.keys() == DATASET.keys()
    assert key_words.DIRECTORY_WORDS.keys() == DIRECTORY.keys()
    arguments = {name for taken in OPTIMIZERS.values() for name in taken}
    assert key_words.OPTIMIZER_WORDS.keys() == arguments | {"type", "gradient_release", "beta2_half_life"}


@pytest.mark.parametrize("model_type", MODELS)
def test_every_path_and_key_that_a_type_takes_is_told(model_type: str):
    facts, told = MODELS[model_type], settings_of(model_type, "model")
    assert told.keys() >= {*facts.kinds, *facts.keys, *facts.required, "type", "dtype"}
    assert told.keys().isdisjoint(facts.unread)
    assert all(told[name].is_path for name in facts.kinds)
    assert all(told[name].is_required for name in facts.required)
    assert ("blocks_to_swap" in settings_of(model_type, "")) is (facts.swap is not None)


def test_bounds_and_choices_are_those_that_values_are_checked_by():
    top = settings_of("flux", "")
    assert top["epochs"].is_required
    assert top["lr_scheduler"].options == ("constant", "linear", "cosine")
    assert not top["lr_scheduler"].is_open
    assert top["gradient_accumulation_steps"].least == 1
    assert top["uncond_fraction"].most == 1
    assert top["activation_checkpointing"].options == (False, True, "unsloth")


def test_what_only_some_can_is_told_of_them_only():
    assert settings_of("flux", "adapter")["type"].options == ("lora",)
    assert "rank_dropout" in settings_of("wan", "adapter")
    assert settings_of("flux", "optimizer")["stabilize"].only_for == ("adamw8bitkahan",)
    assert settings_of("flux", "optimizer")["type"].only_for is None


def test_the_path_is_needed_of_a_directory_and_not_of_the_dataset():
    assert settings_of("flux", "directory", "dataset")["path"].is_required
    assert not any(setting.is_required for setting in settings_of("flux", "", "dataset").values())
