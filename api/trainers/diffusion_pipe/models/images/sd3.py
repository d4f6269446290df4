"""Stable Diffusion 3.5."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.parts import diffusers
from api.trainers.diffusion_pipe.models.recipes import FLOAT8, estimated_preset


def _sd3(size: str, size_gb: float) -> ModelVariant:
    repository = f"stabilityai/stable-diffusion-3.5-{size}"
    parts = diffusers(
        f"Stable Diffusion 3.5 {size} in diffusers' form",
        repository,
        size_gb,
        "StableDiffusion3Pipeline",
        "*.safetensors.fp16*",
        "sd3.5_*.safetensors",
        "text_encoders/*",
        gated=True,
    )
    return ModelVariant(size, f"Stable Diffusion 3.5 {size}", (parts,))


MODEL = ModelDescription(
    model_type="sd3",
    title="Stable Diffusion 3.5",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        alternatives=(("diffusers_path",),), kinds={"diffusers_path": PathKind.PRETRAINED}, lora_only=True
    ),
    memory=MemoryNeed(24, None, "An estimate without reports.", Origin.UNVERIFIED),
    adapter=AdapterForm(("transformer_blocks",), prefix="transformer.", is_of_diffusers=True),
    pipeline="StableDiffusion3",
    removed_prefixes=(),
    fits={
        "diffusers_path/text_encoder": "clip-l",
        "diffusers_path/text_encoder_2": "clip-g",
        "diffusers_path/text_encoder_3": "t5-xxl",
        "diffusers_path/transformer": "sd3",
        "diffusers_path/vae": "vae-flux-diffusers",
    },
    variants=(_sd3("medium", 16), _sd3("large", 27)),
    presets=(
        estimated_preset("24gb", "medium", "SD 3.5 Medium: bf16", "Stable Diffusion 3", {}, {}),
        estimated_preset("24gb-large", "large", "SD 3.5 Large: float8", "Stable Diffusion 3", {}, FLOAT8),
    ),
)
