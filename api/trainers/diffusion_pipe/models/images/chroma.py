"""Chroma."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import FLUX_DIFFUSERS, H, need, source
from api.trainers.diffusion_pipe.models.recipes import FLOAT8, preset

MODEL = ModelDescription(
    model_type="chroma",
    title="Chroma",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (19, 38)),
        alternatives=(("diffusers_path", "transformer_path"),),
        kinds={"diffusers_path": PathKind.PRETRAINED, "transformer_path": PathKind.FILE},
        fuses_adapters=True,
    ),
    memory=MemoryNeed(24, 48, "Its weights take 8.9 GB in float8.", Origin.UNVERIFIED),
    needs=("submodules/flow",),
    adapter=AdapterForm(("double_blocks", "single_blocks")),
    pipeline="Flux",
    removed_prefixes=(),
    fits={
        "transformer_path": "chroma",
        "diffusers_path/text_encoder": "clip-l",
        "diffusers_path/text_encoder_2": "t5-xxl",
        "diffusers_path/vae": "vae-flux-diffusers",
    },
    variants=(
        ModelVariant(
            "hd",
            "Chroma1-HD",
            (
                FLUX_DIFFUSERS,
                need(
                    "transformer_path",
                    "the transformer of Chroma",
                    source("lodestones/Chroma1-HD", "Chroma1-HD.safetensors", 17.8, H),
                    known_as="chroma",
                ),
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "hd",
            24,
            "float8, 512 px; losses of NaN are reported (#254, #291), so watch for them",
            "tdrussell/diffusion-pipe#254",
            512,
            model={**FLOAT8, "flux_shift": True},
        ),
    ),
)
