"""Cosmos 1.0."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.description import (
    TIMESTEPS,
    ModelDescription,
    ModelFacts,
    PathKind,
)
from api.trainers.diffusion_pipe.models.parts import OLD_T5, need, source

_COSMOS = "comfyanonymous/cosmos_1.0_text_encoder_and_VAE_ComfyUI"

MODEL = ModelDescription(
    model_type="cosmos",
    title="Cosmos 1.0",
    medium=Medium.VIDEO,
    facts=ModelFacts(
        dtype_key=None,
        unread=TIMESTEPS,
        frame_step=8,
        alternatives=(("transformer_path", "vae_path", "text_encoder_path"),),
        kinds={"transformer_path": PathKind.FILE, "vae_path": PathKind.FILE, "text_encoder_path": PathKind.FILE},
        lora_only=True,
        framerate=24,
    ),
    memory=MemoryNeed(None, None, "Enormous for videos.", Origin.TRAINER_DOCS),
    needs=("transformer_engine", "submodules/Cosmos"),
    removed_prefixes=(),
    has_own_loss=True,
    fits={
        "transformer_path": "cosmos",
        "text_encoder_path": "t5-xxl-old",
        "vae_path": "vae-cosmos",
    },
    variants=(
        ModelVariant(
            "1.0-7b",
            "Cosmos 1.0 7B",
            (
                need(
                    "transformer_path",
                    "the transformer of Cosmos 1.0 7B",
                    known_as="cosmos",
                ),
                need("vae_path", "the VAE of Cosmos 1.0", source(_COSMOS, "vae/cosmos_cv8x8x8_1.0.safetensors", 0.2)),
                need("text_encoder_path", "the text encoder T5-XXL (old)", OLD_T5, known_as="t5-xxl-old"),
            ),
        ),
    ),
)
