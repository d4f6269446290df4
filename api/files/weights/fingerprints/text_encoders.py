"""Fingerprints of text encoders and image encoders.

T5 and CLIP are identified by the names of transformers' classes; language models by vocabulary size and width, from
their config.json. Kijai's and ComfyUI's names of UMT5 are from the trainer's `models/wan/`, commit 8f83dbf.
"""

from api.files.weights.fingerprints.fingerprint import Fingerprint, define

_CONFIG = "the model's config.json"
_TRAINER = "trainer models/wan"
_COMFY = "ComfyUI comfy/sd.py"

_QWEN = "151936"

#: The name of the generic fingerprint.
UNKNOWN_LANGUAGE_MODEL = "language-model"

#: Prefixes of the token embedding, by which a language model is identified.
_EMBEDDING_PREFIXES = ("model.", "model.language_model.", "language_model.model.", "")
_VISION = "visual.* or model.visual.* or vision_tower.* or vision_model.*"


def _language_model(
    name: str,
    title: str,
    vocabulary: str,
    width: int | str,
    *,
    sees: bool | None = False,
) -> Fingerprint:
    """Return the fingerprint of a language model by its token embedding.

    `sees`: whether it accepts images (None: either).
    """
    has = " or ".join(f"{start}embed_tokens.weight [{vocabulary},{width}]" for start in _EMBEDDING_PREFIXES)
    return define(
        name,
        title,
        "text_encoder",
        has + (f"; {_VISION}" if sees else ""),
        _CONFIG,
        lacks=_VISION.replace(" or ", "; ") if sees is False else "",
    )


TEXT_ENCODERS: tuple[Fingerprint, ...] = (
    define(
        "umt5-xxl-wan",
        "the text encoder UMT5-XXL in Wan's names",
        "text_encoder",
        "token_embedding.weight [256384,4096]; blocks.0.attn.q.weight",
        _TRAINER,
    ),
    define(
        "umt5-xxl",
        "the text encoder UMT5-XXL in ComfyUI's names",
        "text_encoder",
        "shared.weight [256384,4096]; encoder.block.0.layer.0.SelfAttention.q.weight",
        _TRAINER,
    ),
    define(
        "t5-xxl-old",
        "the text encoder T5-XXL of the first version",
        "text_encoder",
        "encoder.block.0.layer.1.DenseReluDense.wi.weight [*,1024|4096]",
        _COMFY,
    ),
    define(
        "byt5-small-glyph",
        "the text encoder ByT5 (small, for glyphs)",
        "text_encoder",
        "encoder.block.0.layer.0.SelfAttention.k.weight [384,1472]",
        _COMFY,
    ),
    define(
        "t5-xxl",
        "the text encoder T5-XXL (version 1.1)",
        "text_encoder",
        "encoder.block.0.layer.0.SelfAttention.q.weight [4096,4096]"
        " or encoder.block.23.layer.1.DenseReluDense.wi_1.weight [*,4096]",
        _COMFY,
        lacks="shared.weight [256384,*]",
    ),
    define(
        "umt5-auraflow",
        "the text encoder of AuraFlow (UMT5-XL)",
        "text_encoder",
        "encoder.block.0.layer.0.SelfAttention.q.weight [2048,2048]",
        _COMFY,
    ),
    define(
        "clip-l",
        "the text encoder CLIP-L",
        "text_encoder",
        "text_model.embeddings.token_embedding.weight [*,768]",
        _CONFIG,
    ),
    define(
        "clip-g",
        "the text encoder CLIP-G",
        "text_encoder",
        "text_model.embeddings.token_embedding.weight [*,1280]",
        _CONFIG,
    ),
    define(
        "qwen-2.5-vl-7b",
        "the text encoder Qwen2.5-VL 7B",
        "text_encoder",
        "model.layers.27.self_attn.q_proj.weight [3584,3584] or model.embed_tokens.weight [152064,3584]"
        " or model.language_model.embed_tokens.weight [152064,3584]",
        _CONFIG,
    ),
    _language_model("qwen-3-vl-4b", "the text encoder Qwen3-VL 4B", _QWEN, 2560, sees=True),
    _language_model("qwen-3-vl-8b", "the text encoder Qwen3-VL 8B", _QWEN, 4096, sees=True),
    _language_model("qwen-3-vl-32b", "the text encoder Qwen3-VL 32B", _QWEN, 5120, sees=None),
    _language_model("qwen-3-0.6b", "the text encoder Qwen3 0.6B", _QWEN, 1024),
    _language_model("qwen-3-4b", "the text encoder Qwen3 4B", _QWEN, 2560),
    _language_model(
        "llama-3-8b",
        "the language model Llama 3 8B",
        "128256|128320",
        4096,
        sees=None,
    ),
    _language_model("qwen-3-8b", "the text encoder Qwen3 8B", _QWEN, 4096),
    _language_model("mistral-small-3", "the text encoder Mistral Small 3", "131072", 5120, sees=None),
    _language_model("ministral-3-3b", "the text encoder Ministral 3 3B", "131072", 3072, sees=None),
    _language_model("gemma-2-2b", "the text encoder Gemma 2 2B", "256000", 2304),
    _language_model("gemma-3-12b", "the text encoder Gemma 3 12B", "262144|262208", 3840, sees=None),
    define(
        "clip-vision-h",
        "the image encoder CLIP of Wan 2.1's image-to-video models",
        "image_encoder",
        "vision_model.embeddings.patch_embedding.weight [1280,3,14,14] or visual.patch_embedding.weight [1280,3,14,14]",
        "Wan-AI/Wan2.1 model files",
    ),
    define(
        "anima-llm-adapter",
        "the adapter between a language model and the transformer of Anima",
        "adapter",
        "embed.weight; out_proj.weight; blocks.0.cross_attn.q_proj.weight",
        "trainer models/llm_adapter.py",
    ),
    # A generic fingerprint: the model is unknown, but certainly a language model.
    define(
        UNKNOWN_LANGUAGE_MODEL,
        "an unknown language model",
        "text_encoder",
        " or ".join(f"{start}embed_tokens.weight" for start in _EMBEDDING_PREFIXES),
        "transformers' names",
    ),
)

#: Names of the generative language models; a slot that accepts one accepts all of them.
LANGUAGE_MODELS = frozenset(
    each.name for each in TEXT_ENCODERS if any("embed_tokens" in sign.name for signs in each.has for sign in signs)
)
