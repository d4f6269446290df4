"""AuraFlow, Pony V7."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import need, source

_PONY = "purplesmartai/pony-v7-base"

MODEL = ModelDescription(
    model_type="auraflow",
    title="AuraFlow, Pony V7",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("single_layers",), (32,)),
        alternatives=(("transformer_path", "text_encoder_path", "vae_path"),),
        kinds={"transformer_path": PathKind.FILE, "text_encoder_path": PathKind.WEIGHTS, "vae_path": PathKind.WEIGHTS},
        lora_only=True,
        keys=frozenset({"max_sequence_length"}),
        required=("max_sequence_length",),
    ),
    memory=MemoryNeed(24, None, "An estimate without reports.", Origin.UNVERIFIED),
    adapter=AdapterForm(
        ("joint_transformer_blocks", "single_transformer_blocks"), prefix="transformer.", is_of_diffusers=True
    ),
    removed_prefixes=("model.model.",),
    fits={
        "transformer_path": "auraflow",
        "text_encoder_path": "umt5-auraflow",
        "vae_path": "vae-sdxl-diffusers",
    },
    variants=(
        ModelVariant(
            "pony-v7",
            "Pony V7",
            (
                need(
                    "transformer_path",
                    "the transformer of Pony V7",
                    source(_PONY, "pony-v7-base.safetensors", 13.7),
                    known_as="auraflow",
                ),
                need(
                    "text_encoder_path",
                    "the text encoder of AuraFlow",
                    source(_PONY, "umt5_auraflow.fp16.safetensors", None),
                    known_as="umt5-auraflow",
                ),
                need(
                    "vae_path",
                    "the VAE of SDXL in diffusers' naming",
                    source("stabilityai/sdxl-vae", "diffusion_pytorch_model.safetensors", 0.33),
                    known_as="vae-sdxl-diffusers",
                ),
            ),
            settings={"max_sequence_length": 768},
        ),
    ),
)
