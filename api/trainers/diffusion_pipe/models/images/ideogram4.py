"""Ideogram 4."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin, Precision
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, FileHint, ModelDescription
from api.trainers.diffusion_pipe.models.parts import FLUX2_VAE, H, need, source
from api.trainers.diffusion_pipe.models.recipes import COMFY_FLOAT8, DOCS, preset

MODEL = ModelDescription(
    model_type="ideogram4",
    title="Ideogram 4",
    medium=Medium.IMAGE,
    facts=ComfyModel().facts("layers", 34, "ideogram4"),
    memory=MemoryNeed(
        24, 24, "24 GB; another trainer measured 15.6 GiB at 1024 px in fp8, rank 32.", Origin.TRAINER_DOCS
    ),
    adapter=AdapterForm(("layers",), block="layer"),
    hints={
        "diffusion_model": (
            FileHint(
                "unconditional",
                Reason.of("the unconditional half of Ideogram 4", "file_ideogram_half"),
                Reason.of("Use ideogram4_fp8_scaled.safetensors.", "advice_ideogram_half"),
            ),
        )
    },
    fits={
        "diffusion_model": "ideogram4",
        "text_encoders": "qwen-3-vl-8b",
        "vae": "vae-flux2",
    },
    variants=(
        ModelVariant(
            "fp8",
            "Ideogram 4",
            (
                need(
                    "diffusion_model",
                    "the transformer of Ideogram 4",
                    source("Comfy-Org/Ideogram-4", "diffusion_models/ideogram4_fp8_scaled.safetensors", 9.28, H),
                    known_as="ideogram4",
                ),
                FLUX2_VAE,
                need(
                    "text_encoders",
                    "the text encoder Qwen3-VL 8B",
                    source("Comfy-Org/Ideogram-4", "text_encoders/qwen3vl_8b_fp8_scaled.safetensors", 10),
                    known_as="qwen-3-vl-8b",
                ),
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "fp8",
            24,
            "the fp8 file, float8, 512 px",
            f"{DOCS} (Ideogram4)",
            512,
            precisions={"diffusion_model": Precision.FP8},
            model={**COMFY_FLOAT8, "shift": 3},
        ),
    ),
)
