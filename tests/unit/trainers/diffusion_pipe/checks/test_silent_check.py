from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, besides_pickles, remarks, setting, within, write_image

WARNINGS = [
    (setting(huber_delta=0.5), "/config/huber_delta"),
    (setting(smooth_l1_beta=0.5), "/config/smooth_l1_beta"),
    (setting(warmup_steps=10**6), "/config/warmup_steps"),
    (within("model", debiased_estimation_loss=False), "/config/model/debiased_estimation_loss"),
    (
        setting(
            monitoring={"enable_wandb": True, "wandb_api_key": "", "wandb_tracker_name": "t", "wandb_run_name": "r"}
        ),
        "/config/monitoring/wandb_api_key",
    ),
]

NOTHING = [
    setting(lr_scheduler="linear", warmup_steps=10, max_steps=20),
]

test_change_gets_the_remark_that_fits = remarks(warnings=WARNINGS, nothing=NOTHING)


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"ar_buckets": [1.0, 1.5]}, "/dataset/ar_buckets"),
        ({"min_ar": 0.5}, "/dataset/min_ar"),
        ({"cache_shuffle_delimiter": ";"}, "/dataset/cache_shuffle_delimiter"),
    ],
)
def test_ignored_or_confusing_setting_is_one_warning(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_warning().pointer == pointer


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"shift": 3, "flux_shift": True}, "flux_shift"),
        ({"timestep_sample_method": "uniform", "sigmoid_scale": 1.3}, "sigmoid_scale"),
        ({"cache_text_embeddings": False}, "cache_text_embeddings"),
    ],
)
def test_key_overridden_by_another_is_one_warning(tmp_path: Path, settings: dict[str, Any], key: str):
    case = Case(tmp_path, "flux")
    case.config["model"].update(settings)
    assert case.warnings() == [f"/config/model/{key}"]


def test_misspelt_type_of_a_text_encoder_is_reported(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    case.config["model"]["text_encoders"][0]["type"] = "lumina-2"
    assert case.warnings() == ["/config/model/text_encoders/0/type"]


@pytest.mark.parametrize("model_type", ["sdxl", "wan", "z_image", "chroma"])
def test_control_images_for_an_unsupported_model_are_an_error(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    for number in range(4):
        write_image(tmp_path / "controls" / f"{number}.png", caption=None)
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    assert case.only_error().pointer == "/dataset/directories/0/control_path"


@pytest.mark.parametrize(
    ("model_type", "lengths"),
    [("wan", [32]), ("hunyuan-video", [33, 34]), ("ltx2", [33, 37]), ("minimax_h3", [34, 10])],
)
def test_clip_length_that_the_trainer_shortens_is_reported(tmp_path: Path, model_type: str, lengths: list[int]):
    case = Case(tmp_path, model_type)
    case.dataset["frame_buckets"] = lengths
    (found,) = besides_pickles(case.check().warnings)
    assert found.pointer == f"/dataset/frame_buckets/{len(lengths) - 1}"
