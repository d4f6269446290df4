from pathlib import Path

import pytest

from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, write_safetensors

WAN = {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": [16, 8], "diffusion_model.a.lora_B.weight": [8, 16]}
Z_IMAGE = {
    "diffusion_model.noise_refiner.0.attention.out.lora_A.weight": [16, 3840],
    "diffusion_model.noise_refiner.0.attention.out.lora_B.weight": [3840, 16],
}


def test_model_is_rejected_as_existing_adapter(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(tmp_path / "lora" / "a.safetensors", STAND_INS["z-image"])
    case.config["adapter"]["init_from_existing"] = str(tmp_path / "lora")
    assert case.errors() == ["/config/adapter/init_from_existing"]


@pytest.mark.parametrize(("tensors", "fits"), [(Z_IMAGE, True), (WAN, False)])
def test_merged_adapter_must_fit_the_model(tmp_path: Path, tensors: dict[str, list[int]], fits: bool):
    case = Case(tmp_path, "z_image")
    case.config["model"]["merge_adapters"] = [write_safetensors(tmp_path / "a.safetensors", tensors)]
    found = [each.message for each in case.check().errors]
    assert found == ([] if fits else ["a.safetensors is an adapter for wan."])


def test_fused_file_must_be_an_adapter(tmp_path: Path):
    case = Case(tmp_path, "flux")
    model = write_stand_in(tmp_path / "a.safetensors", STAND_INS["flux-dev"])
    case.config["adapter"]["fuse_adapters"] = [{"path": str(model), "weight": 1.0}]
    assert case.only_error().pointer == "/config/adapter/fuse_adapters/0/path"
