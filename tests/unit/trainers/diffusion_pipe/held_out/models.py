"""Creates weights of every model type below `models`: valid headers over sparse data, and files of other kinds."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.unit.trainers.diffusion_pipe.builders import WAN_CLIP, write_index, write_safetensors

_PICKLE = b"PK\x03\x04" + bytes(64) + b"PK\x05\x06" + bytes(18)
_FLUX = {"double_blocks": 19, "single_blocks": 38}
_HUNYUAN = {"double_blocks": 20, "single_blocks": 40}

#: File names with the lists of blocks in them, and their lengths.
_BLOCKS: Mapping[str, Mapping[str, int]] = {
    "flux1-dev": _FLUX,
    "chroma": _FLUX,
    "chroma_scaled": _FLUX,
    "hy": _HUNYUAN,
    "hyimg": _HUNYUAN,
    "lumina": {"layers": 26},
    "cosmos": {"net.blocks": 28},
    "wan13": {"model.diffusion_model.blocks": 30},
    "wan14": {"blocks": 40},
    "cp2": {"net.blocks": 28},
    "cp2_scaled": {"net.blocks": 28},
    "anima": {"net.blocks": 28},
    "qwen_image": {"transformer_blocks": 60},
    "qwen_image_scaled": {"transformer_blocks": 60},
    "aura": {"model.double_layers": 4, "model.single_layers": 32},
    "z": {"layers": 30},
    "hv15": {"double_blocks": 54},
    "hv15_distilled": {"double_blocks": 54},
    "flux2": {"double_blocks": 8, "single_blocks": 48},
    "klein4": {"double_blocks": 5, "single_blocks": 20},
    "flux2_odd": {"double_blocks": 8},
    "ernie": {"layers": 36},
    "ideo": {"layers": 34},
    "krea": {"blocks": 28},
    "ltx2": {"model.diffusion_model.transformer_blocks": 48},
    "ltx2_novae": {"model.diffusion_model.transformer_blocks": 48},
    "ltx-video-2b": {"model.diffusion_model.transformer_blocks": 28},
    "h3": {"blocks": 50},
}

#: Tensors besides the blocks, by which a file is recognised.
_TENSORS: Mapping[str, dict[str, list[int]]] = {
    "chroma_scaled": {"double_blocks.0.img_attn.qkv.scale_weight": [1]},
    "cp2_scaled": {"net.blocks.0.mlp.layer1.scale_weight": [1]},
    "qwen_image_scaled": {"transformer_blocks.0.attn.to_q.scale_weight": [1]},
    "hv15_distilled": {"guidance_in.in_layer.weight": [4, 4]},
    "flux2": {"img_in.weight": [6144, 128]},
    "klein4": {"img_in.weight": [3072, 128]},
    "flux2_odd": {"img_in.weight": [2048, 128]},
    "ltx2": {"vae.encoder.conv_in.conv.weight": [4, 4]},
}
_OTHERS = [
    "vae",
    "sdxl",
    "t5",
    "gemma",
    "umt5",
    "wvae",
    "qwen06",
    "qwen25",
    "qvae",
    "byt5",
    "qwen3_4b",
    "gemma12",
    "h3vae",
    "h3audio",
    "qwen32",
    "mistral",
    "f2vae",
]
_PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "mllm")

#: Directories in the format of diffusers, with their pipelines.
_PIPELINES = {"flux": "flux", "ltx": "ltx-video", "hidream": "hidream", "sd3": "sd3", "omni": "omnigen2"}


def make_models(models: Path) -> None:
    """Create all files."""
    for name in (*_BLOCKS, *_OTHERS, "a,b {c}", "it's"):
        tensors = {f"{part}.{i}.w": [4, 4] for part, count in _BLOCKS.get(name, {}).items() for i in range(count)}
        write_safetensors(models / f"{name}.safetensors", tensors | _TENSORS.get(name, {"w": [4, 4]}))
    for name in ("flux", "ltx", "hidream", "sd3", "omni", "qwen", "llama", "clip"):
        for part in _PARTS:
            write_safetensors(models / name / part / "model.safetensors", {"w": [4, 4]})
    for name, model_type in _PIPELINES.items():
        write_index(models / name, model_type)
    for name in ("llama", "clip"):
        write_safetensors(models / name / "model.safetensors", {"w": [4, 4]})
    _make_wans(models)
    _make_adapters(models)
    _make_misnamed(models)


def _make_wan(folder: Path, kind: str, width: int, layers: int) -> None:
    (folder / "google" / "umt5-xxl").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "dim": width, "num_layers": layers}))
    mark = {"blocks.0.cross_attn.k_img.weight": [4, 4]} if kind == "i2v" else {}
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", {"blocks.0.self_attn.q.weight": [4, 4]} | mark)
    for name in ("models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth", "Wan2.2_VAE.pth", WAN_CLIP):
        (folder / name).write_bytes(_PICKLE)


def _make_wans(models: Path) -> None:
    for name, kind, width, layers in (
        ("wan", "t2v", 1536, 30),
        ("wan14", "t2v", 5120, 40),
        ("wani", "i2v", 5120, 40),
        ("wan5b", "ti2v", 3072, 30),
        ("wan_s2v", "s2v", 5120, 40),
        ("wan_2048", "t2v", 2048, 30),
        ("wan_ti2v14", "ti2v", 5120, 40),
        ("wan_noconf", "t2v", 1536, 30),
        ("Wan2.2-A14B", "t2v", 5120, 40),
    ):
        _make_wan(models / name, kind, width, layers)
    (models / "wan_noconf" / "config.json").unlink()
    directory = models / "Wan2.2-A14B"
    for half in ("low_noise_model", "high_noise_model"):
        (directory / half).mkdir()
        (directory / half / "config.json").write_text((directory / "config.json").read_text())
        write_safetensors(directory / half / "diffusion_pytorch_model.safetensors", {"blocks.0.w": [4, 4]})
    (directory / "config.json").unlink()
    (directory / "diffusion_pytorch_model.safetensors").unlink()


def _make_adapters(models: Path) -> None:
    tensors = {"diffusion_model.layers.0.attention.qkv.lora_A.weight": [32, 4]}
    for path in ("lora/adapter_model", "lora_two/a", "lora_two/b"):
        write_safetensors(models / f"{path}.safetensors", tensors)
    (models / "lora_none").mkdir()
    (models / "lora_none" / "adapter_config.json").write_text("{}")


def _make_misnamed(models: Path) -> None:
    for source, name in (("qwen25", "te.bin"), ("chroma", "chroma.sft"), ("vae", "vae.sft")):
        (models / name).write_bytes((models / f"{source}.safetensors").read_bytes())
    (models / "zlink.safetensors").symlink_to(models / "z.safetensors")
    (models / "half.safetensors").write_bytes((models / "z.safetensors").read_bytes()[:-20])
    for name, content in (
        ("z.gguf", b"GGUF\x03\0\0\0" + bytes(64)),
        ("html.safetensors", b"<!DOCTYPE html><html>Access denied</html>"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64),
        ("zero.safetensors", b""),
    ):
        (models / name).write_bytes(content)
