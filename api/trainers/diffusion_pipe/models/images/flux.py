"""Flux.1."""

from dataclasses import replace

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import FLUX_DIFFUSERS, H, need, source
from api.trainers.diffusion_pipe.models.recipes import FLOAT8, preset

_FLUX_MARKS = (
    ("norm1", "ff.", "ff_context.", "attn.add_", "attn.to_add_out", "attn.to_out"),
    ("norm.", "proj_mlp", "proj_out"),
)


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


MODEL = ModelDescription(
    model_type="flux",
    title="Flux.1",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (19, 38)),
        alternatives=(("diffusers_path",),),
        kinds={"diffusers_path": PathKind.PRETRAINED, "transformer_path": PathKind.FILE},
        may_be_empty=frozenset({"transformer_path"}),
        lokr=False,
        keys=frozenset({"bypass_guidance_embedding", "guidance"}),
        fuses_adapters=True,
        keeps_rank_of_existing=True,
    ),
    memory=MemoryNeed(24, 48, "24 GB with float8; 1024 px only at a low rank.", Origin.REPORT),
    adapter=AdapterForm(
        ("transformer_blocks", "single_transformer_blocks"),
        prefix="transformer.",
        is_of_diffusers=True,
        marks=_FLUX_MARKS,
    ),
    pipeline="Flux",
    removed_prefixes=(),
    reads_control_images=True,
    fits={
        "transformer_path": "flux-dev flux-schnell",
        "diffusers_path/text_encoder": "clip-l",
        "diffusers_path/text_encoder_2": "t5-xxl",
        "diffusers_path/transformer": "flux-diffusers",
        "diffusers_path/vae": "vae-flux-diffusers",
    },
    variants=(
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
    presets=(
        preset(
            "24gb",
            "dev",
            24,
            "float8, 1024 px at rank 8",
            "tdrussell/diffusion-pipe#228",
            1024,
            rank=8,
            model={**FLOAT8, "flux_shift": True},
        ),
    ),
)
