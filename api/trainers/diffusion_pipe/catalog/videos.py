"""Variants and components of the video model types."""

from collections.abc import Mapping

from api.domain.models.base_model import ComponentNeed, FileSource, ModelVariant, Origin
from api.trainers.diffusion_pipe.catalog.parts import BYT5, OLD_T5, QWEN_VL, D, H, U, diffusers, need, source

_SPLIT = "split_files"
_WAN21, _WAN22 = "Comfy-Org/Wan_2.1_ComfyUI_repackaged", "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
_WAN_UMT5 = need(
    "llm_path",
    "the text encoder UMT5-XXL",
    source(_WAN21, f"{_SPLIT}/text_encoders/umt5_xxl_fp16.safetensors", 11.4, H),
    known_as="umt5-xxl umt5-xxl-wan",
)


def _wan(
    name: str,
    title: str,
    repository: str,
    kind: str,
    weights: FileSource | None,
    known_as: str,
    *,
    size_gb: float | None = None,
    note: str | None = None,
    settings: Mapping[str, float] | None = None,
    needs_name: bool = True,
) -> ModelVariant:
    """Return a variant of Wan: its original directory, without the transformer if that is a separate file."""
    excluded = ("diffusion_pytorch_model*", "*/diffusion_pytorch_model*", "models_t5*", "assets/*", "examples/*")
    own = () if weights is not None else ("models_t5*", "assets/*", "examples/*")
    directory = need(
        "ckpt_path",
        f"the directory of {title}" + (", without its transformer" if weights is not None else ""),
        source(repository, "", size_gb, U, *(excluded if weights is not None else own)),
        directory=f"wan:{kind}",
        is_pickle=True,
    )
    parts: tuple[ComponentNeed, ...] = (directory,)
    if weights is not None:
        transformer = need(
            "transformer_path", f"the transformer of {title}", weights, known_as=known_as, needs_name=needs_name
        )
        parts += (transformer,)
    return ModelVariant(name, title, (*parts, _WAN_UMT5), note, dict(settings or {}))


def _wan21(file: str, size_gb: float, origin: Origin = H) -> FileSource:
    return source(_WAN21, f"{_SPLIT}/diffusion_models/{file}.safetensors", size_gb, origin)


def _wan22(task: str, noise: str) -> ModelVariant:
    # One run trains one of the two models; the boundary is from the trainer's documentation.
    border = 0.9 if task == "i2v" else 0.875
    low = noise == "low"
    return _wan(
        f"2.2-{task}-a14b-{noise}",
        f"Wan 2.2 {task.upper()}-A14B, {noise} noise",
        f"Wan-AI/Wan2.2-{task.upper()}-A14B",
        f"{task}:5120",
        source(_WAN22, f"{_SPLIT}/diffusion_models/wan2.2_{task}_{noise}_noise_14B_fp16.safetensors", 28.6, H),
        "wan-2.2-i2v-14b" if task == "i2v" else "wan-t2v-14b",
        note="One training trains one of the two models, for low or for high noise."
        + (" It accepts only videos." if task == "i2v" else ""),
        settings={"min_t": 0.0 if low else border, "max_t": border if low else 1.0},
    )


_WAN = (
    _wan(
        "2.1-t2v-1.3b",
        "Wan 2.1 T2V-1.3B",
        "Wan-AI/Wan2.1-T2V-1.3B",
        "t2v:1536",
        _wan21("wan2.1_t2v_1.3B_bf16", 2.8),
        "wan-2.1-t2v-1.3b",
        needs_name=False,
    ),
    _wan(
        "2.1-t2v-14b",
        "Wan 2.1 T2V-14B",
        "Wan-AI/Wan2.1-T2V-14B",
        "t2v:5120",
        _wan21("wan2.1_t2v_14B_bf16", 28.6),
        "wan-t2v-14b",
    ),
    *(
        _wan(
            f"2.1-{task}-14b-{size}",
            f"Wan 2.1 {task.upper()}-14B-{size.upper()}",
            f"Wan-AI/Wan2.1-{task.upper()}-14B-{size.upper()}",
            f"{task}:5120",
            _wan21(f"wan2.1_{task}_{size}_14B_fp16", 32.8),
            f"wan-2.1-{task}-14b",
            note="It accepts only videos.",
        )
        for task, size in (("i2v", "480p"), ("i2v", "720p"), ("flf2v", "720p"))
    ),
    *(_wan22(task, noise) for task in ("t2v", "i2v") for noise in ("low", "high")),
    _wan("2.2-ti2v-5b", "Wan 2.2 TI2V-5B", "Wan-AI/Wan2.2-TI2V-5B", "ti2v:3072", None, "wan-2.2-ti2v-5b", size_gb=20),
    _wan(
        "2.1-fun-1.3b-inp",
        "Wan 2.1 Fun 1.3B InP",
        "alibaba-pai/Wan2.1-Fun-1.3B-InP",
        "i2v:1536",
        None,
        "wan-2.1-i2v-1.3b",
        size_gb=3.1,
        note="It accepts only videos.",
    ),
)

_KIJAI = "Kijai/HunyuanVideo_comfy"
_HV15 = "Comfy-Org/HunyuanVideo_1.5_repackaged"
_H3 = "Comfy-Org/MiniMax-H3"
_COSMOS = "comfyanonymous/cosmos_1.0_text_encoder_and_VAE_ComfyUI"

