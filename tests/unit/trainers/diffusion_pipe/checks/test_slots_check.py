import json
import os
from pathlib import Path

import pytest

from api.files.weights.recognition import FINGERPRINTS
from api.trainers.diffusion_pipe.checks.slots_check import advice_for
from api.trainers.diffusion_pipe.models.registry import MODELS
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, make_wan

_PREFIX = "model.diffusion_model."


def test_adapter_is_rejected_as_model(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(Path(case.config["model"]["diffusion_model"]), {"a.lora_A.weight": [8, 4]})
    assert "adapter" in case.only_error().message


def test_weights_with_an_unsupported_prefix_are_rejected(tmp_path: Path):
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
def test_text_encoder_of_flux2_must_fit_its_transformer(tmp_path: Path, main: str, encoder: str, works: bool):
    case = Case(tmp_path, "flux2")
    write_stand_in(Path(case.config["model"]["diffusion_model"]), STAND_INS[main])
    write_stand_in(Path(case.config["model"]["text_encoders"][0]["path"]), STAND_INS[encoder])
    assert case.errors() == ([] if works else ["/config/model/text_encoders/0/path"])


def test_text_encoder_of_another_model_is_rejected(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    write_stand_in(Path(case.config["model"]["text_encoders"][0]["path"]), STAND_INS["qwen-3-8b"])
    assert case.only_error().remedy == "Set the path of the text encoder Qwen3 4B."


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
def test_weights_of_wan_must_fit_its_config(tmp_path: Path, kind: str, width: int, name: str, works: bool):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other", kind, width)
    write_stand_in(directory / "model.safetensors", STAND_INS[name])
    case.config["model"]["ckpt_path"] = str(directory)
    assert ("/config/model/ckpt_path" not in case.errors()) is works


def test_missing_shard_is_reported(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    os.rename(directory / "model.safetensors", directory / "model-00002-of-00002.safetensors")
    case.config["model"]["ckpt_path"] = str(directory)
    assert "model-00001-of-00002.safetensors" in case.only_error().message


def test_index_that_refers_outside_of_its_directory_is_rejected(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    index = json.dumps({"weight_map": {"a": "../../tasks/another/adapter_model.safetensors"}})
    (directory / "model.safetensors.index.json").write_text(index)
    case.config["model"]["ckpt_path"] = str(directory)
    assert "refers to a file outside of it: ../../tasks/another/" in case.only_error().message


def test_separately_configured_weights_need_not_be_in_the_directory(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = make_wan(tmp_path / "other")
    os.rename(directory / "model.safetensors", directory / "model-00002-of-00002.safetensors")
    elsewhere = write_stand_in(tmp_path / "w.safetensors", STAND_INS["wan-2.1-t2v-1.3b"])
    case.config["model"] |= {"ckpt_path": str(directory), "transformer_path": str(elsewhere)}
    assert case.errors() == []


@pytest.mark.parametrize("key", ["t5_path", "llm_path"])
def test_llm_adapter_decides_between_anima_and_cosmos(tmp_path: Path, key: str):
    case = Case(tmp_path, "cosmos_predict2")
    case.config["model"][key] = case.config["model"].pop("t5_path")
    if key == "llm_path":
        write_stand_in(Path(case.config["model"][key]), STAND_INS["qwen-3-0.6b"])
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS["anima"])
    assert case.errors() == ([] if key == "llm_path" else ["/config/model/transformer_path"])


def test_part_of_a_diffusers_model_is_checked(tmp_path: Path):
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
def test_prefix_that_the_trainer_does_not_remove_is_rejected(
    tmp_path: Path, model_type: str, key: str, name: str, prefix: str, is_taken: bool
):
    case = Case(tmp_path, model_type)
    write_stand_in(Path(case.config["model"][key]), {prefix + each: shape for each, shape in STAND_INS[name].items()})
    assert [prefix in each.message for each in case.check().errors] == ([] if is_taken else [True])


def test_tensor_names_in_a_wan_directory_are_read_unchanged(tmp_path: Path):
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
def test_text_encoder_of_two_files_needs_different_files(tmp_path: Path, names: tuple[str, ...], pointers: list[str]):
    case = Case(tmp_path, "hunyuan_video_15")
    files = [str(write_stand_in(tmp_path / f"{n}.safetensors", STAND_INS[name])) for n, name in enumerate(names)]
    case.config["model"]["text_encoders"][0]["paths"] = files
    assert case.errors() == pointers


@pytest.mark.parametrize(("transformer", "pointers"), [("cosmos-predict2-2b", []), ("flux-dev", ["transformer_path"])])
def test_cosmos_accepts_any_language_model_as_a_directory(tmp_path: Path, transformer: str, pointers: list[str]):
    case = Case(tmp_path, "cosmos_predict2")
    del case.config["model"]["t5_path"]
    write_stand_in(tmp_path / "llm" / "model.safetensors", STAND_INS["llama-3-8b"])
    case.config["model"]["llm_path"] = str(tmp_path / "llm")
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS[transformer])
    assert case.errors() == [f"/config/model/{each}" for each in pointers]


@pytest.mark.parametrize(
    ("name", "content"), [("Wan2.1_VAE.pth", "vae-flux"), ("models_t5_umt5-xxl-enc-bf16.pth", "t5-xxl")]
)
def test_file_in_a_wan_directory_must_match_its_name(tmp_path: Path, name: str, content: str):
    case = Case(tmp_path, "wan")
    write_stand_in(Path(case.config["model"]["ckpt_path"]) / name, STAND_INS[content])
    assert next(each.title for each in FINGERPRINTS if each.name == content) in case.only_error().message


def test_remedy_lists_all_files_for_the_slot():
    assert advice_for(("z_image.text_encoders",)).text == "Set the path of the text encoder Qwen3 4B."
    assert advice_for(("anima.transformer_path", "cosmos_predict2.transformer_path")).text.count(", or ") == 2


def test_each_slot_of_a_model_type_has_a_remedy():
    silent = {
        f"{model_type}.{key}"
        for model_type, facts in MODELS.items()
        for key in facts.kinds
        if advice_for((f"{model_type}.{key}",)).text == "Set the path of the right file."
    }
    # Complete models, whose parts are described, and two keys that stand for another type's.
    assert {each for each in silent if not each.endswith((".diffusers_path", "hunyuan-video.ckpt_path"))} == {
        "anima.t5_path",
        "cosmos_predict2.llm_adapter_path",
    }


POINTER = "/config/model/text_encoders/0/type"


def typed(tmp_path: Path, model_type: str, kind: str) -> Case:
    case = Case(tmp_path, model_type)
    case.config["model"]["text_encoders"][0]["type"] = kind
    return case


@pytest.mark.parametrize(
    ("model_type", "kind"), [("z_image", "flux2"), ("z_image", "FLUX"), ("hunyuan_video_15", "hunyuan_image")]
)
def test_type_that_loads_the_encoder_of_another_model_is_an_error(tmp_path: Path, model_type: str, kind: str):
    assert typed(tmp_path, model_type, kind).errors() == [POINTER]


def test_wrong_type_reads_klein_as_z_image(tmp_path: Path):
    case = typed(tmp_path, "flux2", "lumina2")
    for key, name in (("diffusion_model", "flux2-klein-4b"), ("encoder", "qwen-3-4b")):
        place = tmp_path / f"{key}.safetensors"
        write_stand_in(place, STAND_INS[name])
        if key == "encoder":
            case.config["model"]["text_encoders"][0]["path"] = str(place)
        else:
            case.config["model"][key] = str(place)
    assert case.errors() == [POINTER]
    case.config["model"]["text_encoders"][0]["type"] = "flux"
    assert case.warnings() == []


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        ("z_image", "lumina-2"),
        ("z_image", "qwen_image"),
        ("flux2", "lumina2"),
        ("krea2", "z_image"),
        ("minimax_h3", "h3"),
    ],
)
def test_other_types_cause_a_warning(tmp_path: Path, model_type: str, kind: str):
    assert typed(tmp_path, model_type, kind).warnings() == [POINTER]


@pytest.mark.parametrize(("model_type", "kind"), [("z_image", "LUMINA2"), ("ernie_image", "flux2")])
def test_documented_type_is_accepted_in_any_case(tmp_path: Path, model_type: str, kind: str):
    assert typed(tmp_path, model_type, kind).warnings() == []
