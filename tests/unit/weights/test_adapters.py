import pytest

from api.models.weights import AdapterKind
from api.weights.adapters import read_adapter
from api.weights.header import Header


@pytest.mark.parametrize(
    ("name", "keys", "model_type", "readers"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", "diffusers", "flux", ("ComfyUI", "diffusers")),
        ("transformer.transformer_blocks.0.attn.to_q", "diffusers", None, ("ComfyUI", "diffusers")),
        ("transformer.double_blocks.0.img_attn_qkv", "original", "hunyuan-video", ("ComfyUI",)),
        ("blocks.0.self_attn.q", "comfyui", "wan", ("ComfyUI",)),
    ],
)
def test_lora_tells_its_rank_and_its_names(name: str, keys: str, model_type: str | None, readers: tuple[str, ...]):
    shapes = {f"{name}.lora_A.weight": (32, 3072), f"{name}.lora_B.weight": (3072, 32)}
    prefixes = frozenset({"diffusion_model."}) if keys == "comfyui" else frozenset[str]()
    found = read_adapter(Header(shapes, prefixes=prefixes))
    assert found is not None
    assert (found.kind, found.rank, found.keys) == (AdapterKind.LORA, 32, keys)
    assert (found.model_type, found.readers) == (model_type, readers)


def test_lora_of_sdxl_has_the_names_of_kohya():
    names = ("lora_te2_a.lora_down.weight", "lora_te2_a.lora_up.weight", "lora_te2_a.alpha")
    found = read_adapter(Header(dict(zip(names, ((8, 4), (4, 8), ()), strict=True))))
    assert found is not None
    assert (found.rank, found.keys, found.model_type) == (8, "kohya", "sdxl")


def test_lokr_has_no_rank_that_its_tensors_tell():
    found = read_adapter(Header({"a.lokr_w1": (4, 4), "a.lokr_w2": (8, 8)}))
    assert found is not None
    assert (found.kind, found.rank) == (AdapterKind.LOKR, None)


def test_layers_of_different_ranks_give_none():
    found = read_adapter(Header({"a.lora_A.weight": (8, 4), "b.lora_A.weight": (16, 4)}))
    assert found is not None
    assert found.rank is None


def test_model_is_no_adapter():
    assert read_adapter(Header({"a.weight": (4,), "b.weight": (4,), "c.lora_A.weight": (4, 4)})) is None
    assert read_adapter(Header({})) is None
