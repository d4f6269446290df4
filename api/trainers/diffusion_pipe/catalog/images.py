"""Variants and components of the other image model types."""

from collections.abc import Mapping

from api.domain.models.base_model import ModelVariant
from api.trainers.diffusion_pipe.catalog.parts import (
    BYT5,
    FLUX2_VAE,
    OLD_T5,
    QWEN_VL,
    WAN_VAE,
    H,
    U,
    diffusers,
    need,
    source,
)

_SPLIT = "split_files"
_PONY = "purplesmartai/pony-v7-base"
_ANIMA = "circlestone-labs/Anima"


def _predict2(size: str, size_gb: float) -> ModelVariant:
    repackaged = source("Comfy-Org/Cosmos_Predict2_repackaged", f"cosmos_predict2_{size}_t2i.safetensors", size_gb, H)
    return ModelVariant(
        size.lower(),
        f"Cosmos Predict 2 {size}",
        (
            need(
                "transformer_path",
                f"the transformer of Cosmos Predict 2 {size}",
                repackaged,
                known_as=f"cosmos-predict2-{size.lower()}",
            ),
            WAN_VAE,
            need("t5_path", "the text encoder T5-XXL of the first version", OLD_T5, known_as="t5-xxl-old"),
        ),
    )


def _sd3(size: str, size_gb: float) -> ModelVariant:
    repository = f"stabilityai/stable-diffusion-3.5-{size}"
    parts = diffusers(
        f"Stable Diffusion 3.5 {size} in diffusers' form",
        repository,
        size_gb,
        "StableDiffusion3Pipeline",
        "*.safetensors.fp16*",
        "sd3.5_*.safetensors",
        "text_encoders/*",
        gated=True,
    )
    return ModelVariant(size, f"Stable Diffusion 3.5 {size}", (parts,))


