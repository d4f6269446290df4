"""Qwen-Image."""

from api.domain.models.base_model import ComponentNeed, Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import QWEN_VL, SPLIT, D, H, need, source
from api.trainers.diffusion_pipe.models.recipes import AUTOMAGIC, FLOAT8, preset

_QWEN_EDIT = "Comfy-Org/Qwen-Image-Edit_ComfyUI"


def _qwen(name: str, title: str, transformer: ComponentNeed) -> ModelVariant:
    vae = source("Qwen/Qwen-Image", "vae/diffusion_pytorch_model.safetensors", 0.25, D)
    return ModelVariant(
        name,
        title,
        (
            transformer,
            need("text_encoder_path", "the text encoder Qwen2.5-VL 7B", QWEN_VL, known_as="qwen-2.5-vl-7b"),
            need("vae_path", "the VAE of Qwen-Image in diffusers' naming", vae, known_as="vae-qwen-image"),
        ),
    )


MODEL = ModelDescription(
    model_type="qwen_image",
    title="Qwen-Image",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("transformer_blocks",), (60,)),
        alternatives=(("diffusers_path",), ("transformer_path", "text_encoder_path", "vae_path")),
        kinds={
            "diffusers_path": PathKind.DIRECTORY,
            "transformer_path": PathKind.WEIGHTS,
            "text_encoder_path": PathKind.WEIGHTS,
            "vae_path": PathKind.WEIGHTS,
        },
    ),
    memory=MemoryNeed(24, 48, "24 GB with 8 blocks swapped, float8, 640 px.", Origin.TRAINER_DOCS),
    memory_includes_swap=True,
    adapter=AdapterForm(("transformer_blocks",)),
    pipeline="QwenImage",
    removed_prefixes=(),
    reads_control_images=True,
    fits={
        "transformer_path": "qwen-image",
        "diffusers_path/text_encoder": "qwen-2.5-vl-7b",
        "diffusers_path/transformer": "qwen-image",
        "diffusers_path/vae": "vae-qwen-image",
        "text_encoder_path": "qwen-2.5-vl-7b",
        "vae_path": "vae-qwen-image",
    },
    variants=(
        _qwen(
            "base",
            "Qwen-Image",
            need(
                "transformer_path",
                "the transformer of Qwen-Image",
                source(
                    "Comfy-Org/Qwen-Image_ComfyUI", f"{SPLIT}/diffusion_models/qwen_image_bf16.safetensors", 40.9, H
                ),
                known_as="qwen-image",
            ),
        ),
        _qwen(
            "edit",
            "Qwen-Image-Edit",
            need(
                "transformer_path",
                "the transformer of Qwen-Image-Edit",
                source(_QWEN_EDIT, f"{SPLIT}/diffusion_models/qwen_image_edit_bf16.safetensors", 40.9, H),
                known_as="qwen-image",
                needs_name=True,
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "base",
            24,
            "float8, 8 blocks swapped, 640 px",
            "examples/qwen_image_24gb_vram.toml",
            640,
            model=FLOAT8,
            optimizer=AUTOMAGIC,
            blocks_to_swap=8,
            gradient_accumulation_steps=4,
            caching_batch_size=8,
        ),
    ),
)
