import json
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.diffusers_check import is_replaced
from tests.unit.trainers.diffusion_pipe.builders import Case, write_safetensors

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


def test_each_part_with_weights_that_the_index_names_is_there(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    directory = Path(case.config["model"]["diffusers_path"])
    (directory / "model_index.json").write_text(json.dumps(INDEX))
    assert len(case.errors()) == 4
    for part in ("text_encoder", "text_encoder_3", "transformer", "vae"):
        write_safetensors(directory / part / "model.safetensors")
    assert case.errors() == []


@pytest.mark.parametrize("text", ["[]", "{", '{"vae": 3, "../x": ["a", "BModel"]}', "[" * 60_000])
def test_index_that_lies_says_nothing(tmp_path: Path, text: str):
    case = Case(tmp_path, "sd3")
    (Path(case.config["model"]["diffusers_path"]) / "model_index.json").write_text(text)
    assert case.errors() == []


def test_part_that_another_key_names_is_not_opened():
    assert is_replaced("transformer", {"transformer_path": "a"})
    assert not is_replaced("transformer", {"transformer_path": ""})
    assert not is_replaced("vae", {"transformer_path": "a"})
