import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, remarks, setting, within

ERRORS = [
    (setting(epochs=True), "/config/epochs"),
    (setting(epochs="ten"), "/config/epochs"),
    (setting(epochs=10**30), "/config/epochs"),
    (setting(model=[]), "/config/model"),
    (setting(adapter="lora"), "/config/adapter"),
    (setting(optimizer="adamw"), "/config/optimizer"),
    (setting(monitoring=3), "/config/monitoring"),
    (setting(lr_scheduler="cosine_with_restarts"), "/config/lr_scheduler"),
    (setting(gradient_accumulation_steps=0), "/config/gradient_accumulation_steps"),
    (setting(gradient_clipping=-1), "/config/gradient_clipping"),
    (setting(uncond_fraction=1.5), "/config/uncond_fraction"),
    (setting(save={"every_n_epochs": 1, "dtype": "bf16"}), "/config/save/dtype"),
    (setting(save={"every_n_epochs": 0}), "/config/save/every_n_epochs"),
    (setting(checkpoint_every_n_epochs=0), "/config/checkpoint_every_n_epochs"),
    (within("model", dtype="bf16"), "/config/model/dtype"),
    (within("model", transformer_dtype="nf4"), "/config/model/transformer_dtype"),
    (within("adapter", type="loha"), "/config/adapter/type"),
    (within("adapter", rank=0), "/config/adapter/rank"),
    (within("adapter", rank="16"), "/config/adapter/rank"),
    (within("adapter", dtype="half"), "/config/adapter/dtype"),
    (within("adapter", dropout=2), "/config/adapter/dropout"),
]

WARNINGS = [
    (setting(regenerate_cache=True), "/config/regenerate_cache"),
    (setting(pseudo_huber_c=0.5), "/config/pseudo_huber_c"),
    (setting(image_eval_micro_batch_size_per_gpu=1), "/config/image_eval_micro_batch_size_per_gpu"),
    (setting(epoch=3), "/config/epoch"),
    (setting(rank=3), "/config/rank"),
    (setting(optimization={"gradient_acumulation_steps": 2}), "/config/optimization/gradient_acumulation_steps"),
    (within("model", diffusion_model_dtype="float8"), "/config/model/diffusion_model_dtype"),
    (within("model", flux_shift=True), "/config/model/flux_shift"),
    (within("model", guidance=3.5), "/config/model/guidance"),
    (within("model", timestep_sample_method="normal"), "/config/model/timestep_sample_method"),
    (within("model", transformer="x"), "/config/model/transformer"),
    (within("adapter", rnak=3), "/config/adapter/rnak"),
    (setting(monitoring={"enable_wandbb": True}), "/config/monitoring/enable_wandbb"),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, warnings=WARNINGS)


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"enable_ar_bucket": True, "min_ar": 0, "max_ar": 2.0, "num_ar_buckets": 3}, "/dataset/min_ar"),
        ({"num_repeats": 0}, "/dataset/num_repeats"),
        ({"num_repeats": -1.5}, "/dataset/num_repeats"),
        ({"caption_prefix": 3}, "/dataset/caption_prefix"),
        ({"directories": "/data"}, "/dataset/directories"),
        ({"directories": {"path": "/data"}}, "/dataset/directories"),
        ({"directories": [{"path": 3}]}, "/dataset/directories/0/path"),
    ],
)
def test_invalid_setting_is_one_error_at_its_pointer(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_error().pointer == pointer


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"resolution": [512]}, "/dataset/resolution"),
        ({"epochs": 3}, "/dataset/epochs"),
        ({"mask_path": "/x"}, "/dataset/mask_path"),
    ],
)
def test_ignored_or_confusing_setting_is_one_warning(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_warning().pointer == pointer


def test_misspelt_key_gets_a_suggestion(tmp_path: Path):
    case = Case(tmp_path)
    case.config["warmup_step"] = 3
    (mistake,) = case.check().warnings
    assert mistake.remedy == "Did you mean `warmup_steps`?"


def test_key_of_another_table_is_reported_with_its_table(tmp_path: Path):
    case = Case(tmp_path)
    case.config["rank"] = 3
    (mistake,) = case.check().warnings
    assert mistake.remedy == "It belongs in [adapter]."


#: CPU time limit in seconds, a few times that of a developer's machine.
SECONDS = 5.0


def keys(count: int) -> dict[str, Any]:
    return {f"k{index}": index for index in range(count)}


def test_largest_accepted_number_of_keys_is_checked_quickly(tmp_path: Path):
    case = Case(tmp_path)
    case.config.update(keys(5_800))
    began = time.thread_time()
    found = case.check()
    assert time.thread_time() - began < SECONDS
    assert found.errors == ()
    assert found.warnings[-1].message == "There are 5,600 more findings than these."


def test_string_for_a_boolean_is_reported(tmp_path: Path):
    case = Case(tmp_path)
    case.config["compile"] = "false"
    assert case.warnings() == ["/config/compile"]
