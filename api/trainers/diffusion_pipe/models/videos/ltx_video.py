"""LTX-Video."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import SHIFTS, ModelDescription, ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.parts import diffusers, need, source

MODEL = ModelDescription(
    model_type="ltx-video",
    title="LTX-Video",
    medium=Medium.VIDEO,
    facts=ModelFacts(
        frame_step=8,
        unread=SHIFTS,
        alternatives=(("diffusers_path", "single_file_path"),),
        kinds={"diffusers_path": PathKind.PRETRAINED, "single_file_path": PathKind.FILE},
        lora_only=True,
        framerate=25,
        round_to=32,
        pixels_to=32,
        keys=frozenset({"first_frame_conditioning_p"}),
    ),
    memory=MemoryNeed(24, None, "An estimate without reports.", Origin.UNVERIFIED),
    needs=("submodules/LTX_Video",),
    adapter=AdapterForm(("transformer_blocks",)),
    pipeline="LTX",
    has_own_loss=True,
    fits={
        "single_file_path": "ltx-video",
        "diffusers_path/text_encoder": "t5-xxl",
        "diffusers_path/transformer": "ltx-video",
        "diffusers_path/vae": "vae-ltx",
    },
    variants=(
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
)
