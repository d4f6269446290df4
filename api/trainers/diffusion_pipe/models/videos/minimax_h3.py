"""MiniMax H3."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin, Precision
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, FileHint, ModelDescription, PathKind
from api.trainers.diffusion_pipe.models.parts import D, H, need, source
from api.trainers.diffusion_pipe.models.recipes import ADAMW, preset

_H3 = "Comfy-Org/MiniMax-H3"

MODEL = ModelDescription(
    model_type="minimax_h3",
    title="MiniMax H3",
    medium=Medium.VIDEO,
    facts=ComfyModel({"diffusion_model": PathKind.COMFY, "vae": PathKind.COMFY, "audio_vae": PathKind.COMFY}).facts(
        "blocks",
        50,
        "minimax",
        framerate=24,
        keys=frozenset({"cfg", "image_shift"}),
        frame_step=17,
        frame_rest=0,
        pixels_to=32,
    ),
    memory=MemoryNeed(24, 48, "24 GB with 48 blocks swapped and int8 weights.", Origin.TRAINER_DOCS),
    memory_includes_swap=True,
    needs=("av 16 or newer",),
    adapter=AdapterForm(("blocks",), block="layer"),
    slot_titles={
        "vae": "the video VAE of MiniMax H3 (minimax_h3_video_vae_fp16.safetensors)",
        "audio_vae": "the audio VAE of MiniMax H3 (minimax_h3_audio_vae_fp32.safetensors)",
    },
    hints={
        "diffusion_model": (
            FileHint(
                "ref2va",
                Reason.of("the MiniMax H3 for references, which the trainer does not train", "file_h3_references"),
                Reason.of("Use the fl2va file.", "advice_h3_references"),
            ),
        )
    },
    fits={
        "diffusion_model": "minimax-h3",
        "text_encoders": "qwen-3-vl-32b",
    },
    variants=(
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
    presets=(
        preset(
            "24gb",
            "fl2va",
            24,
            "the int8 file, 48 blocks swapped, compiled, cfg 4 (keeps the distillation), 512 px",
            "examples/minimax_h3_example.toml",
            512,
            precisions={"diffusion_model": Precision.INT8},
            model={"timestep_sample_method": "uniform", "shift": 8, "image_shift": 1, "cfg": 4},
            frames=(1, 34, 68, 102, 136),
            optimizer={**ADAMW, "lr": 1e-4},
            blocks_to_swap=48,
            activation_checkpointing="unsloth",
            compile=True,
        ),
    ),
)
