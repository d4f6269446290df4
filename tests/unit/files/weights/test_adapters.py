import time

import pytest

from api.domain.models.weights import AdapterKind
from api.files.weights.adapters import read_adapter
from api.files.weights.header import Header
from tests.patience import BUSY_SECONDS


@pytest.mark.parametrize(
    ("name", "keys", "model_type", "readers"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", "diffusers", "flux", ("ComfyUI", "diffusers")),
        ("transformer.transformer_blocks.0.attn.to_q", "diffusers", None, ("ComfyUI", "diffusers")),
        ("transformer.double_blocks.0.img_attn_qkv", "original", "hunyuan-video", ("ComfyUI",)),
        ("blocks.0.self_attn.q", "comfyui", "wan", ("ComfyUI",)),
    ],
)
def test_lora_has_rank_and_naming(name: str, keys: str, model_type: str | None, readers: tuple[str, ...]):
    shapes = {f"{name}.lora_A.weight": (32, 3072), f"{name}.lora_B.weight": (3072, 32)}
    prefixes = frozenset({"diffusion_model."}) if keys == "comfyui" else frozenset[str]()
    found = read_adapter(Header(shapes, prefixes=prefixes))
    assert found is not None
    assert (found.kind, found.rank, found.keys) == (AdapterKind.LORA, 32, keys)
    assert (found.model_type, found.readers) == (model_type, readers)


def test_lora_of_sdxl_has_kohya_names():
    names = ("lora_te2_a.lora_down.weight", "lora_te2_a.lora_up.weight", "lora_te2_a.alpha")
    found = read_adapter(Header(dict(zip(names, ((8, 4), (4, 8), ()), strict=True))))
    assert found is not None
    assert (found.rank, found.keys, found.model_type) == (8, "kohya", "sdxl")


def test_lokr_has_no_visible_rank():
    found = read_adapter(Header({"a.lokr_w1": (4, 4), "a.lokr_w2": (8, 8)}))
    assert found is not None
    assert (found.kind, found.rank) == (AdapterKind.LOKR, None)


def test_layers_with_different_ranks_have_no_rank():
    found = read_adapter(Header({"a.lora_A.weight": (8, 4), "b.lora_A.weight": (16, 4)}))
    assert found is not None
    assert found.rank is None


def lora(layer: str, width: int, down: str = "lora_A", up: str = "lora_B") -> Header:
    return Header({f"{layer}.{down}.weight": (8, width), f"{layer}.{up}.weight": (width, 8)})


def kohya(layer: str, width: int) -> Header:
    found = dict(lora(f"lora_unet_{layer}", width, "lora_down", "lora_up").shapes)
    return Header({**found, f"lora_unet_{layer}.alpha": ()})


def lokr(layer: str, first: int, second: int) -> Header:
    return Header({f"{layer}.lokr_w1": (4, first), f"{layer}.lokr_w2_a": (99, 8), f"{layer}.lokr_w2_b": (8, second)})


def loha(layer: str, width: int) -> Header:
    return Header({f"{layer}.hada_{name}": (width, 8) if name[-1] == "a" else (8, width) for name in HADA})


HADA = ("w1_a", "w1_b", "w2_a", "w2_b")


@pytest.mark.parametrize(
    ("header", "model_type"),
    [
        # kohya's sd-scripts and musubi-tuner
        (kohya("input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048), "sdxl"),
        (kohya("input_blocks_4_1_transformer_blocks_0_attn2_to_k", 768), None),
        (kohya("double_blocks_0_img_mod_lin", 3072), "flux"),
        (kohya("joint_blocks_0_x_block_attn_qkv", 1536), "sd3"),
        (kohya("blocks_0_self_attn_q", 5120), "wan"),
        (kohya("double_blocks_0_img_mlp_fc1", 3072), "hunyuan-video"),
        (kohya("double_blocks_0_img_attn_qkv", 3584), "hunyuan_image"),
        (kohya("double_blocks_0_img_attn_qkv", 2048), "hunyuan_video_15"),
        (kohya("double_blocks_0_img_attn_qkv", 6144), "flux2"),
        (kohya("double_blocks_0_img_attn_qkv", 3072), None),  # Flux.1, Chroma or Klein 4B
        (kohya("transformer_blocks_0_img_mlp_net_0_proj", 3072), "qwen_image"),
        (kohya("layers_0_attention_to_q", 3840), "z_image"),
        # this trainer, diffusers and PEFT
        (lora("layers.0.attention.qkv", 2304), "lumina_2"),
        (lora("diffusion_model.blocks.0.attn.qkv_proj", 6144), "minimax_h3"),
        (lora("diffusion_model.transformer_blocks.0.audio_attn1.to_q", 2048), "ltx2"),
        (lora("transformer.joint_transformer_blocks.0.attn.to_q", 3072), "auraflow"),
        (lora("transformer.transformer_blocks.0.attn.add_q_proj", 1536), "sd3"),
        (lora("transformer.blocks.0.attn1.to_q", 5120), "wan"),
        (lora("transformer.blocks.0.attn1.to_q", 1408), None),  # HunyuanDiT
        (lora("base_model.model.blocks.0.self_attn.q", 5120), "wan"),
        (lora("blocks.0.self_attn.q_proj", 2048), None),  # Cosmos Predict 2 or Anima
        # LyCORIS
        (lokr("lycoris_blocks_0_self_attn_q", 40, 128), "wan"),
        (lokr("diffusion_model.layers.0.attention.qkv", 60, 64), "z_image"),
        (lokr("diffusion_model.layers.0.attention.qkv", 48, 48), "lumina_2"),
        (loha("lora_unet_double_blocks_0_img_attn_qkv", 4096), "flux2"),
        (loha("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v", 2048), "sdxl"),
    ],
)
def test_base_model_is_recognised_by_layers(header: Header, model_type: str | None):
    found = read_adapter(header)
    assert found is not None
    assert found.model_type == model_type


@pytest.mark.parametrize(
    "scale", ["lora_unet_blocks_0_self_attn_q.dora_scale", "blocks.0.self_attn.q.lora_magnitude_vector.weight"]
)
def test_dora_has_its_own_kind_and_the_base_model_of_its_lora(scale: str):
    found = read_adapter(Header({**kohya("blocks_0_self_attn_q", 1536).shapes, scale: (1536, 1)}))
    assert found is not None
    assert (found.kind, found.model_type, found.rank) == (AdapterKind.DORA, "wan", 8)


def test_ranks_of_factored_lokr_and_loha_are_detected():
    found = [read_adapter(lokr("a", 4, 8)), read_adapter(loha("a", 64))]
    assert [each.rank for each in found if each is not None] == [8, 8]


def test_hostile_names_are_read_quickly():
    names = {f"down_blocks_{'x' * 200}{number:x}y.lora_A.weight": (8, 8) for number in range(20_000)}
    began = time.monotonic()
    assert read_adapter(Header(names)) is not None
    assert time.monotonic() - began < 5 + BUSY_SECONDS


def test_model_is_not_an_adapter():
    assert read_adapter(Header({"a.weight": (4,), "b.weight": (4,), "c.lora_A.weight": (4, 4)})) is None
    assert read_adapter(Header({})) is None
