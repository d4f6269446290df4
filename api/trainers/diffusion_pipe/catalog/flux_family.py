"""Variants and components of Flux and related types, Qwen-Image and Z-Image."""

from collections.abc import Mapping
from dataclasses import replace

from api.domain.models.base_model import ComponentNeed, ModelVariant
from api.trainers.diffusion_pipe.catalog.parts import (
    FLUX2_VAE,
    FLUX_AE,
    FLUX_DIFFUSERS,
    QWEN3_4B,
    QWEN_VL,
    D,
    H,
    need,
    source,
)

_SPLIT = "split_files"
_QWEN_EDIT = "Comfy-Org/Qwen-Image-Edit_ComfyUI"


def _flux(
    name: str, title: str, repository: str, file: str, *, gated: bool | None, known_as: str, is_guided: bool
) -> ModelVariant:
    # A complete directory of diffusers has the transformer, which is that of dev or of schnell.
    transformer = need(
        "transformer_path",
        f"the transformer of {title}",
        source(repository, file, 23.8, H),
        known_as=known_as,
        gated=gated,
        inside="transformer",
        is_guided=is_guided,
    )
    return ModelVariant(name, title, (replace(FLUX_DIFFUSERS, is_guided=is_guided), transformer))


def _flux2(name: str, title: str, main: ComponentNeed, encoder: ComponentNeed) -> ModelVariant:
    return ModelVariant(name, title, (main, FLUX2_VAE, encoder))


def _encoder(title: str, *sources: str, known_as: str, size_gb: float | None = None) -> ComponentNeed:
    found = tuple(
        source(repository, path, size_gb) for repository, _, path in (each.partition(" : ") for each in sources)
    )
    return need("text_encoders", title, *found, known_as=known_as)


def _qwen(name: str, title: str, transformer: ComponentNeed) -> ModelVariant:
    vae = source("Qwen/Qwen-Image", "vae/diffusion_pytorch_model.safetensors", 0.25, D)
    return ModelVariant(
        name,
        title,
        (
            transformer,
            need("text_encoder_path", "the text encoder Qwen2.5-VL 7B", QWEN_VL, known_as="qwen-2.5-vl-7b"),
            need("vae_path", "the VAE of Qwen-Image in diffusers' naming", vae, known_as="vae-qwen-image"),
        ),
    )


_FLUX2_DEV = need(
    "diffusion_model",
    "the transformer of Flux 2 dev",
    source("Comfy-Org/flux2-dev", f"{_SPLIT}/diffusion_models/flux2_dev_fp8mixed.safetensors", 35),
    source("black-forest-labs/FLUX.2-dev", "flux2-dev.safetensors", 64),
    known_as="flux2-dev",
    gated=False,
)
_KLEIN_4B = need(
    "diffusion_model",
    "the transformer of Flux 2 Klein 4B (base)",
    source("black-forest-labs/FLUX.2-klein-base-4B", "flux-2-klein-base-4b.safetensors", 7.8),
    known_as="flux2-klein-4b",
    license="Apache-2.0",
)
_KLEIN_9B = need(
    "diffusion_model",
    "the transformer of Flux 2 Klein 9B (base)",
    source("black-forest-labs/FLUX.2-klein-base-9B", "flux-2-klein-base-9b.safetensors", 18),
    known_as="flux2-klein-9b",
    gated=True,
    license="non-commercial",
)


