import os
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.model_types import MODELS
from api.weights.fingerprints.table import FINGERPRINTS, what_belongs
from tests.unit.trainers.diffusion_pipe.builders import Case, make_wan
from tests.unit.weights.stand_ins import STAND_INS, write_stand_in

_PREFIX = "model.diffusion_model."

#: Every key of [model] that names one file, of the types whose test configuration has it.
SLOTS = [
    (model_type, key)
    for model_type, facts in MODELS.items()
    for key in facts.kinds
    if what_belongs(f"{model_type}.{key}") and model_type not in ("flux", "hunyuan-video", "hidream", "wan")
]

#: Of each component one that resembles what belongs somewhere else.
WRONG = ("flux-fill", "sdxl-refiner", "vae-sdxl", "clip-vision-h", "wan-vace", "hunyuan-video-15-distilled")


@pytest.mark.parametrize(("model_type", "key"), SLOTS)
def test_file_of_another_model_is_refused_with_its_name(tmp_path: Path, model_type: str, key: str):
    case = Case(tmp_path, model_type)
    if key not in case.config["model"]:
        return
    path = Path(case.config["model"][key])
    titles = {each.name: each.title for each in FINGERPRINTS}
    for name in WRONG:
        write_stand_in(path, STAND_INS[name])
        found = [mistake for mistake in case.check().errors if mistake.pointer == f"/config/model/{key}"]
        assert any(titles[name] in mistake.message for mistake in found), name
        assert any("Here belongs" in str(mistake.remedy) for mistake in found)


@pytest.mark.parametrize(("model_type", "key"), SLOTS)
def test_file_that_belongs_there_is_taken(tmp_path: Path, model_type: str, key: str):
    case = Case(tmp_path, model_type)
    if key not in case.config["model"]:
        return
    for each in what_belongs(f"{model_type}.{key}"):
        if each.name in STAND_INS:
            write_stand_in(Path(case.config["model"][key]), STAND_INS[each.name])
            assert case.errors() == [], each.name


def test_adapter_is_no_model(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(Path(case.config["model"]["diffusion_model"]), {"a.lora_A.weight": [8, 4]})
    assert "adapter" in case.only_error().message


def test_model_is_no_adapter_to_go_on_from(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(tmp_path / "lora" / "a.safetensors", STAND_INS["z-image"])
    case.config["adapter"]["init_from_existing"] = str(tmp_path / "lora")
    assert case.errors() == ["/config/adapter/init_from_existing"]


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
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS["anima"])
    assert case.errors() == ([] if key == "llm_path" else ["/config/model/transformer_path"])


def test_part_of_a_diffusers_model_is_judged_too(tmp_path: Path):
    case = Case(tmp_path, "flux")
    part = Path(case.config["model"]["diffusers_path"]) / "vae"
    write_stand_in(part / "model.safetensors", STAND_INS["vae-flux-diffusers"])
    assert case.errors() == []
    write_stand_in(part / "model.safetensors", STAND_INS["vae-sdxl-diffusers"])
    assert case.errors() == ["/config/model/diffusers_path"]
