"""The names of adapters in checkpoints and in saved models."""

import pytest

from api.trainers.diffusion_pipe.models.adapter_layers import UnknownLayers, saved_names
from api.trainers.diffusion_pipe.models.registry import ADAPTER_FORMS, MODELS


def lora(*modules: str) -> list[str]:
    return [f"{module}.lora_{half}.default.weight" for module in modules for half in "AB"]


def names(model_type: str, layers: dict[int, list[str]]) -> set[str]:
    return set(saved_names(ADAPTER_FORMS[model_type], layers).values())


def test_every_form_is_of_a_model_type_of_the_trainer():
    assert set(ADAPTER_FORMS) <= set(MODELS)


def test_flux_names_its_two_lists_of_blocks():
    layers = {
        0: [],
        1: lora("block.norm1.linear", "block.attn.to_q"),
        2: lora("block.norm1.linear"),
        3: lora("block.proj_mlp", "block.attn.to_q"),
        4: [],
    }
    assert names("flux", layers) == {
        f"transformer.{module}.lora_{half}.weight"
        for half in "AB"
        for module in (
            "transformer_blocks.0.norm1.linear",
            "transformer_blocks.0.attn.to_q",
            "transformer_blocks.1.norm1.linear",
            "single_transformer_blocks.0.proj_mlp",
            "single_transformer_blocks.0.attn.to_q",
        )
    }


def test_wan_names_its_blocks_for_comfyui():
    layers = {0: ["freqs"], 1: [*lora("block.ffn.0"), "block.norm.weight"], 2: lora("block.ffn.0"), 3: []}
    found = {f"diffusion_model.blocks.{at}.ffn.0.lora_{half}.weight" for at in (0, 1) for half in "AB"}
    assert names("wan", layers) == found


@pytest.mark.parametrize("middle", [{}, {2: []}], ids=["a function has no file", "a layer without parameters"])
def test_layer_without_adapters_separates_two_lists(middle: dict[int, list[str]]):
    layers = {0: [], 1: lora("layer.img_attn.qkv"), **middle, 3: lora("layer.linear1"), 4: lora("layer.linear1"), 5: []}
    found = {name.removesuffix(".weight") for name in names("flux2", layers)}
    assert found == {
        f"diffusion_model.{block}.lora_{half}"
        for half in "AB"
        for block in ("double_blocks.0.img_attn.qkv", "single_blocks.0.linear1", "single_blocks.1.linear1")
    }


def test_layers_without_a_block_keep_their_names():
    layers = {0: lora("txtfusion.blocks.0.to_q"), 1: lora("layer.attn.q"), 2: []}
    assert "diffusion_model.txtfusion.blocks.0.to_q.lora_A.weight" in names("krea2", layers)


@pytest.mark.parametrize(
    ("model_type", "layers"),
    [
        ("wan", {}),
        ("wan", {0: [], 1: [], 2: []}),
        ("wan", {0: [], 2: lora("block.ffn.0"), 3: []}),
        ("wan", {1: lora("block.ffn.0"), 2: lora("block.ffn.0"), 3: []}),
        ("wan", {0: [], 1: lora("other.ffn.0"), 2: []}),
        ("flux", {0: [], 1: lora("block.attn.to_q"), 2: lora("block.attn.to_q"), 3: []}),
        ("flux", {0: [], 1: lora("block.proj_mlp"), 2: lora("block.norm1.linear"), 3: []}),
        ("chroma", {0: [], 1: lora("block.a"), 2: lora("block.a"), 3: []}),
        ("chroma", {0: [], 1: lora("block.a"), 3: lora("block.a"), 5: lora("block.a"), 6: []}),
    ],
)
def test_unexpected_layers_are_rejected(model_type: str, layers: dict[int, list[str]]):
    with pytest.raises(UnknownLayers):
        saved_names(ADAPTER_FORMS[model_type], layers)
