from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.checks.weights_check import check_candidate
from tests.unit.files.weights.stand_ins import STAND_INS, Shapes, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import PICKLE, Case

ADAPTER = {f"diffusion_model.layers.0.attention.qkv.lora_{side}.weight": [16, 3840] for side in "AB"}


@pytest.mark.parametrize(
    ("model_type", "key", "shapes", "error"),
    [
        ("z_image", "vae", STAND_INS["vae-flux"], None),
        ("z_image", "vae", STAND_INS["vae-flux2"], "is the VAE of Flux 2"),
        ("z_image", "text_encoders", STAND_INS["qwen-3-4b"], None),
        ("hunyuan_video_15", "text_encoders", STAND_INS["byt5-small-glyph"], None),
        ("z_image", "merge_adapters", ADAPTER, None),
        ("z_image", "merge_adapters", STAND_INS["z-image"], "is the transformer of Z-Image"),
        ("z_image", "diffusion_model", ADAPTER, "is an adapter"),
        ("wan", "transformer_path", STAND_INS["wan-t2v-14b"] | {"a.weight_scale": [1]}, "is quantised"),
        ("anima", "transformer_path", STAND_INS["anima"], None),
    ],
)
def test_path_gets_the_findings_of_a_training_check(
    tmp_path: Path, model_type: str, key: str, shapes: Shapes, error: str | None
):
    errors, warnings = check_candidate(model_type, key, write_stand_in(tmp_path / "a.safetensors", shapes))
    assert [error in each.message for each in errors] == ([] if error is None else [True])
    assert warnings == ()


def test_findings_are_identical(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    path = write_stand_in(tmp_path / "turbo.safetensors", STAND_INS["z-image"])
    case.config["model"]["diffusion_model"] = str(path)
    assert check_candidate("z_image", "diffusion_model", path) == ((), case.check().warnings)
    assert "by its name" in case.check().warnings[0].message.lower()


def test_pickles_are_accepted_if_the_service_accepts_them(tmp_path: Path):
    path = tmp_path / "model.pt"
    path.write_bytes(PICKLE)
    assert len(check_candidate("cosmos_predict2", "transformer_path", path)[0]) == 1
    errors, warnings = check_candidate("cosmos_predict2", "transformer_path", path, accepts_pickles=True)
    assert (len(errors), len(warnings)) == (0, 1)
