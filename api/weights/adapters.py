"""What an adapter's tensors tell: its kind, its rank, how they are named, what they were trained on, who reads them.

Names by the trainer's `models/*.py` (`save_adapter`) and `utils/saver.py`, commit 8f83dbf.
"""

from api.models.weights import AdapterFacts, AdapterKind
from api.weights.header import Header

_LOKR, _LOHA = ".lokr_", ".hada_w"
_LORA = (".lora_A.weight", ".lora_B.weight", ".lora_down.weight", ".lora_up.weight", ".lora_A.default.weight")

#: The side of a tensor that is the rank, by the end of its name.
_RANK_SIDES = {".lora_A.weight": 0, ".lora_down.weight": 0, ".lora_B.weight": 1, ".lora_up.weight": 1}

#: By a part of the names, and by the width of what it is put on (None: any), the model type; the first that occurs
#: holds. Names that several types share are told by the width, or are not here.
_MODELS = (
    ("lora_te2_", None, "sdxl"),
    ("transformer.double_blocks.", None, "hunyuan-video"),
    (".img_attn.qkv.", 3584, "hunyuan_image"),
    (".img_attn.qkv.", 6144, "flux2"),
    (".img_attn.qkv.", 4096, "flux2"),
    ("transformer.single_transformer_blocks.", 3072, "flux"),
    (".self_attn.q.", None, "wan"),
    ("noise_refiner.", 3840, "z_image"),
    ("noise_refiner.", 2304, "lumina_2"),
    (".llm_adapter.", None, "anima"),
    ("txtfusion.", None, "krea2"),
    ("video_patch_proj", None, "minimax_h3"),
)

#: Of them those whose names no other model has, whoever wrote the adapter.
CERTAIN_MODELS = ("hunyuan_image", "flux2", "wan", "z_image", "lumina_2", "anima", "krea2", "minimax_h3")

#: The side of a tensor that is as wide as what the adapter is put on.
_WIDTH_SIDES = {".lora_A.weight": 1, ".lora_down.weight": 1}

_BOTH, _COMFY = ("ComfyUI", "diffusers"), ("ComfyUI",)


def read_adapter(header: Header) -> AdapterFacts | None:
    """What an adapter is; None for a file that is none, as most of its tensors are of no adapter."""
    kind = _kind(header)
    if kind is None:
        return None
    ranks = {shape[side] for shape, side in _ranked(header) if len(shape) > side}
    keys = _keys(header)
    return AdapterFacts(
        kind=kind,
        rank=ranks.pop() if len(ranks) == 1 else None,
        keys=keys,
        model_type=_model_type(header),
        readers=_BOTH if keys in ("diffusers", "kohya") else _COMFY,
    )


def _kind(header: Header) -> AdapterKind | None:
    names = header.shapes
    if not any(".lora_" in name or ".lokr_" in name or ".hada_" in name for name in names):
        return None
    for kind, marks in ((AdapterKind.LORA, _LORA), (AdapterKind.LOKR, (_LOKR,)), (AdapterKind.LOHA, (_LOHA,))):
        count = sum(any(mark in name for mark in marks) for name in names)
        # Scales (`.alpha`) stand beside two tensors each; a model with a few such names is none.
        if count * 2 >= len(names) > 0 and count:
            return kind
    return None


def _ranked(header: Header) -> list[tuple[tuple[int, ...], int]]:
    return [
        (shape, side)
        for name, shape in header.shapes.items()
        for end, side in _RANK_SIDES.items()
        if name.endswith(end)
    ]


def _keys(header: Header) -> str:
    if header.has_key_starting("lora_unet_") or header.has_key_starting("lora_te"):
        return "kohya"
    if "diffusion_model." in header.prefixes:
        return "comfyui"
    if header.has_key_starting("transformer.double_blocks."):
        return "original"
    return "diffusers" if header.has_key_starting("transformer.") or header.has_key_starting("unet.") else "original"


def _model_type(header: Header) -> str | None:
    widths = {
        (name, shape[side])
        for name, shape in header.shapes.items()
        for end, side in _WIDTH_SIDES.items()
        if name.endswith(end) and len(shape) > side
    }
    for mark, width, model in _MODELS:
        if width is None and any(mark in name for name in header.shapes):
            return model
        if any(mark in name and width == wide for name, wide in widths):
            return model
    return None
