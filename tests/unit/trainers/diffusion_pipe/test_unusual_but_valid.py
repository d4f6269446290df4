"""Unusual values that the trainer accepts: false values disable, whole numbers may be written with a fraction."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case

CONFIGS: list[dict[str, Any]] = [
    {"eval_every_n_epochs": 0, "eval_every_n_steps": 0, "eval_every_n_examples": 0},
    {"save_every_n_examples": 0},
    {"map_num_proc": 0},
    {"epochs": 100.0},
    {"epochs": 2.5, "max_steps": 7.5},
    {"max_steps": 0},
    {"warmup_steps": 0},
    {"warmup_steps": -1},
    {"warmup_steps": 3.0},
    {"gradient_clipping": math.inf},
    {"gradient_clipping": 0},
    {"save": {"every_n_epochs": 1.0, "checkpoint_every_n_minutes": 0}},
    {"checkpoint_every_n_epochs": 1.0, "logging_steps": 2.0},
    {"activation_checkpointing": 1},
    {"activation_checkpointing": 0},
    {"activation_checkpointing": ""},
    {"activation_checkpointing": 1.0},
    {"compile": 1},
    {"eval_before_first_step": 0},
    {"reentrant_activation_checkpointing": 0},
    {"video_clip_mode": "whole"},  # of a model without videos
    {"blocks_to_swap": 0},
    {"eval_datasets": []},
    {"monitoring": {"enable_wandb": 0}},
    {"partition_method": "type:Layer"},
    {"partition_method": "Uniform"},
    # The trainer does not read these values, because of another key.
    {"eval_gradient_accumulation_steps": 0},
    {"eval_micro_batch_size_per_gpu": 0, "eval_image_micro_batch_size_per_gpu": 2.5},
    {"partition_split": 3},
    {"monitoring": {"enable_wandb": False, "wandb_run_name": 5}},
    {"adapter": {"type": "lora", "rank": 16, "decompose_factor": "all"}},
    {"adapter": {"type": "lokr", "rank": 16, "dropout": 1.5}},
]
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("flux", {"transformer_path": ""}),
    ("flux", {"shift": 0}),
    ("flux", {"sigmoid_scale": -1.5}),
    ("flux", {"flux_shift": 1}),
    ("wan", {"llm_path": ""}),
    ("hunyuan-video", {"transformer_path": "", "vae_path": ""}),
    ("sdxl", {"min_snr_gamma": 0, "v_pred": 1}),
    ("sdxl", {"sigmoid_scale": "wide"}),
    ("qwen_image", {"diffusers_path": "/never/opened"}),
]
OPTIMIZERS: list[dict[str, Any]] = [
    {"gradient_release": 0},
    {"beta2_half_life": 0},
    {"type": "ADAMW_OPTIMI"},
    {"lr": 0},
    {"lr": 1},
]
DATASETS: list[dict[str, Any]] = [
    {"subsample_ratio": 0},
    {"subsample_ratio": 1.5},
    {"enable_ar_bucket": 1, "ar_buckets": [1.0, 1.5]},
    {"enable_ar_bucket": 0},
    {"enable_ar_bucket": True, "min_ar": 2.0, "max_ar": 0.5, "num_ar_buckets": 3},
    {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0, "num_ar_buckets": 1},
    {"frame_buckets": [1.0, 33.0]},
    {"frame_buckets": []},
    {"size_buckets": [[512.0, 512.0, 1.0]]},
    {"resolutions": [[512, 768], [640, 640]]},
    {"resolutions": [512.0]},
    {"resolutions": [500]},
    {"shuffle_tags": 1},
    {"num_repeats": 1.5},
    {"skip_empty_caption": 0},
    {"cache_shuffle_num": 0},
    {"min_ar": 0},
    {"enable_ar_bucket": True, "ar_buckets": [1.0], "num_ar_buckets": 7.5},
    {"size_buckets": [[512, 512, 1]], "enable_ar_bucket": True, "max_ar": "wide"},
]


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_unusual_setting_is_accepted(tmp_path: Path, values: dict[str, Any]):
    # Only this type of model can be saved as a LoKr, too.
    case = Case(tmp_path, "wan" if values.get("adapter", {}).get("type") == "lokr" else "sdxl")
    case.config.update(values)
    assert case.errors() == []


@pytest.mark.parametrize(("model_type", "values"), MODELS, ids=str)
def test_unusual_model_is_accepted(tmp_path: Path, model_type: str, values: dict[str, Any]):
    case = Case(tmp_path, model_type)
    case.config["model"].update(values)
    assert case.errors() == []


@pytest.mark.parametrize("values", OPTIMIZERS, ids=str)
def test_unusual_optimizer_is_accepted(tmp_path: Path, values: dict[str, Any]):
    case = Case(tmp_path)
    case.config["optimizer"].update(values)
    assert case.errors() == []


@pytest.mark.parametrize("values", DATASETS, ids=str)
def test_unusual_dataset_is_accepted(tmp_path: Path, values: dict[str, Any]):
    case = Case(tmp_path)
    case.dataset.update(values)
    assert case.errors() == []
