"""HunyuanVideo."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin, Precision
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import H, U, need, source
from api.trainers.diffusion_pipe.models.recipes import FLOAT8, preset

_KIJAI = "Kijai/HunyuanVideo_comfy"

MODEL = ModelDescription(
    model_type="hunyuan-video",
    title="HunyuanVideo",
    medium=Medium.VIDEO,
    facts=ModelFacts(
        unread=frozenset({"flux_shift"}),
        keys=frozenset({"guidance"}),
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (20, 40)),
        frame_step=4,
        alternatives=(("ckpt_path",), ("transformer_path", "vae_path", "llm_path", "clip_path")),
        kinds={
            "ckpt_path": PathKind.DIRECTORY,
            "transformer_path": PathKind.SAFETENSORS,
            "vae_path": PathKind.SAFETENSORS,
            "llm_path": PathKind.PRETRAINED,
            "clip_path": PathKind.PRETRAINED,
        },
        may_be_empty=frozenset({"transformer_path", "vae_path"}),
        lora_only=True,
        framerate=24,
    ),
    memory=MemoryNeed(16, 24, "24 GB; 16 with 20 blocks swapped.", Origin.REPORT),
    needs=("flash-attn", "submodules/HunyuanVideo"),
    adapter=AdapterForm(("double_blocks", "single_blocks"), prefix="transformer."),
    removed_prefixes=("model.model.",),
    fits={
        "transformer_path": "hunyuan-video",
        "ckpt_path/text_encoder": "llama-3-8b",
        "ckpt_path/text_encoder_2": "clip-l",
        "ckpt_path/transformer": "hunyuan-video",
        "ckpt_path/vae": "vae-hunyuan-video",
        "clip_path": "clip-l",
        "llm_path": "llama-3-8b",
        "vae_path": "vae-hunyuan-video",
    },
    variants=(
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
    presets=(
        preset(
            "16gb",
            "720p",
            16,
            "the fp8 file, float8, 20 blocks swapped, images of 512 px",
            "tdrussell/diffusion-pipe#149",
            512,
            precisions={"transformer_path": Precision.FP8},
            model=FLOAT8,
            frames=(1,),
            blocks_to_swap=20,
        ),
        preset(
            "24gb",
            "720p",
            24,
            "float8, up to 512 px and 33 frames",
            "alisson-anjos/diffusion-pipe-ui#1",
            512,
            model=FLOAT8,
            frames=(1, 33),
        ),
        preset(
            "48gb",
            "720p",
            48,
            "bf16, without float8",
            "tdrussell/diffusion-pipe#6",
            512,
            precisions={"transformer_path": Precision.BF16},
            frames=(1, 33),
            known_memory_gb=42,
        ),
    ),
)
