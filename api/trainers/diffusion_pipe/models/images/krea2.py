"""Krea 2."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, FileHint, ModelDescription
from api.trainers.diffusion_pipe.models.parts import ANIMA, SPLIT, H, need, source
from api.trainers.diffusion_pipe.models.recipes import COMFY_FLOAT8, preset

MODEL = ModelDescription(
    model_type="krea2",
    title="Krea 2",
    medium=Medium.IMAGE,
    facts=ComfyModel().facts("blocks", 28, "krea2"),
    memory=MemoryNeed(
        24, 48, "24 GB at rank 32, 512 px, float8; another trainer measured 31 GiB in bf16.", Origin.TRAINER_DOCS
    ),
    adapter=AdapterForm(("blocks",), block="layer"),
    hints={
        "diffusion_model": (
            FileHint(
                "turbo",
                Reason.of("Krea 2 Turbo, which is distilled", "file_krea_turbo"),
                Reason.of("Train on krea2_raw.", "advice_krea_turbo"),
            ),
        )
    },
    fits={
        "diffusion_model": "krea2",
        "text_encoders": "qwen-3-vl-4b",
        "vae": "vae-wan-2.1",
    },
    variants=(
        ModelVariant(
            "raw",
            "Krea 2 Raw",
            (
                need(
                    "diffusion_model",
                    "the transformer of Krea 2 Raw",
                    source("Comfy-Org/Krea-2", "diffusion_models/krea2_raw_bf16.safetensors", 26.3, H),
                    source("Comfy-Org/Krea-2", "diffusion_models/krea2_raw_fp8_scaled.safetensors", 13.1, H),
                    known_as="krea2",
                    gated=False,
                ),
                need(
                    "vae",
                    "the VAE of Qwen-Image in ComfyUI's naming",
                    source(ANIMA, f"{SPLIT}/vae/qwen_image_vae.safetensors", 0.25, H),
                    known_as="vae-wan-2.1",
                ),
                need(
                    "text_encoders",
                    "the text encoder Qwen3-VL 4B",
                    source("Comfy-Org/Qwen3-VL", "text_encoders/qwen3vl_4b_bf16.safetensors", 8.88, H),
                    known_as="qwen-3-vl-4b",
                ),
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "raw",
            24,
            "float8, rank 32, 512 px",
            "the trainer's documentation",
            512,
            model=COMFY_FLOAT8,
        ),
    ),
)
