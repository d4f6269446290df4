"""Identify an adapter by its tensors: kind, rank, naming of layers, base model, and programs that can load it.

Sources of the names: the trainer's `models/*.py` (`save_adapter`) and `utils/saver.py`, commit 8f83dbf; kohya's
sd-scripts and musubi-tuner, which write a layer's path with underscores after `lora_unet_`; LyCORIS (LoKr, LoHa,
DoRA).
"""

import re
from collections.abc import Iterator, Mapping

from api.domain.models.weights import AdapterFacts, AdapterKind
from api.files.weights.header import Header

_LORA = (".lora_A.weight", ".lora_B.weight", ".lora_down.weight", ".lora_up.weight", ".lora_A.default.weight")
_DORA = (".dora_scale", ".lora_magnitude_vector")
_KINDS = (
    (AdapterKind.LORA, _LORA),
    (AdapterKind.LOKR, (".lokr_",)),
    (AdapterKind.LOHA, (".hada_w",)),
)

#: The dimension of a tensor that is the rank, by the end of its name.
_RANK_SIDES = {
    ".lora_A.weight": 0, ".lora_down.weight": 0, ".lora_B.weight": 1, ".lora_up.weight": 1, ".lora_A.default.weight": 0,
    ".hada_w1_b": 0, ".hada_w2_b": 0, ".lokr_w2_b": 0,
}  # fmt: skip

#: Tensors whose second dimension is the width of the adapted layer; for a LoKr it is the product of two of them.
_WIDTHS = (".lora_A.weight", ".lora_down.weight", ".lora_A.default.weight", ".hada_w1_b")
_FACTORS = ((".lokr_w1", ".lokr_w1_b"), (".lokr_w2", ".lokr_w2_b"))

#: The prefix of a layer's path, and the rest of a tensor's name after it.
_PREFIX = re.compile(r"(?:base_model\.model\.)?(?:lora_unet_|lycoris_|transformer\.|diffusion_model\.|unet\.)?")
_END = re.compile(r"\.(?:lora_|lokr_|hada_|dora_scale|alpha|diff(?:_b)?$)")
_NUMBER = re.compile(r"[0-9]+")

#: Most different layers that are examined, without their numbers; the largest model has about 60.
_MOST_LAYERS = 2_000

#: Rows of: pattern for a layer's path (underscores, `#` for each number), possible widths (empty: any), model type, and
#: whether no other model has such layers. The first matching row counts.
_MODELS: tuple[tuple[str, tuple[int, ...], str, bool], ...] = (
    ("(?:input|output|middle|down|up|mid)_blocks?_.*attn#_to_[kv]$", (2048,), "sdxl", True),
    ("llm_adapter_", (), "anima", True),
    ("txtfusion_", (), "krea2", True),
    ("(?:video|audio)_patch_proj", (), "minimax_h3", True),
    ("blocks_#_attn_qkv_proj$", (), "minimax_h3", False),
    ("distilled_guidance_layer_", (), "chroma", True),
    ("(?:double|single)_stream_modulation_|single_transformer_blocks_#_attn_to_qkv_mlp_proj$", (), "flux2", True),
    ("double_stream_blocks_#_|single_stream_blocks_#_block_", (), "hidream", True),
    ("joint_transformer_blocks_#_|double_layers_#_", (), "auraflow", True),
    ("joint_blocks_#_", (), "sd3", True),
    ("transformer_blocks_#_attn_add_[qkv]_proj$", (1536, 2432), "sd3", True),
    ("transformer_blocks_#_(?:img|txt)_(?:mod|mlp)_", (), "qwen_image", True),
    ("transformer_blocks_#_audio_", (), "ltx2", True),
    ("transformer_blocks_#_attn#_to_[kqv]$", (2048, 4096), "ltx-video", False),
    ("double_blocks_#_img_attn_qkv$", (3584,), "hunyuan_image", True),
    ("double_blocks_#_img_attn_qkv$", (4096, 6144), "flux2", True),
    ("double_blocks_#_img_attn_(?:qkv|[qkv])$", (2048,), "hunyuan_video_15", True),
    ("double_blocks_#_(?:img|txt)_mod_lin$|single_blocks_#_modulation_lin$", (3072,), "flux", False),
    ("double_blocks_#_(?:img|txt)_(?:mlp_fc#|mod_linear)$", (3072,), "hunyuan-video", False),
    ("blocks_#_(?:self|cross)_attn_(?:[qkvo]|k_img|v_img)$", (), "wan", True),
    ("blocks_#_attn#_to_[qkv]$", (1536, 3072, 5120), "wan", True),
    ("(?:noise_refiner|layers)_#_attention_", (3840,), "z_image", True),
    ("(?:noise_refiner|layers)_#_attention_", (2304,), "lumina_2", True),
    ("layers_#_mlp_linear_fc#$", (), "ernie_image", True),
    ("blocks_block#_blocks_#_", (), "cosmos", True),
)

