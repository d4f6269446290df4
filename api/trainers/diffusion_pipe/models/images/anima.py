"""Anima."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.files.weights.header import COMFY_PREFIX
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import (
    PREDICT2_KEYS,
    PREDICT2_KINDS,
    ModelDescription,
    ModelFacts,
    Swap,
)
from api.trainers.diffusion_pipe.models.parts import ANIMA, SPLIT, H, need, source
from api.trainers.diffusion_pipe.models.recipes import estimated_preset

MODEL = ModelDescription(
    model_type="anima",
    title="Anima",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("blocks",), (28,), is_certain=False),
        alternatives=(("transformer_path", "vae_path", "llm_path"),),
        kinds=PREDICT2_KINDS,
        framerate=16,
        keys=PREDICT2_KEYS,
        caches_text=False,
        has_group_rates=True,
        passes_rates_on=True,
    ),
    memory=MemoryNeed(12, 24, "An estimate without reports.", Origin.UNVERIFIED),
    adapter=AdapterForm(("blocks",), first=2),
    removed_prefixes=(COMFY_PREFIX, "net."),
    fits={
        "transformer_path": "anima",
        "llm_adapter_path": "anima-llm-adapter",
        "llm_path": "qwen-3-0.6b",
        "vae_path": "vae-wan-2.1",
    },
    variants=(
        ModelVariant(
            "preview",
            "Anima",
            (
                need(
                    "transformer_path",
                    "the transformer of Anima",
                    source(ANIMA, f"{SPLIT}/diffusion_models/anima-preview.safetensors", 4.18, H),
                    source(ANIMA, f"{SPLIT}/diffusion_models/anima-base-v1.0.safetensors", 4.18, H),
                    known_as="anima",
                    license="non-commercial",
                ),
                need(
                    "vae_path",
                    "the VAE of Qwen-Image in ComfyUI's naming",
                    source(ANIMA, f"{SPLIT}/vae/qwen_image_vae.safetensors", 0.25, H),
                    known_as="vae-wan-2.1",
                ),
                need(
                    "llm_path",
                    "the text encoder Qwen3 0.6B",
                    source(ANIMA, f"{SPLIT}/text_encoders/qwen_3_06b_base.safetensors", 1.19, H),
                    known_as="qwen-3-0.6b",
                ),
            ),
        ),
    ),
    presets=(
        estimated_preset("24gb", "preview", "bf16, the LLM adapter is not trained", "Anima", {}, {"llm_adapter_lr": 0}),
    ),
)
