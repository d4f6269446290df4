"""Cosmos Predict 2."""

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
from api.trainers.diffusion_pipe.models.parts import OLD_T5, WAN_VAE, H, need, source
from api.trainers.diffusion_pipe.models.recipes import preset


def _predict2(size: str, size_gb: float) -> ModelVariant:
    repackaged = source("Comfy-Org/Cosmos_Predict2_repackaged", f"cosmos_predict2_{size}_t2i.safetensors", size_gb, H)
    return ModelVariant(
        size.lower(),
        f"Cosmos Predict 2 {size}",
        (
            need(
                "transformer_path",
                f"the transformer of Cosmos Predict 2 {size}",
                repackaged,
                known_as=f"cosmos-predict2-{size.lower()}",
            ),
            WAN_VAE,
            need("t5_path", "the text encoder T5-XXL of the first version", OLD_T5, known_as="t5-xxl-old"),
        ),
    )


MODEL = ModelDescription(
    model_type="cosmos_predict2",
    title="Cosmos Predict 2",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("blocks",), None, is_certain=False),
        alternatives=(("transformer_path", "vae_path", "t5_path"), ("transformer_path", "vae_path", "llm_path")),
        kinds=PREDICT2_KINDS,
        framerate=16,
        keys=PREDICT2_KEYS,
        caches_text=False,
        has_group_rates=True,
        passes_rates_on=True,
    ),
    memory=MemoryNeed(12, 24, "The 14B on 24 GB needs float8_e5m2.", Origin.TRAINER_DOCS),
    adapter=AdapterForm(("blocks",), first=2),
    removed_prefixes=(COMFY_PREFIX, "net."),
    fits={
        "transformer_path": "cosmos-predict2-2b cosmos-predict2-14b",
        "llm_path": "qwen-3-0.6b",
        "t5_path": "t5-xxl-old",
        "vae_path": "vae-wan-2.1",
    },
    variants=(_predict2("2B", 3.9), _predict2("14B", 28.5)),
    presets=(
        preset(
            "24gb",
            "14b",
            24,
            "float8_e5m2, the only small type that is known to work",
            "the trainer's documentation",
            512,
            model={"transformer_dtype": "float8_e5m2"},
        ),
    ),
)