#: The same by the start of complete names, where underscores would hide the difference.
_BEGINNINGS = (
    ("transformer.double_blocks.", "hunyuan-video"),
    ("transformer.single_transformer_blocks.", "flux"),
    ("lycoris_single_transformer_blocks_", "flux"),
    ("lora_te2_", "sdxl"),
)

_BOTH, _COMFY = ("ComfyUI", "diffusers"), ("ComfyUI",)


def read_adapter(header: Header) -> AdapterFacts | None:
    """Return the facts about an adapter; None if most tensors of the file do not belong to one."""
    kind = _kind(header)
    if kind is None:
        return None
    ranks = {
        shape[side]
        for name, shape in header.shapes.items()
        for end, side in _RANK_SIDES.items()
        if name.endswith(end) and len(shape) > side
    }
    keys = _keys(header)
    model_type, is_certain = _base_model(header)
    return AdapterFacts(
        kind=kind,
        rank=ranks.pop() if len(ranks) == 1 else None,
        keys=keys,
        model_type=model_type,
        readers=_BOTH if keys in ("diffusers", "kohya") else _COMFY,
        is_certain=is_certain,
    )


def _kind(header: Header) -> AdapterKind | None:
    counts = {kind: sum(any(mark in name for mark in marks) for name in header.shapes) for kind, marks in _KINDS}
    kind = max(counts, key=lambda each: counts[each])
    # Two tensors share each scale (`.alpha`); a model with only a few such names is not an adapter.
    if not counts[kind] or counts[kind] * 2 < len(header.shapes):
        return None
    is_dora = kind is AdapterKind.LORA and any(mark in name for name in header.shapes for mark in _DORA)
    return AdapterKind.DORA if is_dora else kind


def _keys(header: Header) -> str:
    if header.has_key_starting("lora_unet_") or header.has_key_starting("lora_te"):
        return "kohya"
    if header.has_key_starting("lycoris_"):
        return "lycoris"
    if "diffusion_model." in header.prefixes:
        return "comfyui"
    if header.has_key_starting("transformer.double_blocks."):
        return "original"
    return "diffusers" if header.has_key_starting("transformer.") or header.has_key_starting("unet.") else "original"


def _base_model(header: Header) -> tuple[str | None, bool]:
    """Return the model type that an adapter was trained on, and whether its layers match no other model."""
    layers = _widths(header.shapes)
    for pattern, widths, model_type, is_certain in _MODELS:
        fits = re.compile(pattern).match
        if any(fits(layer) and (not widths or found & set(widths)) for layer, found in layers.items()):
            return model_type, is_certain
    found = (model_type for start, model_type in _BEGINNINGS if header.has_key_starting(start))
    return next(found, None), False


def _widths(shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, set[int]]:
    """Return the input widths of the layers, by layer path without numbers."""
    layers: dict[str, set[int]] = {}
    for name, shape in shapes.items():
        layer = _path(name)
        if layer not in layers and len(layers) == _MOST_LAYERS:
            continue
        found = layers.setdefault(layer, set())
        if name.endswith(_WIDTHS) and len(shape) > 1:
            found.add(shape[1])
        elif name.endswith(_FACTORS[0]) and len(shape) > 1:
            found |= {shape[1] * other for other in _second_factors(name, shapes)}
    return layers


def _second_factors(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    """Yield the widths of a LoKr's other matrix; the Kronecker product of both is the change of the layer."""
    module = name[: name.rindex(".lokr_")]
    for end in _FACTORS[1]:
        shape = shapes.get(module + end, ())
        if len(shape) > 1:
            yield shape[1]


def _path(name: str) -> str:
    found = _END.search(name)
    layer = name[: found.start()] if found else name
    begin = _PREFIX.match(layer)
    return _NUMBER.sub("#", layer[begin.end() if begin else 0 :].replace(".", "_"))
