from pathlib import Path

import pytest

from api.files.weights.model_directories import find_missing_parts, kind_of, parts_with_weights, read_json

FLUX = {
    "_class_name": "FluxPipeline",
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": [None, None],
}
WAN = {"google/umt5-xxl": ["a"], "": ["config.json", "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"]}


@pytest.mark.parametrize(
    ("index", "config", "kind"),
    [
        (FLUX, None, "diffusers:FluxPipeline"),
        (None, {"model_type": "t2v", "dim": 5120}, "wan:t2v:5120"),
        (None, {"architectures": ["LlamaForCausalLM"]}, "transformers:LlamaForCausalLM"),
        (None, {"model_type": "t2v", "dim": "5120"}, None),
        (None, {"architectures": [3]}, None),
        ({"_class_name": 3}, {}, None),
        (None, None, None),
    ],
)
def test_model_is_identified_by_its_configuration(index: object, config: object, kind: str | None):
    assert kind_of(index, config) == kind  # type: ignore[arg-type]


def test_parts_with_weights_are_identified_by_class_names():
    assert list(parts_with_weights(FLUX)) == ["text_encoder", "transformer", "vae"]


def test_parts_without_weights_are_missing(tmp_path: Path):
    present = {"vae": ["a.safetensors"], "transformer": ["a-00001-of-00002.safetensors"]}
    assert find_missing_parts(tmp_path, "diffusers:FluxPipeline", FLUX, present) == ["text_encoder", "transformer"]


@pytest.mark.parametrize(
    ("kind", "more", "missing"),
    [
        ("wan:t2v:5120", ["w.safetensors"], []),
        ("wan:t2v:5120", [], ["diffusion_pytorch_model.safetensors"]),
        ("wan:ti2v:3072", ["w.safetensors"], ["Wan2.2_VAE.pth"]),
    ],
)
def test_wan_directory_needs_all_parts(tmp_path: Path, kind: str, more: list[str], missing: list[str]):
    assert find_missing_parts(tmp_path, kind, None, {**WAN, "": [*WAN[""], *more]}) == missing


def test_wan_weights_may_be_in_separate_directories(tmp_path: Path):
    assert find_missing_parts(tmp_path, "wan:t2v:5120", None, {**WAN, "high_noise_model": ["w.safetensors"]}) == []


def test_transformers_model_without_weights_lacks_them(tmp_path: Path):
    assert find_missing_parts(tmp_path, "transformers:A", None, {"": ["config.json"]}) == ["model.safetensors"]


@pytest.mark.parametrize("text", ["[]", "{", "[" * 60_000, "3"])
def test_configuration_that_is_not_an_object_is_none(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "b.json") is None
