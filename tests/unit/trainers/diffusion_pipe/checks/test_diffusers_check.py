import json
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.checks.diffusers_check import is_replaced
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, write_index, write_safetensors

INDEX = {
    "_class_name": "StableDiffusion3Pipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": [None, None],
}


def test_missing_part_of_the_index_is_an_error(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    directory = Path(case.config["model"]["diffusers_path"])
    (directory / "model_index.json").write_text(json.dumps(INDEX))
    assert len(case.errors()) == 4
    for part in ("text_encoder", "text_encoder_3", "transformer", "vae"):
        write_safetensors(directory / part / "model.safetensors")
    assert case.errors() == []


@pytest.mark.parametrize("text", ["[]", "{", "[" * 60_000, None])
def test_model_without_a_readable_index_is_rejected_with_its_content(tmp_path: Path, text: str | None):
    case = Case(tmp_path, "sd3")
    directory = Path(case.config["model"]["diffusers_path"])
    write_stand_in(directory / "a.safetensors", STAND_INS["sd3-single-file"])
    index = directory / "model_index.json"
    index.unlink() if text is None else index.write_text(text)
    assert "a checkpoint of Stable Diffusion 3 as a single file" in case.only_error().message


@pytest.mark.parametrize(
    ("pipeline", "fits"),
    [("StableDiffusion3Pipeline", True), ("StableDiffusionXLPipeline", False), ("FluxPipeline", False), ("Mine", True)],
)
def test_model_of_another_pipeline_is_rejected(tmp_path: Path, pipeline: str, fits: bool):
    case = Case(tmp_path, "sd3")
    (Path(case.config["model"]["diffusers_path"]) / "model_index.json").write_text(
        json.dumps({"_class_name": pipeline})
    )
    assert [pipeline in each.message for each in case.check().errors] == ([] if fits else [True])


def test_index_with_invalid_parts_is_ignored(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    (Path(case.config["model"]["diffusers_path"]) / "model_index.json").write_text(
        '{"vae": 3, "../x": ["a", "BModel"]}'
    )
    assert case.errors() == []


def test_part_with_only_a_variant_is_missing(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    directory = Path(case.config["model"]["diffusers_path"])
    write_index(directory, "sd3", vae=["diffusers", "AutoencoderKL"])
    write_safetensors(directory / "vae" / "model.fp16.safetensors")
    assert "`vae`" in case.only_error().message


def test_single_files_next_to_the_parts_are_not_opened(tmp_path: Path):
    case = Case(tmp_path, "flux")
    directory = Path(case.config["model"]["diffusers_path"])
    write_stand_in(directory / "flux1-dev.safetensors", STAND_INS["flux-dev"])
    (directory / "ae.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    assert case.errors() == []


def test_part_replaced_by_another_key_is_not_opened():
    assert is_replaced("transformer", {"transformer_path": "a"})
    assert not is_replaced("transformer", {"transformer_path": ""})
    assert not is_replaced("vae", {"transformer_path": "a"})
