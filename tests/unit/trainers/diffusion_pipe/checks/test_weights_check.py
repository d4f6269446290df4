from pathlib import Path
from typing import Any

import pytest

from api.trainers.diffusion_pipe.checks.weights_check import most_swapped
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import (
    PICKLE,
    Case,
    make_images,
    write_safetensors,
)


@pytest.mark.parametrize(
    ("blocks", "most"),
    [((19, 38), 34), ((20, 40), 36), ((16, 32), 28), ((8, 48), 13), ((8, 24), 13), ((5, 20), 7), ((60,), 58)],
)
def test_block_swap_limits_match_the_trainers_arithmetic(blocks: tuple[int, ...], most: int):
    assert most_swapped(blocks) == most


@pytest.mark.parametrize(
    ("model_type", "most"),
    [
        ("flux", 34), ("chroma", 34), ("hunyuan-video", 36), ("hunyuan_image", 36), ("hidream", 28), ("auraflow", 30),
        ("qwen_image", 58), ("wan", 28),
    ],
)  # fmt: skip
def test_more_blocks_than_can_be_swapped_are_an_error(tmp_path: Path, model_type: str, most: int):
    case = Case(tmp_path, model_type)
    case.config["blocks_to_swap"] = most
    assert case.errors() == []
    case.config["blocks_to_swap"] = most + 1
    assert case.errors() == ["/config/blocks_to_swap"]


@pytest.mark.parametrize(("model_type", "most"), [("z_image", 28), ("ideogram4", 32), ("krea2", 26), ("ltx2", 46)])
def test_uncertain_number_of_blocks_is_only_a_warning(tmp_path: Path, model_type: str, most: int):
    case = Case(tmp_path, model_type)
    case.config["model"]["diffusion_model"] = write_safetensors(tmp_path / "w.safetensors", {"vae.w": [1]})
    case.config["blocks_to_swap"] = most + 1
    assert "/config/blocks_to_swap" in case.warnings()


@pytest.mark.parametrize(
    ("model_type", "key", "names", "most"),
    [
        ("z_image", "diffusion_model", ["layers.19.w"], 18),
        ("flux2", "diffusion_model", ["double_blocks.7.w", "model.diffusion_model.single_blocks.47.w"], 13),
        ("anima", "transformer_path", ["net.blocks.35.w"], 34),
        ("cosmos_predict2", "transformer_path", ["blocks.27.w"], 26),
    ],
)
def test_blocks_are_counted_in_the_weights(tmp_path: Path, model_type: str, key: str, names: list[str], most: int):
    case = Case(tmp_path, model_type)
    tensors = {name: [1] for name in names} | ({"img_in.weight": [6144, 1]} if model_type == "flux2" else {})
    case.config["model"][key] = write_safetensors(tmp_path / "w.safetensors", tensors)
    case.config["blocks_to_swap"] = most
    assert case.errors() == []
    case.config["blocks_to_swap"] = most + 1
    assert case.errors() == ["/config/blocks_to_swap"]


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"model": {"dtype": "float8"}}, "/config/model/dtype"),
        ({"model": {"dtype": "float8_e5m2"}}, "/config/model/dtype"),
        ({"adapter": {"dtype": "float8"}}, "/config/adapter/dtype"),
    ],
)
def test_unsupported_small_dtype_is_an_error(tmp_path: Path, values: dict[str, dict[str, Any]], pointer: str):
    case = Case(tmp_path, "chroma")
    for table, changes in values.items():
        case.config[table].update(changes)
    assert case.errors() == [pointer]


def test_full_fine_tuning_of_small_weights_is_an_error(tmp_path: Path):
    case = Case(tmp_path, "chroma")
    case.config["model"]["transformer_dtype"] = "float8"
    assert case.errors() == []
    del case.config["adapter"]
    assert case.errors() == ["/config/model/transformer_dtype"]


@pytest.mark.parametrize("model_type", ["sdxl", "lumina_2", "cosmos", "omnigen2"])
def test_dtype_key_of_a_type_without_one_is_ignored(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["model"]["transformer_dtype"] = "float8"
    assert case.warnings() == ["/config/model/transformer_dtype"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_parts_of_a_diffusers_model_are_examined(tmp_path: Path, name: str):
    case = Case(tmp_path, "sd3")
    part = Path(case.config["model"]["diffusers_path"]) / "text_encoder"
    part.mkdir()
    (part / name).write_bytes(PICKLE)
    assert case.errors() == ["/config/model/diffusers_path"]


def test_qwen_image_needs_each_part(tmp_path: Path):
    case = Case(tmp_path, "qwen_image")
    del case.config["model"]["transformer_path"]
    directory = make_images(tmp_path / "qwen", 0)
    directory.mkdir(exist_ok=True)
    case.config["model"]["diffusers_path"] = str(directory)
    assert case.errors() == ["/config/model/diffusers_path"]
    write_safetensors(directory / "transformer" / "model-00001-of-00001.safetensors")
    assert case.errors() == []


@pytest.mark.parametrize(
    ("model_type", "tensors"),
    [
        ("flux2", {"img_in.weight": [2048, 1]}),
        ("flux2", {"double_blocks.0.w": [1]}),
        ("hunyuan_video_15", {"guidance_in.in_layer.weight": [1]}),
        ("ltx2", {"transformer_blocks.0.w": [1]}),
    ],
)
def test_weights_of_an_untrainable_model_are_an_error(tmp_path: Path, model_type: str, tensors: dict[str, list[int]]):
    case = Case(tmp_path, model_type)
    case.config["model"]["diffusion_model"] = write_safetensors(tmp_path / "w.safetensors", tensors)
    assert case.errors() == ["/config/model/diffusion_model"]


@pytest.mark.parametrize(
    "gone", ["hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.pt", "text_encoder_2/model.safetensors"]
)
def test_hunyuan_video_directory_must_have_all_opened_files(tmp_path: Path, gone: str):
    case = Case(tmp_path, "hunyuan-video")
    assert case.errors() == []
    (Path(case.config["model"]["ckpt_path"]) / gone).unlink()
    assert gone.partition("/model.")[0] in case.only_error().message


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