FLUX_FAMILY: Mapping[str, tuple[ModelVariant, ...]] = {
    "sdxl": (
        ModelVariant(
            "base-1.0",
            "SDXL base 1.0, or a checkpoint made from it",
            (
                need(
                    "checkpoint_path",
                    "a checkpoint of SDXL",
                    source("stabilityai/stable-diffusion-xl-base-1.0", "sd_xl_base_1.0_0.9vae.safetensors", 6.9, D),
                    known_as="sdxl",
                ),
            ),
        ),
    ),
    "flux": (
        _flux(
            "dev",
            "Flux.1 dev",
            "black-forest-labs/FLUX.1-dev",
            "flux1-dev.safetensors",
            gated=True,
            known_as="flux-dev",
            is_guided=True,
        ),
        _flux(
            "schnell",
            "Flux.1 schnell",
            "black-forest-labs/FLUX.1-schnell",
            "flux1-schnell.safetensors",
            gated=None,
            known_as="flux-schnell",
            is_guided=False,
        ),
        ModelVariant(
            "kontext",
            "Flux.1 Kontext dev",
            (
                FLUX_DIFFUSERS,
                need(
                    "transformer_path",
                    "the transformer of Flux.1 Kontext",
                    source("black-forest-labs/FLUX.1-Kontext-dev", "flux1-kontext-dev.safetensors", 23.8),
                    known_as="flux-dev",
                    needs_name=True,
                    gated=True,
                ),
            ),
            "This model edits images: the directories of the dataset need `control_path`.",
        ),
    ),
    "chroma": (
        ModelVariant(
            "hd",
            "Chroma1-HD",
            (
                FLUX_DIFFUSERS,
                need(
                    "transformer_path",
                    "the transformer of Chroma",
                    source("lodestones/Chroma1-HD", "Chroma1-HD.safetensors", 17.8, H),
                    known_as="chroma",
                ),
            ),
        ),
    ),
    "flux2": (
        _flux2(
            "klein-4b",
            "Flux 2 Klein 4B",
            _KLEIN_4B,
            _encoder(
                "the text encoder Qwen3 4B",
                f"Comfy-Org/z_image_turbo : {_SPLIT}/text_encoders/qwen_3_4b.safetensors",
                known_as="qwen-3-4b",
                size_gb=8.0,
            ),
        ),
        _flux2(
            "klein-9b",
            "Flux 2 Klein 9B",
            _KLEIN_9B,
            _encoder(
                "the text encoder Qwen3 8B",
                f"Comfy-Org/Flux-2-Klein-9B : {_SPLIT}/text_encoders/qwen_3_8b.safetensors",
                known_as="qwen-3-8b",
                size_gb=16.4,
            ),
        ),
        _flux2(
            "dev",
            "Flux 2 dev",
            _FLUX2_DEV,
            _encoder(
                "the text encoder Mistral Small 3",
                f"Comfy-Org/flux2-dev : {_SPLIT}/text_encoders/mistral_3_small_flux2_fp8.safetensors",
                f"Comfy-Org/flux2-dev : {_SPLIT}/text_encoders/mistral_3_small_flux2_bf16.safetensors",
                known_as="mistral-small-3",
                size_gb=None,
            ),
        ),
    ),
    "qwen_image": (
        _qwen(
            "base",
            "Qwen-Image",
            need(
                "transformer_path",
                "the transformer of Qwen-Image",
                source(
                    "Comfy-Org/Qwen-Image_ComfyUI", f"{_SPLIT}/diffusion_models/qwen_image_bf16.safetensors", 40.9, H
                ),
                known_as="qwen-image",
            ),
        ),
        _qwen(
            "edit",
            "Qwen-Image-Edit",
            need(
                "transformer_path",
                "the transformer of Qwen-Image-Edit",
                source(_QWEN_EDIT, f"{_SPLIT}/diffusion_models/qwen_image_edit_bf16.safetensors", 40.9, H),
                known_as="qwen-image",
                needs_name=True,
            ),
        ),
    ),
    "z_image": tuple(
        ModelVariant(
            name,
            title,
            (
                need(
                    "diffusion_model",
                    f"the transformer of {title}",
                    source(repository, path, 12.3, H),
                    known_as="z-image",
                    needs_name=True,
                ),
                FLUX_AE,
                need("text_encoders", "the text encoder Qwen3 4B", QWEN3_4B, known_as="qwen-3-4b"),
                *adapters,
            ),
        )
        for name, title, repository, path, adapters in (
            (
                "base",
                "Z-Image",
                "Comfy-Org/z_image",
                "z_image_bf16.safetensors",
                (),
            ),
            (
                "turbo",
                "Z-Image Turbo",
                "Comfy-Org/z_image_turbo",
                f"{_SPLIT}/diffusion_models/z_image_turbo_bf16.safetensors",
                (
                    need(
                        "merge_adapters",
                        "the adapter that removes the distillation",
                        source(
                            "ostris/zimage_turbo_training_adapter",
                            "zimage_turbo_training_adapter_v1.safetensors",
                            None,
                            D,
                        ),
                        needs_name=True,
                    ),
                ),
            ),
        )
    ),
}
