"""GPU memory needed to train a LoRA, by model type. Measured runs of this machine take precedence."""

from collections.abc import Mapping
from enum import StrEnum

from api.domain.models.base_model import MemoryNeed, Origin


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


_DOCS, _REPORT, _GUESS = Origin.TRAINER_DOCS, Origin.REPORT, Origin.UNVERIFIED

#: GB of the smallest sufficient GPU and of a comfortable one (nominal), and the source of both figures.
MODEL_MEMORY: Mapping[ModelType, MemoryNeed] = {
    ModelType.SDXL: MemoryNeed(24, 48, "16 GB ran out even at 512 px; 48 GB train it in full.", _REPORT),
    ModelType.FLUX: MemoryNeed(24, 48, "24 GB with float8; 1024 px only at a low rank.", _REPORT),
    ModelType.CHROMA: MemoryNeed(24, 48, "Its weights take 8.9 GB in float8.", _GUESS),
    ModelType.FLUX2: MemoryNeed(
        16, 48, "dev needs 48 GB without block swapping; Klein 9B some 24, Klein 4B 12 to 16.", _DOCS
    ),
    ModelType.QWEN_IMAGE: MemoryNeed(24, 48, "24 GB with 8 blocks swapped, float8, 640 px.", _DOCS),
    ModelType.Z_IMAGE: MemoryNeed(16, 24, "Its weights take 12.3 GB in bf16, 6.2 in float8.", _GUESS),
    ModelType.WAN: MemoryNeed(12, 24, "The 1.3B on 12 GB; the 14B on 24, on 16 with much RAM.", _REPORT),
    ModelType.HUNYUAN_VIDEO: MemoryNeed(16, 24, "24 GB; 16 with 20 blocks swapped.", _REPORT),
    ModelType.HUNYUAN_VIDEO_15: MemoryNeed(24, 48, "An estimate without reports.", _GUESS),
    ModelType.HUNYUAN_IMAGE: MemoryNeed(24, 48, "1024 px cost what 512 px cost elsewhere.", _GUESS),
    ModelType.LTX_VIDEO: MemoryNeed(24, None, "An estimate without reports.", _GUESS),
    ModelType.LTX2: MemoryNeed(24, 48, "24 GB barely: 46 blocks swapped, low resolution, length and rank.", _DOCS),
    ModelType.MINIMAX_H3: MemoryNeed(24, 48, "24 GB with 48 blocks swapped and int8 weights.", _DOCS),
    ModelType.COSMOS: MemoryNeed(None, None, "Enormous for videos.", _DOCS),
    ModelType.COSMOS_PREDICT2: MemoryNeed(12, 24, "The 14B on 24 GB needs float8_e5m2.", _DOCS),
    ModelType.ANIMA: MemoryNeed(12, 24, "An estimate without reports.", _GUESS),
    ModelType.LUMINA_2: MemoryNeed(24, 24, "In full at 1024 px on 24 GB with an 8-bit optimizer.", _DOCS),
    ModelType.HIDREAM: MemoryNeed(24, 48, "48 GB without block swapping, 24 with.", _DOCS),
    ModelType.SD3: MemoryNeed(24, None, "An estimate without reports.", _GUESS),
    ModelType.OMNIGEN2: MemoryNeed(24, None, "An estimate without reports.", _GUESS),
    ModelType.AURAFLOW: MemoryNeed(24, None, "An estimate without reports.", _GUESS),
    ModelType.ERNIE_IMAGE: MemoryNeed(24, None, "An estimate without reports.", _GUESS),
    ModelType.IDEOGRAM4: MemoryNeed(
        24, 24, "24 GB; another trainer measured 15.6 GiB at 1024 px in fp8, rank 32.", _DOCS
    ),
    ModelType.KREA2: MemoryNeed(
        24, 48, "24 GB at rank 32, 512 px, float8; another trainer measured 31 GiB in bf16.", _DOCS
    ),
}

#: Model types whose figure already assumes swapped blocks.
STATED_WITH_SWAP = frozenset({ModelType.HIDREAM, ModelType.LTX2, ModelType.MINIMAX_H3, ModelType.QWEN_IMAGE})

#: Free MB per nominal GB of a GPU: 15,040 of a 16 GB T4, 22,560 of a 24 GB A10G, 45,120 of a 48 GB L40S.
_FREE_MB_PER_GB = 940


def training_mb(model_type: ModelType) -> int | None:
    """Return the free GPU memory in MB needed to train a LoRA, or None if no source gives a figure."""
    least = MODEL_MEMORY[model_type].least_gb
    return None if least is None else int(least * _FREE_MB_PER_GB)


def models_that_fit(free_mb: int | None) -> tuple[str, ...]:
    """Return the model types whose LoRA training fits in this free memory. None as memory gives an empty tuple."""
    if free_mb is None:
        return ()
    return tuple(model.value for model in ModelType if (needed := training_mb(model)) is not None and needed <= free_mb)
