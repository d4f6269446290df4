from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, write_safetensors


@pytest.mark.parametrize("name", ["a.scale_weight", "a.weight_scale", "a.comfy_quant"])
def test_scaled_weights_are_limited_to_comfyui_types(tmp_path: Path, name: str):
    case = Case(tmp_path, "hunyuan_image")
    case.config["model"]["transformer_path"] = write_safetensors(tmp_path / "w.safetensors", {name: [1]})
    assert case.errors() == ["/config/model/transformer_path"]
    case = Case(tmp_path, "z_image")
    case.config["model"]["diffusion_model"] = write_safetensors(tmp_path / "w.safetensors", {name: [1]})
    assert case.errors() == []


def test_quantised_weights_can_only_train_an_adapter(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    case.config["model"]["diffusion_model"] = write_safetensors(tmp_path / "w.safetensors", {"a.comfy_quant": [1]})
    del case.config["adapter"]
    assert case.errors() == ["/config/model/diffusion_model"]
    case.config["model"]["diffusion_model_dtype"] = "bfloat16"
    assert case.errors() == []
