from pathlib import Path

import pytest

from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case

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
