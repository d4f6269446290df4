"""SDXL."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.files.weights.header import COMFY_PREFIX
from api.trainers.diffusion_pipe.models.description import TIMESTEPS, ModelDescription, ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.parts import D, need, source
from api.trainers.diffusion_pipe.models.recipes import DOCS, preset

_SDXL_RATES = {"unet_lr": 4e-5, "text_encoder_1_lr": 2e-5, "text_encoder_2_lr": 2e-5}

MODEL = ModelDescription(
    model_type="sdxl",
    title="SDXL",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        dtype_key=None,
        unread=TIMESTEPS,
        alternatives=(("checkpoint_path",),),
        kinds={"checkpoint_path": PathKind.FILE},
        lokr=False,
        keys=frozenset(
            {"v_pred", "min_snr_gamma", "debiased_estimation_loss", "unet_lr", "text_encoder_1_lr", "text_encoder_2_lr"}
        ),
        keeps_rank_of_existing=True,
        has_group_rates=True,
    ),
    memory=MemoryNeed(24, 48, "16 GB ran out even at 512 px; 48 GB train it in full.", Origin.REPORT),
    removed_prefixes=(COMFY_PREFIX,),
    has_own_loss=True,
    fits={
        "checkpoint_path": "sdxl",
    },
    variants=(
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
    presets=(
        preset(
            "24gb",
            "base-1.0",
            24,
            "a LoRA at 1024 px; the memory is an estimate: "
            "16 GB is too little (#157), 48 GB suffices for full fine-tuning",
            f"{DOCS} (SDXL)",
            1024,
            model=_SDXL_RATES,
        ),
        preset(
            "48gb-full",
            "base-1.0",
            48,
            "full fine-tuning, without an adapter",
            "the trainer's documentation",
            1024,
            rank=None,
            model=_SDXL_RATES,
        ),
    ),
)
