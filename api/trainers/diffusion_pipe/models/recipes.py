"""Helpers for presets: settings by GPU memory which are documented or were reported to work.

From the trainer's documentation and examples at commit 8f83dbf, and from numbered reports in its issues.
The title says so if the memory is an estimate.
"""

from collections.abc import Mapping
from typing import Any

from api.domain.models.base_model import Precision, Preset

#: From the trainer's examples for 24 GB.
_EXPANDABLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}

#: Settings of all presets; the learning rate is that of the trainer's main example.
_COMMON: Mapping[str, Any] = {
    "epochs": 100,
    "micro_batch_size_per_gpu": 1,
    "pipeline_stages": 1,
    "gradient_accumulation_steps": 1,
    "gradient_clipping": 1.0,
    "warmup_steps": 10,
    "activation_checkpointing": True,
    "save_every_n_epochs": 10,
    "checkpoint_every_n_minutes": 120,
    "steps_per_print": 1,
}
_ASPECTS = {"enable_ar_bucket": True, "num_ar_buckets": 7, "min_ar": 0.5, "max_ar": 2.0}
ADAMW = {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99], "weight_decay": 0.01, "eps": 1e-8}
KAHAN = {"type": "AdamW8bitKahan", "lr": 2e-5, "betas": [0.9, 0.99], "weight_decay": 0.01, "stabilize": False}
AUTOMAGIC = {"type": "automagic", "weight_decay": 0.01}
FLOAT8 = {"transformer_dtype": "float8"}
COMFY_FLOAT8 = {"diffusion_model_dtype": "float8"}


def preset(
    name: str,
    variant: str,
    tier_gb: int,
    title: str,
    source: str,
    resolution: int,
    *,
    rank: int | None = 32,
    model: Mapping[str, Any] | None = None,
    frames: tuple[int, ...] = (),
    optimizer: Mapping[str, Any] | None = None,
    known_memory_gb: float | None = None,
    precisions: Mapping[str, Precision] | None = None,
    **config: Any,
) -> Preset:
    """Return a preset, whose model type the registry adds; `rank` None means full fine-tuning."""
    adapter = {} if rank is None else {"adapter": {"type": "lora", "rank": rank, "dtype": "bfloat16"}}
    buckets = {"frame_buckets": list(frames)} if frames else {}
    return Preset(
        name=name,
        model_type="",
        variant=variant,
        tier_gb=tier_gb,
        title=title,
        source=source,
        model={"dtype": "bfloat16", **(model or {})},
        config={**_COMMON, **config, **adapter, "optimizer": dict(optimizer or ADAMW)},
        dataset={"resolutions": [resolution], **_ASPECTS, **buckets},
        env=_EXPANDABLE if tier_gb <= 24 else {},
        known_memory_gb=known_memory_gb,
        precisions=dict(precisions or {}),
    )


DOCS = "docs/supported_models.md"
BF16 = {"diffusion_model": Precision.BF16}


def estimated_preset(
    name: str, variant: str, title: str, section: str, precisions: Mapping[str, Precision], model: Mapping[str, Any]
) -> Preset:
    """Return a preset of documented settings for 24 GB without a source for their memory."""
    return preset(
        name,
        variant,
        24,
        f"{title}, 512 px; the memory is an estimate",
        f"{DOCS} ({section})",
        512,
        precisions=precisions,
        model=model,
    )
