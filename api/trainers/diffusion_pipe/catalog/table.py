"""The trainer's model types in one table: what each can do, as the checks know it, and the memory that it needs."""

from collections.abc import Mapping

from api.models.catalog import CatalogModel, Medium, MemoryNeed, Origin
from api.trainers.diffusion_pipe.catalog.flux_family import FLUX_FAMILY
from api.trainers.diffusion_pipe.catalog.images import IMAGES
from api.trainers.diffusion_pipe.catalog.videos import VIDEOS
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.weights_check import most_swapped

_VARIANTS = {**FLUX_FAMILY, **IMAGES, **VIDEOS}

_TITLES = {
    "sdxl": "SDXL", "flux": "Flux.1", "chroma": "Chroma", "flux2": "Flux 2", "qwen_image": "Qwen-Image",
    "z_image": "Z-Image", "hunyuan_image": "HunyuanImage 2.1", "cosmos_predict2": "Cosmos Predict 2", "anima": "Anima",
    "lumina_2": "Lumina Image 2.0", "hidream": "HiDream-I1", "sd3": "Stable Diffusion 3.5", "omnigen2": "OmniGen2",
    "auraflow": "AuraFlow, Pony V7", "ernie_image": "ERNIE-Image", "ideogram4": "Ideogram 4", "krea2": "Krea 2",
    "wan": "Wan 2.1 and 2.2", "hunyuan-video": "HunyuanVideo", "hunyuan_video_15": "HunyuanVideo 1.5",
    "ltx-video": "LTX-Video", "ltx2": "LTX-2.3", "minimax_h3": "MiniMax H3", "cosmos": "Cosmos 1.0",
}  # fmt: skip

_DOCS, _REPORT, _OTHER, _GUESS = (
    Origin.TRAINER_DOCS,
    Origin.REPORT,
    Origin.OTHER_TRAINER,
    Origin.UNVERIFIED,
)

#: GB that a LoRA needs, and with room; and who says so.
_MEMORY: Mapping[str, MemoryNeed] = {
    "sdxl": MemoryNeed(24, 48, "16 GB ran out even at 512 px; 48 GB train it in full.", _REPORT),
    "flux": MemoryNeed(24, 48, "24 GB with float8; 1024 px only at a low rank.", _REPORT),
    "chroma": MemoryNeed(24, 48, "Its weights take 8.9 GB in float8.", _GUESS),
    "flux2": MemoryNeed(16, 48, "dev needs 48 GB without block swapping; Klein 9B some 24, Klein 4B 12 to 16.", _DOCS),
    "qwen_image": MemoryNeed(24, 48, "24 GB with 8 blocks swapped, float8, 640 px.", _DOCS),
    "z_image": MemoryNeed(16, 24, "Its weights take 12.3 GB in bf16, 6.2 in float8.", _GUESS),
    "wan": MemoryNeed(12, 24, "The 1.3B on 12 GB; the 14B on 24, on 16 with much RAM.", _REPORT),
    "hunyuan-video": MemoryNeed(16, 24, "24 GB; 16 with 20 blocks swapped.", _REPORT),
    "hunyuan_video_15": MemoryNeed(24, 48, "An estimate: nobody has reported it.", _GUESS),
    "hunyuan_image": MemoryNeed(24, 48, "1024 px cost what 512 px cost elsewhere.", _GUESS),
    "ltx-video": MemoryNeed(24, None, "An estimate: nobody has reported it.", _GUESS),
    "ltx2": MemoryNeed(24, 48, "24 GB barely: 46 blocks swapped, low resolution, length and rank.", _DOCS),
    "minimax_h3": MemoryNeed(24, 48, "24 GB with 48 blocks swapped and int8 weights.", _DOCS),
    "cosmos": MemoryNeed(None, None, "Enormous for videos.", _DOCS),
    "cosmos_predict2": MemoryNeed(12, 24, "The 14B on 24 GB needs float8_e5m2.", _DOCS),
    "anima": MemoryNeed(12, 24, "An estimate: nobody has reported it.", _GUESS),
    "lumina_2": MemoryNeed(24, 24, "In full at 1024 px on 24 GB with an 8-bit optimizer.", _DOCS),
    "hidream": MemoryNeed(24, 48, "48 GB without block swapping, 24 with.", _DOCS),
    "sd3": MemoryNeed(24, None, "An estimate: nobody has reported it.", _GUESS),
    "omnigen2": MemoryNeed(24, None, "An estimate: nobody has reported it.", _GUESS),
    "auraflow": MemoryNeed(24, None, "An estimate: nobody has reported it.", _GUESS),
    "ernie_image": MemoryNeed(24, None, "An estimate: nobody has reported it.", _GUESS),
    "ideogram4": MemoryNeed(24, 24, "24 GB; another trainer measured 15.6 GiB at 1024 px in fp8, rank 32.", _DOCS),
    "krea2": MemoryNeed(24, 48, "24 GB at rank 32, 512 px, float8; another trainer measured 31 GiB in bf16.", _DOCS),
}

#: What the trainer's environment needs beyond its requirements.
_FLASH = "flash-attn"
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "wan": (_FLASH,),
    "hunyuan-video": (_FLASH, "submodules/HunyuanVideo"),
    "hunyuan_image": (_FLASH, "submodules/HunyuanImage-2.1"),
    "lumina_2": (_FLASH, "submodules/Lumina_2"),
    "hidream": (_FLASH, "submodules/HiDream"),
    "ltx-video": ("submodules/LTX_Video",),
    "cosmos": ("transformer_engine", "submodules/Cosmos"),
    "chroma": ("submodules/flow",),
    "omnigen2": ("submodules/OmniGen2",),
    "minimax_h3": ("av 16 or newer",),
}


def _model(model_type: str) -> CatalogModel:
    facts = MODELS[model_type]
    swap = facts.swap
    return CatalogModel(
        model_type=model_type,
        title=_TITLES[model_type],
        medium=Medium.VIDEO if model_type in VIDEOS else Medium.IMAGE,
        variants=_VARIANTS[model_type],
        memory=_MEMORY[model_type],
        supports_full=not facts.lora_only,
        supports_fp8=facts.dtype_key is not None,
        most_swapped=None if swap is None or swap.blocks is None else most_swapped(swap.blocks),
        swap_is_counted=swap is not None and (swap.blocks is None or not swap.is_certain),
        needs=_NEEDS.get(model_type, ()),
    )


#: Every model type by its name.
CATALOG: Mapping[str, CatalogModel] = {model_type: _model(model_type) for model_type in sorted(MODELS)}
