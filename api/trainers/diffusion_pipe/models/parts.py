"""Components that several model types share, and helpers to declare components."""

from api.domain.models.base_model import ComponentNeed, FileSource, Origin

#: The origin of a size.
H, D, U = Origin.FILE_PAGE, Origin.TRAINER_DOCS, Origin.UNVERIFIED

#: The folder of ComfyUI's repositories at Hugging Face.
SPLIT = "split_files"
ANIMA = "circlestone-labs/Anima"


def source(repository: str, path: str, size_gb: float | None, origin: Origin = U, *exclude: str) -> FileSource:
    """Return the source of a file, or of a directory (a path that is empty or ends in `/`) without `exclude`."""
    return FileSource(repository, path, size_gb, origin, exclude)


def need(
    key: str,
    title: str,
    *sources: FileSource,
    known_as: str = "",
    directory: str = "",
    needs_name: bool = False,
    is_pickle: bool = False,
    gated: bool | None = None,
    license: str | None = None,  # noqa: A002 - the field's name
    inside: str = "",
    is_guided: bool | None = None,
) -> ComponentNeed:
    """Return the component for a key. `known_as` and `directory` list fingerprints and directory kinds, by spaces."""
    return ComponentNeed(
        key=key,
        title=title,
        sources=sources,
        fingerprints=tuple(known_as.split()),
        directory_kinds=tuple(directory.split()),
        needs_name=needs_name,
        is_pickle=is_pickle,
        gated=gated,
        license=license,
        inside=inside,
        is_guided=is_guided,
    )


def diffusers(
    title: str, repository: str, size_gb: float | None, pipeline: str, *exclude: str, gated: bool | None = None
) -> ComponentNeed:
    """Return a complete model in the format of diffusers, for `diffusers_path`."""
    return need(
        "diffusers_path",
        title,
        source(repository, "", size_gb, U, *exclude),
        directory=f"diffusers:{pipeline}",
        gated=gated,
    )


FLUX_AE = need(
    "vae",
    "the VAE of Flux (ae)",
    source("Comfy-Org/z_image_turbo", f"{SPLIT}/vae/ae.safetensors", 0.34),
    known_as="vae-flux vae-flux-diffusers",
)
FLUX2_VAE = need(
    "vae",
    "the VAE of Flux 2",
    source("Comfy-Org/flux2-dev", f"{SPLIT}/vae/flux2-vae.safetensors", 0.34, H),
    known_as="vae-flux2",
    gated=False,
)
WAN_VAE = need(
    "vae_path",
    "the VAE of Wan 2.1",
    source("Comfy-Org/Wan_2.1_ComfyUI_repackaged", f"{SPLIT}/vae/wan_2.1_vae.safetensors", 0.25),
    known_as="vae-wan-2.1",
)
QWEN_VL = source("Comfy-Org/Qwen-Image_ComfyUI", f"{SPLIT}/text_encoders/qwen_2.5_vl_7b.safetensors", 16.6, H)
BYT5 = source(
    "Comfy-Org/HunyuanVideo_1.5_repackaged", f"{SPLIT}/text_encoders/byt5_small_glyphxl_fp16.safetensors", 0.44, H
)
OLD_T5 = source(
    "comfyanonymous/cosmos_1.0_text_encoder_and_VAE_ComfyUI", "text_encoders/oldt5_xxl_fp16.safetensors", 9.5
)
QWEN3_4B = source("Comfy-Org/z_image_turbo", f"{SPLIT}/text_encoders/qwen_3_4b.safetensors", 8.0)
FLUX_DIFFUSERS = diffusers(
    "Flux.1 dev in diffusers' form, without its transformer",
    "black-forest-labs/FLUX.1-dev",
    10.0,
    "FluxPipeline",
    "transformer/*",
    "flux1-dev.safetensors",
    "ae.safetensors",
    gated=True,
)