VIDEOS: Mapping[str, tuple[ModelVariant, ...]] = {
    "wan": _WAN,
    "hunyuan-video": (
        ModelVariant(
            "720p",
            "HunyuanVideo",
            (
                need(
                    "transformer_path",
                    "the transformer of HunyuanVideo",
                    source(_KIJAI, "hunyuan_video_720_cfgdistill_fp8_e4m3fn.safetensors", 13.2, H),
                    source(_KIJAI, "hunyuan_video_720_cfgdistill_bf16.safetensors", 25.6, H),
                    known_as="hunyuan-video",
                ),
                need(
                    "vae_path",
                    "the VAE of HunyuanVideo",
                    source(_KIJAI, "hunyuan_video_vae_bf16.safetensors", 0.49, H),
                    known_as="vae-hunyuan-video",
                ),
                need(
                    "llm_path",
                    "the text encoder of HunyuanVideo (Llama 3 8B of LLaVA)",
                    source("Kijai/llava-llama-3-8b-text-encoder-tokenizer", "", 16),
                    directory="transformers:LlamaModel transformers:LlamaForCausalLM",
                ),
                need(
                    "clip_path",
                    "the text encoder CLIP-L",
                    source("openai/clip-vit-large-patch14", "", 1.7, U, "*.bin", "*.h5", "*.msgpack"),
                    directory="transformers:CLIPModel transformers:CLIPTextModel",
                ),
            ),
        ),
    ),
    "hunyuan_video_15": tuple(
        ModelVariant(
            size,
            f"HunyuanVideo 1.5 {size}",
            (
                need(
                    "diffusion_model",
                    f"the transformer of HunyuanVideo 1.5 {size}",
                    source(_HV15, f"{_SPLIT}/diffusion_models/hunyuanvideo1.5_{size}_t2v_fp16.safetensors", 16.7),
                    known_as="hunyuan-video-15",
                    needs_name=True,
                ),
                need(
                    "vae",
                    "the VAE of HunyuanVideo 1.5",
                    source(_HV15, f"{_SPLIT}/vae/hunyuanvideo15_vae_fp16.safetensors", 2.5),
                    known_as="vae-hunyuan-video-15",
                ),
                need("text_encoders", "the text encoder Qwen2.5-VL 7B", QWEN_VL, known_as="qwen-2.5-vl-7b"),
                need("text_encoders", "the text encoder ByT5", BYT5, known_as="byt5-small-glyph"),
            ),
        )
        for size in ("480p", "720p")
    ),
    "ltx-video": (
        ModelVariant(
            "2b-0.9.1",
            "LTX-Video 2B 0.9.1",
            (
                diffusers(
                    "LTX-Video in diffusers' form, without its transformer and VAE",
                    "Lightricks/LTX-Video",
                    19,
                    "LTXPipeline",
                    "*.safetensors",
                    "transformer/*",
                    "vae/*",
                    "media/*",
                ),
                need(
                    "single_file_path",
                    "a checkpoint of LTX-Video",
                    source("Lightricks/LTX-Video", "ltx-video-2b-v0.9.1.safetensors", 5.7),
                    known_as="ltx-video",
                ),
            ),
        ),
    ),
    "ltx2": (
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
                    source("Comfy-Org/ltx-2", f"{_SPLIT}/text_encoders/gemma_3_12B_it_fp4_mixed.safetensors", 9.45, H),
                    known_as="gemma-3-12b",
                ),
            ),
        ),
    ),
    "minimax_h3": (
        ModelVariant(
            "fl2va",
            "MiniMax H3",
            (
                need(
                    "diffusion_model",
                    "the transformer of MiniMax H3",
                    source(_H3, "diffusion_models/minimax_h3_fl2va_pruned_int8_convrot.safetensors", 21, H),
                    known_as="minimax-h3",
                    gated=False,
                ),
                need(
                    "vae",
                    "the video VAE of MiniMax H3",
                    source(_H3, "vae/minimax_h3_video_vae_fp16.safetensors", 5.2),
                    needs_name=True,
                ),
                need(
                    "audio_vae",
                    "the audio VAE of MiniMax H3",
                    source(_H3, "vae/minimax_h3_audio_vae_fp32.safetensors", 0.6),
                    needs_name=True,
                ),
                need(
                    "text_encoders",
                    "the text encoder Qwen3-VL 32B",
                    source(_H3, "text_encoders/qwen3vl_32b_minimax_h3_int8_convrot.safetensors", 26, D),
                    known_as="qwen-3-vl-32b",
                ),
            ),
        ),
    ),
    "cosmos": (
        ModelVariant(
            "1.0-7b",
            "Cosmos 1.0 7B",
            (
                need(
                    "transformer_path",
                    "the transformer of Cosmos 1.0 7B",
                    known_as="cosmos",
                ),
                need("vae_path", "the VAE of Cosmos 1.0", source(_COSMOS, "vae/cosmos_cv8x8x8_1.0.safetensors", 0.2)),
                need("text_encoder_path", "the text encoder T5-XXL (old)", OLD_T5, known_as="t5-xxl-old"),
            ),
        ),
    ),
}
