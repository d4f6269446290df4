from pathlib import Path

import pytest

from api.models.model_memory import TRAINING_MB, ModelType
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.trainers.diffusion_pipe.builders import Case, make_model, make_trainer, make_wan, write_safetensors

LORA_ONLY = {"ltx-video", "hunyuan-video", "cosmos", "hidream", "sd3", "omnigen2", "auraflow"}
NO_BLOCK_SWAP = {"sdxl", "ltx-video", "cosmos", "lumina_2", "sd3", "omnigen2"}
CACHES = {"hunyuan_video_15": "hunyuan_video_1.5", "ltx-video": "single_file_path"}


def test_model_types_are_those_of_the_memory_table():
    assert DiffusionPipe.model_types == {member.value for member in ModelType}
    assert DiffusionPipe.model_types == {member.value for member in TRAINING_MB}


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_complete_request_has_nothing_to_say(tmp_path: Path, model_type: str):
    found = Case(tmp_path, model_type).check()
    assert found.errors == ()
    assert found.warnings == ()
    assert found.plan is not None
    assert found.plan.total_steps == 40
    assert found.plan.estimated_memory_mb == TRAINING_MB[ModelType(model_type)]


@pytest.mark.parametrize("model_type", sorted(MODELS.keys() - {"flux2"}))
def test_cache_lies_in_the_dataset_directory_under_the_trainers_name_of_the_model(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    plan = case.check().plan
    assert plan is not None
    assert plan.caches == (str(case.images / "cache" / CACHES.get(model_type, model_type)),)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_path_of_a_model_must_exist(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    names = [name for name, value in case.config["model"].items() if isinstance(value, str) and value.startswith("/")]
    for name in names:
        case.config["model"][name] += ".gone"
    assert sorted(case.errors()) == sorted(f"/config/model/{name}" for name in names)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_path_that_a_model_needs_is_asked_for(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["model"] = (
        {"dtype": "bfloat16", "max_sequence_length": 1} if model_type == "auraflow" else {"dtype": "bfloat16"}
    )
    best = MODELS[model_type].alternatives[0]
    assert sorted(case.errors()) == sorted(f"/config/model/{name}" for name in best)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_model_is_fully_fine_tuned_only_where_the_trainer_can_save_it(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    del case.config["adapter"]
    assert case.errors() == (["/config/adapter"] if model_type in LORA_ONLY else [])


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_blocks_are_swapped_only_where_the_trainer_can(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["blocks_to_swap"] = 4
    assert case.errors() == (["/config/blocks_to_swap"] if model_type in NO_BLOCK_SWAP else [])


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_lokr_is_refused_where_the_trainer_cannot_save_it(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["adapter"] = {"type": "lokr", "rank": 1e6}
    assert case.errors() == (["/config/adapter/type"] if model_type in ("flux", "sdxl") else [])


def test_hunyuan_video_loads_from_single_files_too(tmp_path: Path):
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


def test_name_on_hugging_face_is_a_warning_where_the_trainer_can_download(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    case.config["model"]["diffusers_path"] = "stabilityai/stable-diffusion-3.5-medium"
    assert case.warnings() == ["/config/model/diffusers_path"]


def test_name_on_hugging_face_is_an_error_where_the_trainer_needs_a_path(tmp_path: Path):
    case = Case(tmp_path, "wan")
    case.config["model"]["ckpt_path"] = "Wan-AI/Wan2.1-T2V-1.3B"
    assert case.errors() == ["/config/model/ckpt_path"]


def test_flux_from_hugging_face_needs_its_transformer_here(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.config["model"]["diffusers_path"] = "black-forest-labs/FLUX.1-dev"
    assert case.errors() == ["/config/model/transformer_path"]


def test_wan_checkpoint_without_a_config_is_an_error(tmp_path: Path):
    case = Case(tmp_path, "wan")
    (tmp_path / "models" / "ckpt_path" / "config.json").unlink()
    assert case.errors() == ["/config/model/ckpt_path"]


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


def test_image_to_video_model_refuses_images(tmp_path: Path):
    case = Case(tmp_path, "wan")
    (tmp_path / "models" / "ckpt_path" / "config.json").write_text('{"model_type": "i2v", "dim": 5120}')
    assert case.errors() == ["/dataset/directories/0/path"]


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
    "start", [b"PK\x03\x04" + b"\0" * 60, b"\x80\x02}q\x00." + b"\0" * 60, b"cos\nsystem\n(S'true'\ntR.", b"x" * 60]
)
def test_weights_that_can_hold_code_are_told_by_their_content(tmp_path: Path, start: bytes):
    case = Case(tmp_path, "cosmos_predict2")
    Path(case.config["model"]["transformer_path"]).write_bytes(start)
    assert case.errors() == ["/config/model/transformer_path"]
    case.trainer = make_trainer(tmp_path, allow_pickled_weights=True)
    assert case.warnings() == ["/config/model/transformer_path"]


def test_empty_weights_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    Path(case.config["model"]["checkpoint_path"]).write_bytes(b"")
    assert case.errors() == ["/config/model/checkpoint_path"]


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


def test_two_model_types_that_differ_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    case.model_type = "flux"
    assert case.errors() == ["/config/model/type"]


def test_model_type_may_stand_in_the_request_only(tmp_path: Path):
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


def test_cosmos_refuses_other_sizes(tmp_path: Path):
    case = Case(tmp_path, "cosmos")
    case.dataset["size_buckets"] = [[512, 512, 1]]
    assert case.errors() == ["/dataset/size_buckets"]


def test_cosmos_needs_its_sizes_in_every_directory(tmp_path: Path):
    case = Case(tmp_path, "cosmos")
    del case.dataset["directories"][0]["size_buckets"]
    assert case.errors() == ["/dataset/directories/0/size_buckets"]
