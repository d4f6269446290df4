import json
import os
from pathlib import Path

import pytest

from api.files.weights.fingerprints.table import FINGERPRINTS
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, make_wan

_PREFIX = "model.diffusion_model."


def test_adapter_is_no_model(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(Path(case.config["model"]["diffusion_model"]), {"a.lora_A.weight": [8, 4]})
    assert "adapter" in case.only_error().message


def test_export_with_a_prefix_is_refused_where_the_trainer_takes_none(tmp_path: Path):
    case = Case(tmp_path, "flux")
    path = write_stand_in(tmp_path / "f.safetensors", {_PREFIX + name: s for name, s in STAND_INS["flux-dev"].items()})
    case.config["model"]["transformer_path"] = str(path)
    assert _PREFIX in case.only_error().message
    write_stand_in(path, STAND_INS["flux-dev"])
    assert case.errors() == []


@pytest.mark.parametrize(
    ("main", "encoder", "works"),
    [
        ("flux2-dev", "mistral-small-3", True),
        ("flux2-dev", "qwen-3-8b", False),
        ("flux2-klein-4b", "qwen-3-4b", True),
        ("flux2-klein-9b", "qwen-3-4b", False),
    ],
)
def test_text_encoder_of_flux2_fits_its_transformer(tmp_path: Path, main: str, encoder: str, works: bool):
    case = Case(tmp_path, "flux2")
    write_stand_in(Path(case.config["model"]["diffusion_model"]), STAND_INS[main])
    write_stand_in(Path(case.config["model"]["text_encoders"][0]["path"]), STAND_INS[encoder])
    assert case.errors() == ([] if works else ["/config/model/text_encoders/0/path"])


def test_text_encoder_of_another_model_is_refused(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(Path(case.config["model"]["text_encoders"][0]["path"]), STAND_INS["qwen-3-8b"])
    assert case.only_error().remedy == "Here belongs the text encoder Qwen3 4B."


@pytest.mark.parametrize(
    ("kind", "width", "name", "works"),
    [
        ("t2v", 5120, "wan-t2v-14b", True),
        ("i2v", 5120, "wan-t2v-14b", False),
        ("t2v", 1536, "wan-t2v-14b", False),
        ("i2v", 5120, "wan-2.2-i2v-14b", True),
        ("flf2v", 5120, "wan-2.1-i2v-14b", False),
        ("ti2v", 3072, "wan-2.2-ti2v-5b", True),
    ],
)
def test_weights_of_wan_fit_its_config(tmp_path: Path, kind: str, width: int, name: str, works: bool):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other", kind, width)
    write_stand_in(directory / "model.safetensors", STAND_INS[name])
    case.config["model"]["ckpt_path"] = str(directory)
    assert ("/config/model/ckpt_path" not in case.errors()) is works


def test_missing_shard_is_named(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    os.rename(directory / "model.safetensors", directory / "model-00002-of-00002.safetensors")
    case.config["model"]["ckpt_path"] = str(directory)
    assert "model-00001-of-00002.safetensors" in case.only_error().message


def test_an_index_that_leads_out_of_its_directory_is_refused(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    index = json.dumps({"weight_map": {"a": "../../tasks/another/adapter_model.safetensors"}})
    (directory / "model.safetensors.index.json").write_text(index)
    case.config["model"]["ckpt_path"] = str(directory)
    assert "names a file elsewhere: ../../tasks/another/" in case.only_error().message


def test_weights_that_are_named_elsewhere_need_not_be_in_the_directory(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    os.rename(directory / "model.safetensors", directory / "model-00002-of-00002.safetensors")
    elsewhere = write_stand_in(tmp_path / "w.safetensors", STAND_INS["wan-2.1-t2v-1.3b"])
    case.config["model"] |= {"ckpt_path": str(directory), "transformer_path": str(elsewhere)}
    assert case.errors() == []


@pytest.mark.parametrize("key", ["t5_path", "llm_path"])
def test_adapter_of_anima_decides_which_of_two_types_a_file_is(tmp_path: Path, key: str):
    case = Case(tmp_path, "cosmos_predict2")
    case.config["model"][key] = case.config["model"].pop("t5_path")
    if key == "llm_path":
        write_stand_in(Path(case.config["model"][key]), STAND_INS["qwen-3-0.6b"])
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS["anima"])
    assert case.errors() == ([] if key == "llm_path" else ["/config/model/transformer_path"])


def test_part_of_a_diffusers_model_is_judged_too(tmp_path: Path):
    case = Case(tmp_path, "flux")
    part = Path(case.config["model"]["diffusers_path"]) / "vae"
    write_stand_in(part / "model.safetensors", STAND_INS["vae-flux-diffusers"])
    assert case.errors() == []
    write_stand_in(part / "model.safetensors", STAND_INS["vae-sdxl-diffusers"])
    assert case.errors() == ["/config/model/diffusers_path"]


@pytest.mark.parametrize(
    ("model_type", "key", "name", "prefix", "is_taken"),
    [
        ("anima", "transformer_path", "anima", "net.", True),
        ("lumina_2", "transformer_path", "lumina-2", "net.", False),
        ("lumina_2", "vae_path", "vae-flux", _PREFIX, False),
        ("qwen_image", "transformer_path", "qwen-image", "diffusion_model.", False),
        ("z_image", "diffusion_model", "z-image", "net.", True),
    ],
)
def test_prefix_that_the_trainer_does_not_take_off_is_refused(
    tmp_path: Path, model_type: str, key: str, name: str, prefix: str, is_taken: bool
):
    case = Case(tmp_path, model_type)
    write_stand_in(Path(case.config["model"][key]), {prefix + each: shape for each, shape in STAND_INS[name].items()})
    assert [prefix in each.message for each in case.check().errors] == ([] if is_taken else [True])


def test_names_of_wan_in_a_directory_are_read_as_they_are(tmp_path: Path):
    case = Case(tmp_path, "wan")
    weights = Path(case.config["model"]["ckpt_path"]) / "model.safetensors"
    write_stand_in(weights, {_PREFIX + each: shape for each, shape in STAND_INS["wan-2.1-t2v-1.3b"].items()})
    assert _PREFIX in case.only_error().message


@pytest.mark.parametrize(
    ("names", "pointers"),
    [
        (("qwen-2.5-vl-7b", "byt5-small-glyph"), []),
        (("language-model", "byt5-small-glyph"), []),
        (("qwen-2.5-vl-7b", "qwen-2.5-vl-7b"), ["/config/model/text_encoders/0/paths/1"]),
    ],
)
def test_text_encoder_of_two_files_has_each_of_them(tmp_path: Path, names: tuple[str, ...], pointers: list[str]):
    case = Case(tmp_path, "hunyuan_video_15")
    files = [str(write_stand_in(tmp_path / f"{n}.safetensors", STAND_INS[name])) for n, name in enumerate(names)]
    case.config["model"]["text_encoders"][0]["paths"] = files
    assert case.errors() == pointers


@pytest.mark.parametrize(("transformer", "pointers"), [("cosmos-predict2-2b", []), ("flux-dev", ["transformer_path"])])
def test_cosmos_is_trained_with_any_language_model_that_is_a_directory(
    tmp_path: Path, transformer: str, pointers: list[str]
):
    case = Case(tmp_path, "cosmos_predict2")
    del case.config["model"]["t5_path"]
    write_stand_in(tmp_path / "llm" / "model.safetensors", STAND_INS["llama-3-8b"])
    case.config["model"]["llm_path"] = str(tmp_path / "llm")
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS[transformer])
    assert case.errors() == [f"/config/model/{each}" for each in pointers]


@pytest.mark.parametrize(
    ("name", "content"), [("Wan2.1_VAE.pth", "vae-flux"), ("models_t5_umt5-xxl-enc-bf16.pth", "t5-xxl")]
)
def test_what_stands_under_a_name_of_wan_is_what_the_name_says(tmp_path: Path, name: str, content: str):
    case = Case(tmp_path, "wan")
    write_stand_in(Path(case.config["model"]["ckpt_path"]) / name, STAND_INS[content])
    assert next(each.title for each in FINGERPRINTS if each.name == content) in case.only_error().message
