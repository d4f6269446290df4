"""HunyuanVideo 1.5."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, ModelDescription
from api.trainers.diffusion_pipe.models.parts import BYT5, QWEN_VL, SPLIT, need, source

_HV15 = "Comfy-Org/HunyuanVideo_1.5_repackaged"

MODEL = ModelDescription(
    model_type="hunyuan_video_15",
    title="HunyuanVideo 1.5",
    medium=Medium.VIDEO,
    facts=ComfyModel().facts(
        "double_blocks",
        54,
        "hunyuan_video_15",
        framerate=24,
        cache_name="hunyuan_video_1.5",
        frame_step=4,
        encoder_files=2,
    ),
    memory=MemoryNeed(24, 48, "An estimate without reports.", Origin.UNVERIFIED),
    adapter=AdapterForm(("double_blocks",), block="layer"),
    fits={
        "diffusion_model": "hunyuan-video-15",
        "text_encoders": "byt5-small-glyph qwen-2.5-vl-7b",
        "vae": "vae-hunyuan-video-15",
    },
    variants=tuple(
        ModelVariant(
            size,
            f"HunyuanVideo 1.5 {size}",
            (
                need(
                    "diffusion_model",
                    f"the transformer of HunyuanVideo 1.5 {size}",
                    source(_HV15, f"{SPLIT}/diffusion_models/hunyuanvideo1.5_{size}_t2v_fp16.safetensors", 16.7),
                    known_as="hunyuan-video-15",
                    needs_name=True,
                ),
                need(
                    "vae",
                    "the VAE of HunyuanVideo 1.5",
                    source(_HV15, f"{SPLIT}/vae/hunyuanvideo15_vae_fp16.safetensors", 2.5),
                    known_as="vae-hunyuan-video-15",
                ),
                need("text_encoders", "the text encoder Qwen2.5-VL 7B", QWEN_VL, known_as="qwen-2.5-vl-7b"),
                need("text_encoders", "the text encoder ByT5", BYT5, known_as="byt5-small-glyph"),
            ),
        )
        for size in ("480p", "720p")
    ),
)
