"""The catalog of model types: capabilities according to the checks, components, and memory."""

from collections.abc import Mapping
from dataclasses import replace

from api.domain.models.base_model import CatalogModel, Medium, ModelVariant
from api.domain.models.model_memory import MODEL_MEMORY, ModelType
from api.trainers.diffusion_pipe.catalog.flux_family import FLUX_FAMILY
from api.trainers.diffusion_pipe.catalog.images import IMAGES
from api.trainers.diffusion_pipe.catalog.videos import VIDEOS
from api.trainers.diffusion_pipe.checks.slots_check import loadable
from api.trainers.diffusion_pipe.checks.weights_check import most_swapped
from api.trainers.diffusion_pipe.models.model_types import MODELS

_VARIANTS = {**FLUX_FAMILY, **IMAGES, **VIDEOS}

_TITLES = {
    "sdxl": "SDXL", "flux": "Flux.1", "chroma": "Chroma", "flux2": "Flux 2", "qwen_image": "Qwen-Image",
    "z_image": "Z-Image", "hunyuan_image": "HunyuanImage 2.1", "cosmos_predict2": "Cosmos Predict 2", "anima": "Anima",
    "lumina_2": "Lumina Image 2.0", "hidream": "HiDream-I1", "sd3": "Stable Diffusion 3.5", "omnigen2": "OmniGen2",
    "auraflow": "AuraFlow, Pony V7", "ernie_image": "ERNIE-Image", "ideogram4": "Ideogram 4", "krea2": "Krea 2",
    "wan": "Wan 2.1 and 2.2", "hunyuan-video": "HunyuanVideo", "hunyuan_video_15": "HunyuanVideo 1.5",
    "ltx-video": "LTX-Video", "ltx2": "LTX-2.3", "minimax_h3": "MiniMax H3", "cosmos": "Cosmos 1.0",
}  # fmt: skip

#: Additional requirements of the trainer's environment.
_FLASH = "flash-attn"
NEEDS: Mapping[str, tuple[str, ...]] = {
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


def _loadable(model_type: str, variant: ModelVariant) -> ModelVariant:
    """Return the variant with the weight formats that the trainer loads for this type."""
    forms = loadable(model_type)
    return replace(variant, components=tuple(replace(need, loadable=forms) for need in variant.components))


def _model(model_type: str) -> CatalogModel:
    facts = MODELS[model_type]
    swap = facts.swap
    return CatalogModel(
        model_type=model_type,
        title=_TITLES[model_type],
        medium=Medium.VIDEO if model_type in VIDEOS else Medium.IMAGE,
        variants=tuple(_loadable(model_type, variant) for variant in _VARIANTS[model_type]),
        memory=MODEL_MEMORY[ModelType(model_type)],
        supports_full=not facts.lora_only,
        supports_fp8=facts.dtype_key is not None,
        most_swapped=None if swap is None or swap.blocks is None else most_swapped(swap.blocks),
        swap_is_counted=swap is not None and (swap.blocks is None or not swap.is_certain),
        needs=NEEDS.get(model_type, ()),
    )


#: Every model type by name.
CATALOG: Mapping[str, CatalogModel] = {model_type: _model(model_type) for model_type in sorted(MODELS)}