IMAGES: Mapping[str, tuple[ModelVariant, ...]] = {
    "hunyuan_image": (
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
                        f"{_SPLIT}/vae/hunyuan_image_2.1_vae_fp16.safetensors",
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
    "cosmos_predict2": (_predict2("2B", 3.9), _predict2("14B", 28.5)),
    "anima": (
        ModelVariant(
            "preview",
            "Anima",
            (
                need(
                    "transformer_path",
                    "the transformer of Anima",
                    source(_ANIMA, f"{_SPLIT}/diffusion_models/anima-preview.safetensors", 4.18, H),
                    source(_ANIMA, f"{_SPLIT}/diffusion_models/anima-base-v1.0.safetensors", 4.18, H),
                    known_as="anima",
                    license="non-commercial",
                ),
                need(
                    "vae_path",
                    "the VAE of Qwen-Image in ComfyUI's naming",
                    source(_ANIMA, f"{_SPLIT}/vae/qwen_image_vae.safetensors", 0.25, H),
                    known_as="vae-wan-2.1",
                ),
                need(
                    "llm_path",
                    "the text encoder Qwen3 0.6B",
                    source(_ANIMA, f"{_SPLIT}/text_encoders/qwen_3_06b_base.safetensors", 1.19, H),
                    known_as="qwen-3-0.6b",
                ),
            ),
        ),
    ),
    "lumina_2": (
        ModelVariant(
            "2.0",
            "Lumina Image 2.0",
            tuple(
                need(key, title, source("Comfy-Org/Lumina_Image_2.0_Repackaged", path, size, origin), known_as=known)
                for key, title, path, size, origin, known in (
                    (
                        "transformer_path",
                        "the transformer of Lumina 2",
                        "lumina_2_model_bf16.safetensors",
                        5.2,
                        U,
                        "lumina-2",
                    ),
                    (
                        "llm_path",
                        "the text encoder Gemma 2 2B",
                        "gemma_2_2b_fp16.safetensors",
                        5.23,
                        H,
                        "gemma-2-2b",
                    ),
                    ("vae_path", "the VAE of Flux (ae)", "ae.safetensors", 0.34, U, "vae-flux"),
                )
            ),
        ),
    ),
    "hidream": (
        ModelVariant(
            "i1-full",
            "HiDream-I1 Full",
            (
                diffusers(
                    "HiDream-I1 Full in diffusers' form", "HiDream-ai/HiDream-I1-Full", 47, "HiDreamImagePipeline"
                ),
                need(
                    "llama3_path",
                    "the language model Llama 3.1 8B Instruct",
                    source("unsloth/Meta-Llama-3.1-8B-Instruct", "", 16),
                    source("meta-llama/Meta-Llama-3.1-8B-Instruct", "", 16, U, "original/*"),
                    known_as="llama-3-8b",
                    directory="transformers:LlamaForCausalLM",
                ),
            ),
        ),
    ),
    "sd3": (_sd3("medium", 16), _sd3("large", 27)),
    "omnigen2": (ModelVariant("2", "OmniGen2", (diffusers("OmniGen2", "OmniGen2/OmniGen2", 16, "OmniGen2Pipeline"),)),),
    "auraflow": (
        ModelVariant(
            "pony-v7",
            "Pony V7",
            (
                need(
                    "transformer_path",
                    "the transformer of Pony V7",
                    source(_PONY, "pony-v7-base.safetensors", 13.7),
                    known_as="auraflow",
                ),
                need(
                    "text_encoder_path",
                    "the text encoder of AuraFlow",
                    source(_PONY, "umt5_auraflow.fp16.safetensors", None),
                    known_as="umt5-auraflow",
                ),
                need(
                    "vae_path",
                    "the VAE of SDXL in diffusers' naming",
                    source("stabilityai/sdxl-vae", "diffusion_pytorch_model.safetensors", 0.33),
                    known_as="vae-sdxl-diffusers",
                ),
            ),
            settings={"max_sequence_length": 768},
        ),
    ),
    "ernie_image": (
        ModelVariant(
            "base",
            "ERNIE-Image",
            (
                need(
                    "diffusion_model",
                    "the transformer of ERNIE-Image",
                    source("Comfy-Org/ERNIE-Image", "diffusion_models/ernie-image.safetensors", 16),
                    known_as="ernie-image",
                ),
                FLUX2_VAE,
                need(
                    "text_encoders",
                    "the text encoder Ministral 3 3B",
                    source("Comfy-Org/ERNIE-Image", "text_encoders/ministral-3-3b.safetensors", 8),
                    known_as="ministral-3-3b",
                ),
            ),
        ),
    ),
    "ideogram4": (
        ModelVariant(
            "fp8",
            "Ideogram 4",
            (
                need(
                    "diffusion_model",
                    "the transformer of Ideogram 4",
                    source("Comfy-Org/Ideogram-4", "diffusion_models/ideogram4_fp8_scaled.safetensors", 9.28, H),
                    known_as="ideogram4",
                ),
                FLUX2_VAE,
                need(
                    "text_encoders",
                    "the text encoder Qwen3-VL 8B",
                    source("Comfy-Org/Ideogram-4", "text_encoders/qwen3vl_8b_fp8_scaled.safetensors", 10),
                    known_as="qwen-3-vl-8b",
                ),
            ),
        ),
    ),
    "krea2": (
        ModelVariant(
            "raw",
            "Krea 2 Raw",
            (
                need(
                    "diffusion_model",
                    "the transformer of Krea 2 Raw",
                    source("Comfy-Org/Krea-2", "diffusion_models/krea2_raw_bf16.safetensors", 26.3, H),
                    source("Comfy-Org/Krea-2", "diffusion_models/krea2_raw_fp8_scaled.safetensors", 13.1, H),
                    known_as="krea2",
                    gated=False,
                ),
                need(
                    "vae",
                    "the VAE of Qwen-Image in ComfyUI's naming",
                    source(_ANIMA, f"{_SPLIT}/vae/qwen_image_vae.safetensors", 0.25, H),
                    known_as="vae-wan-2.1",
                ),
                need(
                    "text_encoders",
                    "the text encoder Qwen3-VL 4B",
                    source("Comfy-Org/Qwen3-VL", "text_encoders/qwen3vl_4b_bf16.safetensors", 8.88, H),
                    known_as="qwen-3-vl-4b",
                ),
            ),
        ),
    ),
}
