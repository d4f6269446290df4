"""LTX-2.3."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import SPLIT, H, need, source
from api.trainers.diffusion_pipe.models.recipes import COMFY_FLOAT8, KAHAN, preset

MODEL = ModelDescription(
    model_type="ltx2",
    title="LTX-2.3",
    medium=Medium.VIDEO,
    facts=ModelFacts(
        swap=Swap("diffusion_model", ("transformer_blocks",), (48,), is_certain=False),
        comfy=True,
        frame_step=8,
        alternatives=(("diffusion_model", "text_encoder"),),
        kinds={"diffusion_model": PathKind.SAFETENSORS, "text_encoder": PathKind.COMFY},
        framerate=24,
        pixels_to=32,
        keys=frozenset({"merge_adapters"}),
        dtype_key="diffusion_model_dtype",
    ),
    memory=MemoryNeed(24, 48, "24 GB barely: 46 blocks swapped, low resolution, length and rank.", Origin.TRAINER_DOCS),
    memory_includes_swap=True,
    adapter=AdapterForm(("transformer_blocks",), block="layer"),
    fits={
        "diffusion_model": "ltx-2.3",
        "text_encoder": "gemma-3-12b",
    },
    variants=(
        ModelVariant(
            "2.3-22b",
            "LTX-2.3 22B",
            (
                need(
                    "diffusion_model",
                    "a checkpoint of LTX-2.3",
                    source("Lightricks/LTX-2.3", "ltx-2.3-22b-dev.safetensors", 46),
                    known_as="ltx-2.3",
                ),
                need(
                    "text_encoder",
                    "the text encoder Gemma 3 12B",
                    source("Comfy-Org/ltx-2", f"{SPLIT}/text_encoders/gemma_3_12B_it_fp4_mixed.safetensors", 9.45, H),
                    known_as="gemma-3-12b",
                ),
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "2.3-22b",
            24,
            "float8, 46 blocks swapped; low resolution, length and rank",
            "the trainer's documentation",
            384,
            rank=8,
            model=COMFY_FLOAT8,
            frames=(1, 25),
            optimizer=KAHAN,
            blocks_to_swap=46,
            activation_checkpointing="unsloth",
        ),
    ),
)
