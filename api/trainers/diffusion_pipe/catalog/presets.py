"""Presets by model type and GPU memory, which are documented or were reported to work.

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
_ADAMW = {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99], "weight_decay": 0.01, "eps": 1e-8}
_KAHAN = {"type": "AdamW8bitKahan", "lr": 2e-5, "betas": [0.9, 0.99], "weight_decay": 0.01, "stabilize": False}
_AUTOMAGIC = {"type": "automagic", "weight_decay": 0.01}
_FLOAT8 = {"transformer_dtype": "float8"}
_COMFY_FLOAT8 = {"diffusion_model_dtype": "float8"}


def _preset(
    name: str,
    model_type: str,
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
    """Return a preset; `rank` None means full fine-tuning."""
    adapter = {} if rank is None else {"adapter": {"type": "lora", "rank": rank, "dtype": "bfloat16"}}
    buckets = {"frame_buckets": list(frames)} if frames else {}
    return Preset(
        name=name,
        model_type=model_type,
        variant=variant,
        tier_gb=tier_gb,
        title=title,
        source=source,
        model={"dtype": "bfloat16", **(model or {})},
        config={**_COMMON, **config, **adapter, "optimizer": dict(optimizer or _ADAMW)},
        dataset={"resolutions": [resolution], **_ASPECTS, **buckets},
        env=_EXPANDABLE if tier_gb <= 24 else {},
        known_memory_gb=known_memory_gb,
        precisions=dict(precisions or {}),
    )


_DOCS = "docs/supported_models.md"

_SDXL_RATES = {"unet_lr": 4e-5, "text_encoder_1_lr": 2e-5, "text_encoder_2_lr": 2e-5}


def _wan22(noise: str) -> Preset:
    """Return the preset of one of Wan 2.2's two models; the variant sets min_t and max_t."""
    return _preset(
        f"24gb-2.2-{noise}",
        "wan",
        f"2.2-t2v-a14b-{noise}",
        24,
        f"Wan 2.2 T2V, {noise} noise: float8, 32 blocks swapped, 65 frames at 512 px, as of Wan 2.1 14B",
        f"examples/wan_14b_min_vram.toml, {_DOCS} (Wan2.2)",
        512,
        model=_FLOAT8,
        frames=(1, 33, 65),
        optimizer=_KAHAN,
        blocks_to_swap=32,
        activation_checkpointing="unsloth",
    )


_BF16 = {"diffusion_model": Precision.BF16}

#: Documented settings for 24 GB without a source for their memory.
_ESTIMATED: tuple[tuple[str, str, str, str, str, Mapping[str, Precision], Mapping[str, Any]], ...] = (
    ("24gb-klein-4b", "flux2", "klein-4b", "Klein 4B base: bf16", "Flux 2, Klein 4b", _BF16, {"shift": 3}),
    ("24gb-klein-9b", "flux2", "klein-9b", "Klein 9B base: float8", "Flux 2, Klein 9b", {},
     {**_COMFY_FLOAT8, "shift": 3}),
    ("24gb", "z_image", "base", "bf16", "Z-Image", _BF16, {}),
    ("24gb-turbo", "z_image", "turbo", "Turbo with its training adapter: bf16", "Z-Image", _BF16, {}),
    ("24gb", "anima", "preview", "bf16, the LLM adapter is not trained", "Anima", {}, {"llm_adapter_lr": 0}),
    ("24gb", "sd3", "medium", "SD 3.5 Medium: bf16", "Stable Diffusion 3", {}, {}),
    ("24gb-large", "sd3", "large", "SD 3.5 Large: float8", "Stable Diffusion 3", {}, _FLOAT8),
)  # fmt: skip

