"""HunyuanImage 2.1."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.description import FileHint, ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import BYT5, QWEN_VL, SPLIT, H, need, source

MODEL = ModelDescription(
    model_type="hunyuan_image",
    title="HunyuanImage 2.1",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (20, 40)),
        alternatives=(("transformer_path", "vae_path", "text_encoder_path", "byt5_path"),),
        kinds={
            "transformer_path": PathKind.WEIGHTS,
            "vae_path": PathKind.WEIGHTS,
            "text_encoder_path": PathKind.WEIGHTS,
            "byt5_path": PathKind.WEIGHTS,
        },
        round_to=32,
    ),
    memory=MemoryNeed(24, 48, "1024 px cost what 512 px cost elsewhere.", Origin.UNVERIFIED),
    needs=("flash-attn", "submodules/HunyuanImage-2.1"),
    removed_prefixes=(),
    hints={
        "transformer_path": (
            FileHint(
                "refiner",
                Reason.of("the refiner of HunyuanImage 2.1", "file_refiner"),
                Reason.of("Use hunyuanimage2.1.safetensors.", "advice_refiner"),
            ),
        )
    },
    fits={
        "transformer_path": "hunyuan-image",
        "byt5_path": "byt5-small-glyph",
        "text_encoder_path": "qwen-2.5-vl-7b",
        "vae_path": "vae-hunyuan-image",
    },
    variants=(
        ModelVariant(
            "2.1",
            "HunyuanImage 2.1",
            (
                need(
                    "transformer_path",
                    "the transformer of HunyuanImage 2.1",
                    source("tencent/HunyuanImage-2.1", "dit/hunyuanimage2.1.safetensors", 34.9, H),
                    known_as="hunyuan-image",
                ),
                need(
                    "vae_path",
                    "the VAE of HunyuanImage 2.1",
                    source(
                        "Comfy-Org/HunyuanImage_2.1_ComfyUI",
                        f"{SPLIT}/vae/hunyuan_image_2.1_vae_fp16.safetensors",
                        0.81,
                        H,
                    ),
                    known_as="vae-hunyuan-image",
                ),
                need("text_encoder_path", "the text encoder Qwen2.5-VL 7B", QWEN_VL, known_as="qwen-2.5-vl-7b"),
                need("byt5_path", "the text encoder ByT5", BYT5, known_as="byt5-small-glyph"),
            ),
        ),
    ),
)
