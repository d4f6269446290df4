from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import (
    Case,
    make_trainer,
    make_wan,
    write_safetensors,
)


def test_wan_checkpoint_without_a_config_is_an_error(tmp_path: Path):
    case = Case(tmp_path, "wan")
    (tmp_path / "models" / "ckpt_path" / "config.json").unlink()
    assert case.errors() == ["/config/model/ckpt_path"]


@pytest.mark.parametrize(
    "gone", ["Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "model.safetensors", "google/umt5-xxl", "config.json"]
)
def test_wan_directory_must_have_all_opened_files(tmp_path: Path, gone: str):
    case = Case(tmp_path, "wan")
    path = Path(case.config["model"]["ckpt_path"]) / gone
    path.rmdir() if path.is_dir() else path.unlink()
    assert case.errors()[:1] == ["/config/model/ckpt_path"]


def test_wan_with_a_separate_text_encoder_needs_none_in_its_directory(tmp_path: Path):
    case = Case(tmp_path, "wan")
    (Path(case.config["model"]["ckpt_path"]) / "models_t5_umt5-xxl-enc-bf16.pth").unlink()
    case.config["model"]["llm_path"] = write_safetensors(tmp_path / "umt5.safetensors")
    assert case.errors() == []


@pytest.mark.parametrize(("kind", "width"), [("vace", 5120), ("t2v", 2048), ("ti2v", 5120), ("flf2v", 1536)])
def test_unsupported_wan_model_is_an_error(tmp_path: Path, kind: str, width: int):
    case = Case(tmp_path, "wan")
    case.config["model"]["ckpt_path"] = str(make_wan(tmp_path / "other", kind, width))
    assert case.errors()[:1] == ["/config/model/ckpt_path"]


@pytest.mark.parametrize("name", ["Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"])
def test_pickled_file_is_treated_equally_in_every_slot(tmp_path: Path, name: str):
    case = Case(tmp_path, "wan")
    assert case.errors() == []
    case.trainer = make_trainer(tmp_path)
    (found,) = [each for each in case.check().errors if name in each.message]
    assert (found.pointer, "ALLOW_PICKLED_WEIGHTS" in str(found.remedy)) == ("/config/model/ckpt_path", True)


@pytest.mark.parametrize(
    ("name", "remedy"), [("Wan2.1_VAE.pth", "checkpoint's own file"), ("models_t5_umt5-xxl-enc-bf16.pth", "llm_path")]
)
def test_safetensors_file_that_would_be_unpickled_is_an_error(tmp_path: Path, name: str, remedy: str):
    """The trainer passes a file with this name to torch.load, and fails after loading the model for minutes."""
    case = Case(tmp_path, "wan")
    write_safetensors(Path(case.config["model"]["ckpt_path"]) / name)
    found = case.only_error()
    assert (found.pointer, name in found.message) == ("/config/model/ckpt_path", True)
    assert "unpickles files with this name and fails" in found.message
    assert remedy in str(found.remedy)
