"""How much free GPU memory training a LoRA needs, by the trainer's model type: a first table, to be told apart from
what a machine's own runs will have used.

`stated`: the trainer's documentation or examples say that it fits a board of that size (24 GB counts as 23,000 MB,
48 GB as 45,000 MB: what such a board has free). `estimated`: the weights of the smallest variant (2 bytes a parameter,
1 byte above 10 billion, as the trainer's `float8` does) and 4,000 MB for activations at 512 pixels, adapter and
optimizer.
"""

from enum import StrEnum


class ModelType(StrEnum):
    """The model types of the trainer, as its configuration spells them."""

    ANIMA = "anima"
    AURAFLOW = "auraflow"
    CHROMA = "chroma"
    COSMOS = "cosmos"
    COSMOS_PREDICT2 = "cosmos_predict2"
    ERNIE_IMAGE = "ernie_image"
    FLUX = "flux"
    FLUX2 = "flux2"
    HIDREAM = "hidream"
    HUNYUAN_IMAGE = "hunyuan_image"
    HUNYUAN_VIDEO = "hunyuan-video"
    HUNYUAN_VIDEO_15 = "hunyuan_video_15"
    IDEOGRAM4 = "ideogram4"
    KREA2 = "krea2"
    LTX_VIDEO = "ltx-video"
    LTX2 = "ltx2"
    LUMINA_2 = "lumina_2"
    MINIMAX_H3 = "minimax_h3"
    OMNIGEN2 = "omnigen2"
    QWEN_IMAGE = "qwen_image"
    SD3 = "sd3"
    SDXL = "sdxl"
    WAN = "wan"
    Z_IMAGE = "z_image"


#: Free GPU memory in MB that training a LoRA needs. Each row says whether it is stated or estimated.
TRAINING_MB: dict[ModelType, int] = {
    ModelType.ANIMA: 8_000,  # estimated: 2 billion parameters
    ModelType.AURAFLOW: 17_600,  # estimated: 6.8 billion
    ModelType.CHROMA: 21_800,  # estimated: 8.9 billion
    ModelType.COSMOS: 18_000,  # estimated: 7 billion
    ModelType.COSMOS_PREDICT2: 8_000,  # estimated: 2 billion; the 14 billion are stated to fit 24 GB
    ModelType.ERNIE_IMAGE: 20_000,  # estimated: 8 billion
    ModelType.FLUX: 16_000,  # estimated: 12 billion
    ModelType.FLUX2: 45_000,  # stated: 48 GB without block swapping
    ModelType.HIDREAM: 23_000,  # stated: 24 GB with block swapping
    ModelType.HUNYUAN_IMAGE: 21_000,  # estimated: 17 billion
    ModelType.HUNYUAN_VIDEO: 17_000,  # estimated: 13 billion
    ModelType.HUNYUAN_VIDEO_15: 20_600,  # estimated: 8.3 billion
    ModelType.IDEOGRAM4: 23_000,  # stated: 24 GB
    ModelType.KREA2: 23_000,  # stated: 24 GB, rank 32
    ModelType.LTX_VIDEO: 8_000,  # estimated: 2 billion
    ModelType.LTX2: 23_000,  # stated: 24 GB with all blocks swapped
    ModelType.LUMINA_2: 9_200,  # estimated: 2.6 billion
    ModelType.MINIMAX_H3: 23_000,  # stated: 24 GB
    ModelType.OMNIGEN2: 12_000,  # estimated: 4 billion
    ModelType.QWEN_IMAGE: 23_000,  # stated: 24 GB with block swapping
    ModelType.SD3: 9_000,  # estimated: 2.5 billion
    ModelType.SDXL: 9_200,  # estimated: 2.6 billion
    ModelType.WAN: 6_600,  # estimated: 1.3 billion; the 14 billion are stated to fit 24 GB
    ModelType.Z_IMAGE: 16_000,  # estimated: 6 billion
}


#: Those whose figure is stated for weights of which blocks are swapped already.
STATED_WITH_SWAP = frozenset({ModelType.HIDREAM, ModelType.LTX2, ModelType.MINIMAX_H3, ModelType.QWEN_IMAGE})


def models_that_fit(free_mb: int | None) -> tuple[str, ...]:
    """The model types whose LoRA training fits in this much free memory; none when it is unknown."""
    if free_mb is None:
        return ()
    return tuple(model.value for model, needed in TRAINING_MB.items() if needed <= free_mb)
