"""Flux 2."""

from api.domain.models.base_model import ComponentNeed, Medium, MemoryNeed, ModelVariant, Origin
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, FileHint, ModelDescription, PathKind
from api.trainers.diffusion_pipe.models.parts import FLUX2_VAE, SPLIT, need, source
from api.trainers.diffusion_pipe.models.recipes import BF16, COMFY_FLOAT8, DOCS, estimated_preset, preset


def _flux2(name: str, title: str, main: ComponentNeed, encoder: ComponentNeed) -> ModelVariant:
    return ModelVariant(name, title, (main, FLUX2_VAE, encoder))


def _encoder(title: str, *sources: str, known_as: str, size_gb: float | None = None) -> ComponentNeed:
    found = tuple(
        source(repository, path, size_gb) for repository, _, path in (each.partition(" : ") for each in sources)
    )
    return need("text_encoders", title, *found, known_as=known_as)


_FLUX2_DEV = need(
    "diffusion_model",
    "the transformer of Flux 2 dev",
    source("Comfy-Org/flux2-dev", f"{SPLIT}/diffusion_models/flux2_dev_fp8mixed.safetensors", 35),
    source("black-forest-labs/FLUX.2-dev", "flux2-dev.safetensors", 64),
    known_as="flux2-dev",
    gated=False,
)

_KLEIN_4B = need(
    "diffusion_model",
    "the transformer of Flux 2 Klein 4B (base)",
    source("black-forest-labs/FLUX.2-klein-base-4B", "flux-2-klein-base-4b.safetensors", 7.8),
    known_as="flux2-klein-4b",
    license="Apache-2.0",
)

_KLEIN_9B = need(
    "diffusion_model",
    "the transformer of Flux 2 Klein 9B (base)",
    source("black-forest-labs/FLUX.2-klein-base-9B", "flux-2-klein-base-9b.safetensors", 18),
    known_as="flux2-klein-9b",
    gated=True,
    license="non-commercial",
)

MODEL = ModelDescription(
    model_type="flux2",
    title="Flux 2",
    medium=Medium.IMAGE,
    facts=ComfyModel({"diffusion_model": PathKind.SAFETENSORS, "vae": PathKind.COMFY}).facts(
        "double_blocks single_blocks", None, "flux2"
    ),
    memory=MemoryNeed(
        16, 48, "dev needs 48 GB without block swapping; Klein 9B some 24, Klein 4B 12 to 16.", Origin.TRAINER_DOCS
    ),
    adapter=AdapterForm(("double_blocks", "single_blocks"), block="layer"),
    reads_control_images=True,
    hints={
        "diffusion_model": (
            FileHint(
                "klein",
                Reason.of("the distilled Klein", "file_klein"),
                Reason.of("Use the base model, flux-2-klein-base-….", "advice_klein"),
                unless="base",
            ),
        )
    },
    fits={
        "diffusion_model": "flux2-dev flux2-klein-9b flux2-klein-4b",
        "text_encoders": "qwen-3-4b qwen-3-8b mistral-small-3",
        "vae": "vae-flux2",
    },
    variants=(
        _flux2(
            "klein-4b",
            "Flux 2 Klein 4B",
            _KLEIN_4B,
            _encoder(
                "the text encoder Qwen3 4B",
                f"Comfy-Org/z_image_turbo : {SPLIT}/text_encoders/qwen_3_4b.safetensors",
                known_as="qwen-3-4b",
                size_gb=8.0,
            ),
        ),
        _flux2(
            "klein-9b",
            "Flux 2 Klein 9B",
            _KLEIN_9B,
            _encoder(
                "the text encoder Qwen3 8B",
                f"Comfy-Org/Flux-2-Klein-9B : {SPLIT}/text_encoders/qwen_3_8b.safetensors",
                known_as="qwen-3-8b",
                size_gb=16.4,
            ),
        ),
        _flux2(
            "dev",
            "Flux 2 dev",
            _FLUX2_DEV,
            _encoder(
                "the text encoder Mistral Small 3",
                f"Comfy-Org/flux2-dev : {SPLIT}/text_encoders/mistral_3_small_flux2_fp8.safetensors",
                f"Comfy-Org/flux2-dev : {SPLIT}/text_encoders/mistral_3_small_flux2_bf16.safetensors",
                known_as="mistral-small-3",
                size_gb=None,
            ),
        ),
    ),
    presets=(
        preset(
            "48gb",
            "dev",
            48,
            "float8, no blocks swapped; needs much RAM",
            f"{DOCS} (Flux 2)",
            512,
            model={**COMFY_FLOAT8, "shift": 3},
        ),
        estimated_preset("24gb-klein-4b", "klein-4b", "Klein 4B base: bf16", "Flux 2, Klein 4b", BF16, {"shift": 3}),
        estimated_preset(
            "24gb-klein-9b", "klein-9b", "Klein 9B base: float8", "Flux 2, Klein 9b", {}, {**COMFY_FLOAT8, "shift": 3}
        ),
    ),
)
