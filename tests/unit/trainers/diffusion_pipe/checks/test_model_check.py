from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.checks.model_check import read_type
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode
from api.trainers.diffusion_pipe.models.registry import MODELS
from tests.unit.trainers.diffusion_pipe.builders import (
    Case,
    make_model,
    make_wan,
    remarks,
    within,
    without,
    write_safetensors,
)

ERRORS = [
    (without("dtype", "model"), "/config/model/dtype"),
    (within("model", type=3), "/config/model/type"),
    (within("model", type=["sdxl"]), "/config/model/type"),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS)


def test_text_encoder_of_two_files_needs_both(tmp_path: Path):
    case = Case(tmp_path, "hunyuan_video_15")
    encoder = case.config["model"]["text_encoders"][0]
    encoder["path"] = encoder.pop("paths")[0]
    assert case.errors() == ["/config/model/text_encoders/0/path"]


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_path_of_a_model_must_exist(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    names = [name for name, value in case.config["model"].items() if isinstance(value, str) and value.startswith("/")]
    for name in names:
        case.config["model"][name] += ".gone"
    assert sorted(case.errors()) == sorted(f"/config/model/{name}" for name in names)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_missing_path_of_a_model_is_an_error(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["model"] = (
        {"dtype": "bfloat16", "max_sequence_length": 1} if model_type == "auraflow" else {"dtype": "bfloat16"}
    )
    best = MODELS[model_type].alternatives[0]
    assert sorted(case.errors()) == sorted(f"/config/model/{name}" for name in best)


def test_hunyuan_video_can_load_single_files(tmp_path: Path):
    case = Case(tmp_path, "hunyuan-video")
    llm, clip = tmp_path / "llm", tmp_path / "clip"
    llm.mkdir()
    clip.mkdir()
    case.config["model"] = {
        "dtype": "bfloat16",
        "transformer_path": write_safetensors(tmp_path / "t.safetensors"),
        "vae_path": write_safetensors(tmp_path / "v.safetensors"),
        "llm_path": str(llm),
        "clip_path": str(clip),
    }
    assert case.errors() == []


def test_flux_from_hugging_face_needs_a_local_transformer(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.config["model"]["diffusers_path"] = "black-forest-labs/FLUX.1-dev"
    assert case.errors() == ["/config/model/transformer_path"]


@pytest.mark.parametrize(
    ("config", "tensors", "folder", "cache"),
    [
        ({"model_type": "t2v", "dim": 5120}, {}, "Wan2.1-T2V-14B", "wan"),
        ({"model_type": "t2v", "dim": 5120}, {}, "SkyReels-V2-T2V", "skyreels_v2"),
        ({"model_type": "ti2v", "dim": 3072}, {}, "Wan2.2-TI2V-5B", "wan2.2_5b"),
    ],
)
def test_cache_of_wan_is_named_after_its_variant(tmp_path: Path, config: dict, tensors: dict, folder: str, cache: str):
    case = Case(tmp_path, "wan")
    checkpoint = make_wan(tmp_path / folder, config["model_type"], config["dim"], tensors)
    case.config["model"]["ckpt_path"] = str(checkpoint)
    plan = case.check().plan
    assert plan is not None
    assert [Path(path).name for path in plan.caches] == [cache]


@pytest.mark.parametrize(
    ("width", "caches"),
    [
        (6144, ["flux2"]),
        (3072, ["flux2_klein_4b"]),
        (4096, ["flux2_klein_9b"]),
    ],
)
def test_cache_of_flux2_is_named_after_the_width_of_its_weights(tmp_path: Path, width: int, caches: list[str]):
    case = Case(tmp_path, "flux2")
    case.config["model"]["diffusion_model"] = write_safetensors(
        tmp_path / "w.safetensors", {"img_in.weight": [width, 8]}
    )
    plan = case.check().plan
    assert plan is not None
    assert [Path(path).name for path in plan.caches] == caches


def test_cosmos_predict2_with_a_language_model_uses_the_cache_of_anima(tmp_path: Path):
    case = Case(tmp_path, "cosmos_predict2")
    case.config["model"] = {**make_model("anima", tmp_path / "models"), "type": "cosmos_predict2"}
    plan = case.check().plan
    assert plan is not None
    assert [Path(path).name for path in plan.caches] == ["anima"]


@pytest.mark.parametrize(
    ("encoders", "pointer"),
    [
        ([], ""),
        (["x"], "/0"),
        ([{"path": "/nowhere", "type": "flux2"}], "/0/path"),
        ([{"type": "flux2"}], "/0/path"),
        ([{"paths": ["/nowhere"], "type": "flux2"}], "/0/paths/0"),
    ],
)
def test_text_encoders_are_checked_one_by_one(tmp_path: Path, encoders: list, pointer: str):
    case = Case(tmp_path, "z_image")
    case.config["model"]["text_encoders"] = encoders
    assert case.errors() == [f"/config/model/text_encoders{pointer}"]


def test_text_encoder_needs_a_type(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    del case.config["model"]["text_encoders"][0]["type"]
    assert case.errors() == ["/config/model/text_encoders/0/type"]


def test_unknown_model_type_gets_a_suggestion(tmp_path: Path):
    case = Case(tmp_path)
    case.model_type = "sdx"
    case.config["model"]["type"] = "sdx"
    (mistake,) = case.check().errors
    assert mistake.pointer == "/config/model/type"
    assert "`sdxl`" in (mistake.remedy or "")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("flux1", "Did you mean `flux`? Known: anima"),
        ("wan2.2-t2v", "Did you mean `wan`? Known: anima"),
        ("qwen", "Did you mean `qwen_image`? Known: anima"),
        ("abc", "Set one of anima"),
    ],
)
def test_unknown_type_in_the_configuration_only_gets_one_error(tmp_path: Path, name: str, remedy: str):
    case = Case(tmp_path)
    case.config["model"]["type"] = name
    assert str(case.only_error().remedy).startswith(remedy)


def test_type_that_the_checkout_lacks_is_a_warning_and_no_suggestion():
    findings = Findings(code=TrainerCode(tables={"": {"epochs": None}}, names=frozenset(("flux", "sdxl"))))
    assert read_type(None, "flux2", findings) == "flux2"
    assert [each.pointer for each in findings.warnings] == ["/model_type"]
    assert read_type(None, "flux1", findings) is None
    assert findings.errors[0].remedy == "Did you mean `flux`? Known: flux, sdxl."


def test_two_model_types_that_differ_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    case.model_type = "flux"
    assert case.errors() == ["/config/model/type"]


def test_model_type_may_be_set_only_in_the_request(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["model"]["type"]
    found = case.check()
    assert found.errors == ()
    assert found.plan is not None
    assert 'type = "sdxl"' in found.plan.files["config.toml"]


def test_guidance_by_uncond_needs_one_stage_for_minimax(tmp_path: Path):
    case = Case(tmp_path, "minimax_h3")
    case.gpus = 2
    case.config["pipeline_stages"] = 2
    case.config["model"]["cfg"] = 4
    assert case.errors() == ["/config/model/cfg"]


def test_auraflow_needs_its_sequence_length(tmp_path: Path):
    case = Case(tmp_path, "auraflow")
    del case.config["model"]["max_sequence_length"]
    assert case.errors() == ["/config/model/max_sequence_length"]