PRESETS: tuple[Preset, ...] = (
    _preset(
        "24gb",
        "flux",
        "dev",
        24,
        "float8, 1024 px at rank 8",
        "tdrussell/diffusion-pipe#228",
        1024,
        rank=8,
        model={**_FLOAT8, "flux_shift": True},
    ),
    _preset(
        "24gb",
        "chroma",
        "hd",
        24,
        "float8, 512 px; losses of NaN are reported (#254, #291), so watch for them",
        "tdrussell/diffusion-pipe#254",
        512,
        model={**_FLOAT8, "flux_shift": True},
    ),
    _preset(
        "16gb",
        "wan",
        "2.1-t2v-14b",
        16,
        "float8, 38 blocks swapped, 17 frames at 512 px; needs 40 GB of RAM (#149)",
        "tdrussell/diffusion-pipe#153",
        512,
        model=_FLOAT8,
        frames=(1, 17),
        optimizer=_KAHAN,
        known_memory_gb=12.2,
        blocks_to_swap=38,
        activation_checkpointing="unsloth",
    ),
    _preset(
        "24gb",
        "wan",
        "2.1-t2v-14b",
        24,
        "float8, 32 blocks swapped, 65 frames at 512 px (#129)",
        "examples/wan_14b_min_vram.toml",
        512,
        model=_FLOAT8,
        frames=(1, 33, 65),
        optimizer=_KAHAN,
        blocks_to_swap=32,
        activation_checkpointing="unsloth",
    ),
    _preset(
        "48gb",
        "wan",
        "2.1-i2v-14b-480p",
        48,
        "2 blocks swapped, 33 and 61 frames; 120 to 180 s a step on an A6000",
        "tdrussell/diffusion-pipe#152",
        480,
        frames=(33, 61),
        optimizer={**_ADAMW, "lr": 6e-5},
        blocks_to_swap=2,
    ),
    _preset(
        "80gb",
        "wan",
        "2.1-t2v-14b",
        80,
        "bf16, 81 frames of 1280x720: close to the limit",
        "tdrussell/diffusion-pipe#153",
        960,
        precisions={"transformer_path": Precision.BF16},
        frames=(1, 81),
    ),
    _preset(
        "16gb",
        "hunyuan-video",
        "720p",
        16,
        "the fp8 file, float8, 20 blocks swapped, images of 512 px",
        "tdrussell/diffusion-pipe#149",
        512,
        precisions={"transformer_path": Precision.FP8},
        model=_FLOAT8,
        frames=(1,),
        blocks_to_swap=20,
    ),
    _preset(
        "24gb",
        "hunyuan-video",
        "720p",
        24,
        "float8, up to 512 px and 33 frames",
        "alisson-anjos/diffusion-pipe-ui#1",
        512,
        model=_FLOAT8,
        frames=(1, 33),
    ),
    _preset(
        "48gb",
        "hunyuan-video",
        "720p",
        48,
        "bf16, without float8",
        "tdrussell/diffusion-pipe#6",
        512,
        precisions={"transformer_path": Precision.BF16},
        frames=(1, 33),
        known_memory_gb=42,
    ),
    _wan22("low"),
    _wan22("high"),
    _preset(
        "24gb",
        "sdxl",
        "base-1.0",
        24,
        "a LoRA at 1024 px; the memory is an estimate: 16 GB is too little (#157), 48 GB suffices for full fine-tuning",
        f"{_DOCS} (SDXL)",
        1024,
        model=_SDXL_RATES,
    ),
    _preset(
        "48gb-full",
        "sdxl",
        "base-1.0",
        48,
        "full fine-tuning, without an adapter",
        "the trainer's documentation",
        1024,
        rank=None,
        model=_SDXL_RATES,
    ),
    _preset(
        "24gb",
        "qwen_image",
        "base",
        24,
        "float8, 8 blocks swapped, 640 px",
        "examples/qwen_image_24gb_vram.toml",
        640,
        model=_FLOAT8,
        optimizer=_AUTOMAGIC,
        blocks_to_swap=8,
        gradient_accumulation_steps=4,
        caching_batch_size=8,
    ),
    _preset(
        "24gb",
        "ltx2",
        "2.3-22b",
        24,
        "float8, 46 blocks swapped; low resolution, length and rank",
        "the trainer's documentation",
        384,
        rank=8,
        model=_COMFY_FLOAT8,
        frames=(1, 25),
        optimizer=_KAHAN,
        blocks_to_swap=46,
        activation_checkpointing="unsloth",
    ),
    _preset(
        "24gb",
        "hidream",
        "i1-full",
        24,
        "float8, 28 blocks swapped, on a 4090",
        "tdrussell/diffusion-pipe#268",
        1024,
        model=_FLOAT8,
        blocks_to_swap=28,
    ),
    _preset(
        "48gb",
        "hidream",
        "i1-full",
        48,
        "float8, no blocks swapped",
        "the trainer's documentation",
        1024,
        model=_FLOAT8,
    ),
    _preset(
        "24gb",
        "krea2",
        "raw",
        24,
        "float8, rank 32, 512 px",
        "the trainer's documentation",
        512,
        model=_COMFY_FLOAT8,
    ),
    _preset(
        "24gb",
        "ideogram4",
        "fp8",
        24,
        "the fp8 file, float8, 512 px",
        f"{_DOCS} (Ideogram4)",
        512,
        precisions={"diffusion_model": Precision.FP8},
        model={**_COMFY_FLOAT8, "shift": 3},
    ),
    _preset(
        "24gb",
        "minimax_h3",
        "fl2va",
        24,
        "the int8 file, 48 blocks swapped, compiled, cfg 4 (keeps the distillation), 512 px",
        "examples/minimax_h3_example.toml",
        512,
        precisions={"diffusion_model": Precision.INT8},
        model={"timestep_sample_method": "uniform", "shift": 8, "image_shift": 1, "cfg": 4},
        frames=(1, 34, 68, 102, 136),
        optimizer={**_ADAMW, "lr": 1e-4},
        blocks_to_swap=48,
        activation_checkpointing="unsloth",
        compile=True,
    ),
    _preset(
        "24gb",
        "cosmos_predict2",
        "14b",
        24,
        "float8_e5m2, the only small type that is known to work",
        "the trainer's documentation",
        512,
        model={"transformer_dtype": "float8_e5m2"},
    ),
    _preset(
        "48gb",
        "flux2",
        "dev",
        48,
        "float8, no blocks swapped; needs much RAM",
        f"{_DOCS} (Flux 2)",
        512,
        model={**_COMFY_FLOAT8, "shift": 3},
    ),
    *(
        _preset(
            name,
            model_type,
            variant,
            24,
            f"{title}, 512 px; the memory is an estimate",
            f"{_DOCS} ({section})",
            512,
            precisions=precisions,
            model=model,
        )
        for name, model_type, variant, title, section, precisions, model in _ESTIMATED
    ),
)
