"""Sparse files with the keys and shapes by which models are recognised."""

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

Shapes = Mapping[str, Sequence[int]]

_QKV = "double_blocks.18.img_attn.qkv.weight"
_LTX = {"transformer_blocks.47.attn1.to_q.weight": [4, 4], "audio_adaln_single.linear.weight": [4, 4]}
_QWEN = {
    "img_in.weight": [3072, 64],
    "txt_in.weight": [3072, 3584],
    "txt_norm.weight": [3584],
    "transformer_blocks.59.attn.add_q_proj.weight": [3072, 3072],
}
_FLUX = {
    _QKV: [9216, 3072],
    "img_in.weight": [3072, 64],
    "txt_in.weight": [3072, 4096],
    "vector_in.in_layer.weight": [3072, 768],
}
_SDXL = {
    "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
    "model.diffusion_model.label_emb.0.0.weight": [1280, 2816],
    "conditioner.embedders.1.model.ln_final.weight": [1280],
    "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3],
}


def _wan(width: int, channels: int, *more: str) -> dict[str, list[int]]:
    return {
        "patch_embedding.weight": [width, channels, 1, 2, 2],
        "head.modulation": [1, 2, width],
        "blocks.0.ffn.0.weight": [4, width],
        **{name: [4, 4] for name in more},
    }


def _words(rows: int, width: int, *more: str) -> dict[str, list[int]]:
    return {"model.embed_tokens.weight": [rows, width], **{name: [4, 4] for name in more}}


