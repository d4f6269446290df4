"""Fingerprints of VAEs, by their naming and their number of latent channels.

Naming and channels are from the trainer's `models/` and ComfyUI's loader, at commit 8f83dbf of the trainer.
"""

from api.files.weights.fingerprints.fingerprint import Fingerprint, define

_TRAINER = "trainer models/"
_COMFY = "ComfyUI comfy/sd.py"

_DIFFUSERS = "decoder.up_blocks.*"

VAES: tuple[Fingerprint, ...] = (
    define(
        "vae-wan-2.2",
        "the VAE of Wan 2.2 5B",
        "vae",
        "encoder.conv1.weight [160,12,3,3,3]",
        _COMFY,
    ),
    define(
        "vae-wan-2.1",
        "the VAE of Wan 2.1 (qwen_image_vae in ComfyUI's naming)",
        "vae",
        "encoder.conv1.weight [96,3,3,3,3] or encoder.downsamples.*",
        _TRAINER,
    ),
    define(
        "vae-qwen-image",
        "the VAE of Qwen-Image in diffusers' naming",
        "vae",
        "encoder.conv_in.weight [96,3,3,3,3]",
        _TRAINER,
    ),
    define(
        "vae-hunyuan-video-15",
        "the VAE of HunyuanVideo 1.5",
        "vae",
        "decoder.conv_in.conv.weight [*,32,3,3,3]",
        _COMFY,
    ),
    define(
        "vae-hunyuan-video",
        "the VAE of HunyuanVideo",
        "vae",
        "encoder.down_blocks.0.resnets.0.conv1.conv.weight or decoder.conv_in.conv.weight [*,16,3,3,3]",
        _TRAINER,
    ),
    define(
        "vae-hunyuan-image",
        "the VAE of HunyuanImage 2.1",
        "vae",
        "decoder.conv_in.weight [*,64,3,3]",
        _COMFY,
    ),
    define(
        "vae-ltx",
        "the VAE of LTX-Video",
        "vae",
        "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight or encoder.down_blocks.0.res_blocks.0.conv1.conv.weight",
        _COMFY,
    ),
    define(
        "vae-cosmos",
        "the VAE of Cosmos 1.0",
        "vae",
        "decoder.unpatcher3d.* or decoder.unpatcher3d.wavelets or encoder.patcher3d.wavelets",
        _COMFY,
    ),
    define(
        "vae-flux2",
        "the VAE of Flux 2",
        "vae",
        "decoder.conv_in.weight [512,32,3,3] or bn.running_mean [128]",
        _COMFY,
    ),
    define(
        "vae-flux-diffusers",
        "the VAE of Flux (16 channels) in diffusers' naming",
        "vae",
        f"decoder.conv_in.weight [512,16,3,3]; {_DIFFUSERS}",
        _TRAINER,
    ),
    define(
        "vae-flux",
        "the VAE of Flux (ae, 16 channels)",
        "vae",
        "decoder.conv_in.weight [512,16,3,3]",
        _TRAINER,
    ),
    define(
        "vae-sdxl-diffusers",
        "the VAE of SDXL (4 channels) in diffusers' naming",
        "vae",
        f"decoder.conv_in.weight [512,4,3,3]; {_DIFFUSERS}",
        _TRAINER,
    ),
    define(
        "vae-sdxl",
        "the VAE of SDXL or an earlier Stable Diffusion (4 channels)",
        "vae",
        "decoder.conv_in.weight [512,4,3,3]",
        _TRAINER,
    ),
)
