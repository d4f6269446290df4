"""Writes a tiny model with random weights: `tiny_models.py TYPE DIRECTORY`.

The trainer's Python runs it in the trainer's directory.
"""

# ruff: noqa: PLC0415 - each type imports only what it needs, and torch exists only there

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, ".")

#: Tokens of the text encoders: special ones, a space, and the visible characters of ASCII.
PIECES = ["<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(33, 127))]


def make_t5_tokenizer() -> Any:
    """Return a tokenizer that maps each character to a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram([(piece, -float(index > 2)) for index, piece in enumerate(PIECES)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special)


def make_clip_tokenizer() -> Any:
    """Return a CLIP tokenizer without merges."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77)


def make_clip_config(tokenizer: Any) -> Any:
    """Return the configuration of a CLIP text encoder with one layer."""
    from transformers import CLIPTextConfig

    end = len(tokenizer) - 1
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    return CLIPTextConfig(vocab_size=len(tokenizer), projection_dim=32, **size, **tokens)


def make_t5_encoder() -> Any:
    """Return a T5 encoder with one layer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=len(PIECES), d_model=64, d_kv=16, d_ff=64, num_layers=1, num_heads=2))


def make_vae() -> Any:
    """Return an image autoencoder with 16 channels that divides each side by 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def write_flux(directory: Path) -> None:
    """Write a directory of FLUX.1-dev in the form of diffusers."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    tokenizer = make_clip_tokenizer()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=make_vae(),
        text_encoder=CLIPTextModel(make_clip_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=make_t5_encoder(),
        tokenizer_2=make_t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
    ).save_pretrained(directory)


def write_sd3(directory: Path) -> None:
    """Write a directory of Stable Diffusion 3 in the form of diffusers."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    tokenizer = make_clip_tokenizer()
    encoders = [CLIPTextModelWithProjection(make_clip_config(tokenizer)) for _ in range(2)]
    StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=make_vae(),
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizer,
        text_encoder_3=make_t5_encoder(),
        tokenizer_3=make_t5_tokenizer(),
        transformer=SD3Transformer2DModel(
            sample_size=16,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            pos_embed_max_size=32,
        ),
    ).save_pretrained(directory)


def write_wan(directory: Path) -> None:
    """Write a directory of Wan 2.1 T2V 1.3B with one layer. Its width is what the trainer recognises it by."""
    import torch
    from models.wan import t5, vae2_1  # type: ignore[attr-defined]
    from models.wan.model import WanModel  # type: ignore[import-not-found]
    from safetensors.torch import save_file

    size = {"dim": 1536, "ffn_dim": 64, "freq_dim": 256, "num_heads": 12, "num_layers": 1, "text_len": 512}
    config = {"model_type": "t2v", "in_dim": 16, "out_dim": 16, "eps": 1e-6, **size}
    weights = WanModel(**config).to(torch.bfloat16).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps({"_class_name": "WanModel", **config}))
    encoder = t5.umt5_xxl(encoder_only=True, dtype=torch.bfloat16).to(torch.bfloat16)
    torch.save(encoder.state_dict(), directory / "models_t5_umt5-xxl-enc-bf16.pth")
    shape = {"dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]}
    vae = vae2_1.WanVAE_(dim=8, num_res_blocks=1, z_dim=16, attn_scales=[], dropout=0.0, **shape)
    torch.save(vae.state_dict(), directory / "Wan2.1_VAE.pth")
    make_t5_tokenizer().save_pretrained(directory / "google" / "umt5-xxl")


def write_qwen_image(directory: Path) -> None:
    """Write a directory of Qwen-Image in the form of diffusers. Its sizes are those that the shim sets."""
    import torch
    import utils.common  # type: ignore[import-not-found] # noqa: F401 - before ComfyUI's package of the same name
    from models import qwen_image  # type: ignore[import-not-found]
    from safetensors.torch import save_file

    configs = Path("configs") / "qwen_image"

    def read(part: str) -> Any:
        return json.loads((configs / part / "config.json").read_text())

    encoder_config = qwen_image.transformers.Qwen2_5_VLConfig.from_pretrained(configs / "text_encoder")
    encoder = qwen_image.transformers.Qwen2_5_VLForConditionalGeneration(encoder_config).state_dict()
    parts = {
        # The names in the published files, which the trainer maps to those of the module.
        "text_encoder": {
            name.replace("model.", "", 1).replace("language_model.", "model."): encoder[name] for name in encoder
        },
        "transformer": qwen_image.diffusers.QwenImageTransformer2DModel.from_config(read("transformer")).state_dict(),
        "vae": qwen_image.diffusers.AutoencoderKLQwenImage.from_config(read("vae")).state_dict(),
    }
    for part, weights in parts.items():
        (directory / part).mkdir()
        stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
        save_file(stored, directory / part / "diffusion_pytorch_model.safetensors")


WRITERS = {"flux": write_flux, "qwen_image": write_qwen_image, "sd3": write_sd3, "wan": write_wan}

if __name__ == "__main__":
    import torch

    torch.manual_seed(0)
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    WRITERS[sys.argv[1]](target)