#: The tensors of a file by the name of its fingerprint.
STAND_INS: Mapping[str, Shapes] = {
    "sdxl": _SDXL,
    "sdxl-inpaint": _SDXL | {"model.diffusion_model.input_blocks.0.0.weight": [320, 9, 3, 3]},
    "sdxl-refiner": _SDXL | {"model.diffusion_model.input_blocks.0.0.weight": [384, 4, 3, 3]},
    "sdxl-unet": {name: shape for name, shape in _SDXL.items() if name.startswith("model.")},
    "stable-diffusion": {"model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3]},
    "flux-dev": _FLUX | {"guidance_in.in_layer.weight": [3072, 256]},
    "flux-schnell": _FLUX,
    "flux-fill": _FLUX | {"img_in.weight": [3072, 384]},
    "flux-control": _FLUX | {"img_in.weight": [3072, 128]},
    "flux-flex2": _FLUX | {"img_in.weight": [3072, 196]},
    "chroma": {"distilled_guidance_layer.norms.0.scale": [5120], "img_in.weight": [3072, 64]},
    "chroma-radiance": {"distilled_guidance_layer.norms.0.scale": [5120], "nerf_blocks.0.w": [4]},
    "flux2-dev": {"img_in.weight": [6144, 128], "double_stream_modulation_img.lin.weight": [4, 4]},
    "flux2-klein-9b": {"img_in.weight": [4096, 128], "double_stream_modulation_img.lin.weight": [4, 4]},
    "flux2-klein-4b": {"img_in.weight": [3072, 128], "double_stream_modulation_img.lin.weight": [4, 4]},
    "qwen-image": _QWEN,
    "qwen-image-edit-2511": _QWEN | {"__index_timestep_zero__": [1]},
    "qwen-image-layered": _QWEN | {"time_text_embed.addition_t_embedding.weight": [4, 4]},
    "z-image": {"cap_embedder.1.weight": [3840, 2560], "layers.29.attention.qkv.weight": [4, 4]},
    "z-image-diffusers": {"cap_embedder.1.weight": [3840, 2560], "layers.0.attention.to_q.weight": [4, 4]},
    "z-image-pixel": {"cap_embedder.1.weight": [3840, 2560], "dec_net.w": [4, 4]},
    "lumina-2": {"cap_embedder.1.weight": [2304, 2304], "layers.25.attention.qkv.weight": [4, 4]},
    "wan-2.1-t2v-1.3b": _wan(1536, 16),
    "wan-2.1-i2v-1.3b": _wan(1536, 36, "blocks.0.cross_attn.k_img.weight"),
    "wan-t2v-14b": _wan(5120, 16),
    "wan-2.1-i2v-14b": _wan(5120, 36, "blocks.0.cross_attn.k_img.weight"),
    "wan-2.1-flf2v-14b": _wan(5120, 36, "blocks.0.cross_attn.k_img.weight", "img_emb.emb_pos"),
    "wan-2.2-i2v-14b": _wan(5120, 36),
    "wan-2.2-ti2v-5b": _wan(3072, 48),
    "wan-vace": _wan(5120, 16, "vace_blocks.0.w"),
    "wan-control": _wan(5120, 16, "control_adapter.conv.weight"),
    "wan-audio": _wan(5120, 16, "audio_proj.w"),
    "wan-diffusers": {"condition_embedder.time_embedder.linear_1.weight": [4, 4], "patch_embedding.weight": [4, 4]},
    "hunyuan-video": {
        "img_in.proj.weight": [3072, 16, 1, 2, 2],
        "double_blocks.19.img_attn_qkv.weight": [4, 4],
        "single_blocks.39.linear1.weight": [4, 4],
        "guidance_in.mlp.0.weight": [4, 4],
    },
    "hunyuan-video-i2v": {"img_in.proj.weight": [3072, 33, 1, 2, 2], "double_blocks.19.img_attn_qkv.weight": [4, 4]},
    "hunyuan-video-15": {"cond_type_embedding.weight": [3, 2048], "img_in.proj.weight": [2048, 65, 1, 1, 1]},
    "hunyuan-video-15-distilled": {"cond_type_embedding.weight": [3, 2048], "guidance_in.in_layer.weight": [4, 4]},
    "hunyuan-image": {"img_in.proj.weight": [3584, 64, 1, 1], "byt5_in.fc1.weight": [4, 4]},
    "hunyuan-image-distilled": {"img_in.proj.weight": [3584, 64, 1, 1], "guidance_in.mlp.0.weight": [4, 4]},
    "ltx-2.3": _LTX | {"prompt_adaln_single.linear.weight": [4, 4], "vae.encoder.conv_in.conv.weight": [4, 4]},
    "ltx-2.3-transformer": _LTX | {"prompt_adaln_single.linear.weight": [4, 4]},
    "ltx-2.0": _LTX | {"vae.encoder.conv_in.conv.weight": [4, 4]},
    "ltx-video": {"transformer_blocks.0.attn2.to_k.weight": [2048, 2048], "vae.encoder.conv_in.conv.weight": [4, 4]},
    "minimax-h3": {"video_patch_proj.weight": [4, 4], "audio_patch_proj.weight": [4, 4]},
    "cosmos": {"blocks.block0.blocks.0.block.attn.to_q.0.weight": [4096, 4096]},
    "cosmos-predict2-2b": {"x_embedder.proj.1.weight": [2048, 68], "blocks.27.mlp.layer1.weight": [4, 4]},
    "cosmos-predict2-14b": {"x_embedder.proj.1.weight": [5120, 68], "blocks.35.mlp.layer1.weight": [4, 4]},
    "cosmos-video2world": {"x_embedder.proj.1.weight": [2048, 72]},
    "anima": {"x_embedder.proj.1.weight": [2048, 68], "llm_adapter.out_proj.weight": [4, 4]},
    "auraflow": {"double_layers.0.attn.w1q.weight": [4, 4], "cond_seq_linear.weight": [3072, 2048]},
    "hidream": {"caption_projection.0.linear.weight": [4, 4], "double_stream_blocks.15.w": [4]},
    "sd3": {"transformer_blocks.0.attn.add_q_proj.weight": [4, 4], "pos_embed.proj.weight": [1536, 16, 2, 2]},
    "sd3-single-file": {"model.diffusion_model.joint_blocks.0.w": [4]},
    "omnigen2": {"time_caption_embed.timestep_embedder.linear_1.bias": [4]},
    "ideogram4": {"embed_image_indicator.weight": [4, 4], "input_proj.weight": [4608, 128]},
    "krea2": {"txtfusion.projector.weight": [1, 12], "first.weight": [6144, 64]},
    "ernie-image": {"layers.0.mlp.linear_fc2.weight": [4, 4], "layers.35.mlp.linear_fc2.weight": [4, 4]},
    "umt5-xxl-wan": {"token_embedding.weight": [256384, 4096], "blocks.0.attn.q.weight": [4096, 4096]},
    "umt5-xxl": {"shared.weight": [256384, 4096], "encoder.block.0.layer.0.SelfAttention.q.weight": [4096, 4096]},
    "t5-xxl": {"shared.weight": [32128, 4096], "encoder.block.0.layer.0.SelfAttention.q.weight": [4096, 4096]},
    "t5-xxl-old": {"encoder.block.0.layer.1.DenseReluDense.wi.weight": [65536, 1024]},
    "byt5-small-glyph": {"encoder.block.0.layer.0.SelfAttention.k.weight": [384, 1472]},
    "umt5-auraflow": {"encoder.block.0.layer.0.SelfAttention.q.weight": [2048, 2048]},
    "clip-l": {"text_model.embeddings.token_embedding.weight": [49408, 768]},
    "clip-g": {"text_model.embeddings.token_embedding.weight": [49408, 1280]},
    "qwen-2.5-vl-7b": {"model.layers.27.self_attn.q_proj.weight": [3584, 3584], "visual.patch_embed.w": [4]},
    "qwen-3-vl-4b": _words(151936, 2560, "visual.patch_embed.w"),
    "qwen-3-vl-8b": _words(151936, 4096, "model.visual.patch_embed.w"),
    "qwen-3-vl-32b": _words(151936, 5120, "visual.patch_embed.w"),
    "qwen-3-0.6b": _words(151936, 1024),
    "qwen-3-4b": _words(151936, 2560),
    "qwen-3-8b": _words(151936, 4096),
    "llama-3-8b": _words(128256, 4096),
    "mistral-small-3": _words(131072, 5120),
    "ministral-3-3b": _words(131072, 3072),
    "gemma-2-2b": _words(256000, 2304),
    "gemma-3-12b": _words(262208, 3840),
    "clip-vision-h": {"visual.patch_embedding.weight": [1280, 3, 14, 14]},
    "vae-wan-2.1": {"encoder.conv1.weight": [96, 3, 3, 3, 3], "encoder.downsamples.0.w": [4], "conv1.weight": [4]},
    "vae-wan-2.2": {"encoder.conv1.weight": [160, 12, 3, 3, 3], "encoder.downsamples.0.w": [4]},
    "vae-qwen-image": {"encoder.conv_in.weight": [96, 3, 3, 3, 3], "quant_conv.weight": [4]},
    "vae-hunyuan-video": {"encoder.down_blocks.0.resnets.0.conv1.conv.weight": [4]},
    "vae-hunyuan-video-15": {"decoder.conv_in.conv.weight": [1024, 32, 3, 3, 3]},
    "vae-hunyuan-image": {"decoder.conv_in.weight": [1024, 64, 3, 3]},
    "vae-flux": {"decoder.conv_in.weight": [512, 16, 3, 3], "decoder.up.0.w": [4]},
    "vae-flux-diffusers": {"decoder.conv_in.weight": [512, 16, 3, 3], "decoder.up_blocks.0.w": [4]},
    "vae-flux2": {"decoder.conv_in.weight": [512, 32, 3, 3], "bn.running_mean": [128]},
    "vae-sdxl": {"decoder.conv_in.weight": [512, 4, 3, 3], "decoder.up.0.w": [4]},
    "vae-sdxl-diffusers": {"decoder.conv_in.weight": [512, 4, 3, 3], "decoder.up_blocks.0.w": [4]},
    "sdxl-unet-diffusers": {"conv_in.weight": [320, 4, 3, 3], "down_blocks.0.resnets.0.conv1.weight": [4, 4]},
    "flux-diffusers": {"x_embedder.weight": [3072, 64], "single_transformer_blocks.37.attn.to_q.weight": [3072, 3072]},
    "cosmos-other": {"blocks.block0.blocks.0.block.attn.to_q.0.weight": [5120, 5120]},
    "controlnet": {
        "conv_in.weight": [320, 4, 3, 3],
        "down_blocks.0.resnets.0.conv1.weight": [4, 4],
        "controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3],
    },
    "wan-animate": _wan(
        5120,
        36,
        "blocks.0.cross_attn.k_img.weight",
        "face_adapter.fuser_blocks.0.k_norm.weight",
    ),
    "hidream-o1": {"t_embedder1.mlp.0.weight": [4, 4]},
    "vae-ltx": {"decoder.up_blocks.0.res_blocks.0.conv1.conv.weight": [4, 4]},
    "vae-cosmos": {"encoder.patcher3d.wavelets": [2], "decoder.unpatcher3d.wavelets": [2]},
    "anima-llm-adapter": {
        "embed.weight": [32128, 1024],
        "blocks.0.cross_attn.q_proj.weight": [1024, 1024],
        "out_proj.weight": [1024, 1024],
    },
    "language-model": _words(32000, 4096),
}


def header_bytes(shapes: Shapes, kind: str = "BF16", metadata: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """Return the start of a file with these tensors, and the number of bytes that follow."""
    bits = {"BF16": 2, "F8_E4M3": 1, "U8": 1, "F32": 4}[kind]
    entries: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + bits * math.prod(shape)
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text, end


def write_stand_in(path: Path, shapes: Shapes, kind: str = "BF16", metadata: Mapping[str, str] | None = None) -> Path:
    """Write a sparse file with these tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start, size = header_bytes(shapes, kind, metadata)
    path.write_bytes(start)
    os.truncate(path, len(start) + size)
    return path
