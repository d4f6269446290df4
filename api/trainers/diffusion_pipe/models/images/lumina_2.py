"""Lumina Image 2.0."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.files.weights.header import COMFY_PREFIX
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.parts import H, U, need, source

MODEL = ModelDescription(
    model_type="lumina_2",
    title="Lumina Image 2.0",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        dtype_key=None,
        unread=frozenset({"flux_shift"}),
        alternatives=(("transformer_path", "llm_path", "vae_path"),),
        kinds={"transformer_path": PathKind.SAFETENSORS, "llm_path": PathKind.FILE, "vae_path": PathKind.FILE},
        keys=frozenset({"lumina_shift"}),
    ),
    memory=MemoryNeed(24, 24, "In full at 1024 px on 24 GB with an 8-bit optimizer.", Origin.TRAINER_DOCS),
    needs=("flash-attn", "submodules/Lumina_2"),
    adapter=AdapterForm(("layers",)),
    removed_prefixes=(COMFY_PREFIX,),
    fits={
        "transformer_path": "lumina-2",
        "llm_path": "gemma-2-2b",
        "vae_path": "vae-flux-diffusers vae-flux",
    },
    variants=(
        ModelVariant(
            "2.0",
            "Lumina Image 2.0",
            tuple(
                need(key, title, source("Comfy-Org/Lumina_Image_2.0_Repackaged", path, size, origin), known_as=known)
                for key, title, path, size, origin, known in (
                    (
                        "transformer_path",
                        "the transformer of Lumina 2",
                        "lumina_2_model_bf16.safetensors",
                        5.2,
                        U,
                        "lumina-2",
                    ),
                    (
                        "llm_path",
                        "the text encoder Gemma 2 2B",
                        "gemma_2_2b_fp16.safetensors",
                        5.23,
                        H,
                        "gemma-2-2b",
                    ),
                    ("vae_path", "the VAE of Flux (ae)", "ae.safetensors", 0.34, U, "vae-flux"),
                )
            ),
        ),
    ),
)
