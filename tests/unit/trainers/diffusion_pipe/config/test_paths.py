import os
from pathlib import Path
from typing import Any

import pytest

from api.trainers.diffusion_pipe.config import paths
from tests.unit.trainers.diffusion_pipe.builders import (
    PICKLE,
    Case,
    make_trainer,
    remarks,
    setting,
    within,
    write_safetensors,
)

ERRORS = [
    (
        setting(eval={"datasets": [{"name": "a", "config": "/no.toml"}], "every_n_epochs": 1}),
        "/config/eval/datasets/0/config",
    ),
    (within("adapter", init_from_existing="/nowhere"), "/config/adapter/init_from_existing"),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS)


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"directories": [{"path": "/nowhere/at/all"}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": ""}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "a\0b"}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "/" + "a" * 300}]}, "/dataset/directories/0/path"),
    ],
)
def test_invalid_setting_is_one_error_at_its_pointer(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_error().pointer == pointer


def test_existing_adapter_must_have_one_safetensors_file(tmp_path: Path):
    case = Case(tmp_path)
    adapter = tmp_path / "epoch5"
    adapter.mkdir()
    case.config["adapter"]["init_from_existing"] = str(adapter)
    assert case.errors() == ["/config/adapter/init_from_existing"]
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(b"\x80\x02}q\x00.123")
    assert case.errors() == ["/config/adapter/init_from_existing"]
    write_safetensors(weights)
    assert case.errors() == []


def test_pipe_instead_of_weights_does_not_block(case: Case, tmp_path: Path):
    os.mkfifo(tmp_path / "weights.safetensors")
    case.config["model"]["checkpoint_path"] = str(tmp_path / "weights.safetensors")
    assert case.errors() == ["/config/model/checkpoint_path"]


def test_hub_name_is_a_warning_if_the_trainer_can_download_it(tmp_path: Path):
    case = Case(tmp_path, "sd3")
    case.config["model"]["diffusers_path"] = "stabilityai/stable-diffusion-3.5-medium"
    assert case.warnings() == ["/config/model/diffusers_path"]


def test_hub_name_is_an_error_if_the_trainer_needs_a_path(tmp_path: Path):
    case = Case(tmp_path, "wan")
    case.config["model"]["ckpt_path"] = "Wan-AI/Wan2.1-T2V-1.3B"
    assert case.errors() == ["/config/model/ckpt_path"]


@pytest.mark.parametrize("start", [PICKLE, b"\x80\x02}q\x00." + b"\0" * 60, b"cos\nsystem\n(S'true'\ntR.", b"x" * 60])
def test_weights_that_can_hold_code_are_recognised_by_content(tmp_path: Path, start: bytes):
    case = Case(tmp_path, "cosmos_predict2")
    weights = tmp_path / "weights.pt"
    weights.write_bytes(start)
    case.config["model"]["transformer_path"] = str(weights)
    assert case.errors() == ["/config/model/transformer_path"]
    case.trainer = make_trainer(tmp_path, allow_pickled_weights=True)
    assert case.warnings() == ["/config/model/transformer_path"]


def test_empty_weights_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    Path(case.config["model"]["checkpoint_path"]).write_bytes(b"")
    assert case.errors() == ["/config/model/checkpoint_path"]


def test_partially_downloaded_weights_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    path = Path(write_safetensors(tmp_path / "w.safetensors", {"a": [100]}))
    path.write_bytes(path.read_bytes()[:-1])
    case.config["model"]["checkpoint_path"] = str(path)
    (found,) = case.check().errors
    assert (found.pointer, "short" in found.message) == ("/config/model/checkpoint_path", True)


@pytest.mark.parametrize("start", [b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>", b"GGUF\x03"])
def test_content_downloaded_instead_of_weights_is_reported(tmp_path: Path, start: bytes):
    case = Case(tmp_path)
    case.trainer = make_trainer(tmp_path, allow_pickled_weights=True)
    Path(case.config["model"]["checkpoint_path"]).write_bytes(start)
    assert case.errors() == ["/config/model/checkpoint_path"]


@pytest.mark.parametrize(
    ("model_type", "key", "name", "works"),
    [
        ("chroma", "transformer_path", "w.sft", False),
        ("sdxl", "checkpoint_path", "w.ckpt", False),
        ("z_image", "vae", "w.SFT", True),
        ("z_image", "vae", "w.pt", False),
        ("lumina_2", "transformer_path", "w.sft", True),
        ("qwen_image", "vae_path", "w.sft", False),
    ],
)
def test_safetensors_file_needs_the_right_suffix(tmp_path: Path, model_type: str, key: str, name: str, works: bool):
    case = Case(tmp_path, model_type)
    case.config["model"][key] = write_safetensors(tmp_path / name)
    assert case.errors() == ([] if works else [f"/config/model/{key}"])


def test_file_opened_as_safetensors_must_be_safetensors(tmp_path: Path):
    case = Case(tmp_path, "lumina_2")
    case.trainer = make_trainer(tmp_path, allow_pickled_weights=True)
    path = tmp_path / "w.safetensors"
    path.write_bytes(PICKLE)
    case.config["model"]["transformer_path"] = str(path)
    assert case.errors() == ["/config/model/transformer_path"]


def test_flux_can_continue_from_an_adapter_file(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.config["adapter"]["init_from_existing"] = write_safetensors(tmp_path / "lora.safetensors")
    assert case.errors() == []


def test_directory_has_no_first_bytes(tmp_path: Path):
    assert paths.read_start(tmp_path, 8) == b""
