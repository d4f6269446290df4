import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import (
    Case,
    TextCase,
    besides_pickles,
    make_images,
    write_image,
    write_video,
)


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"directories": []}, "/dataset/directories"),
        ({"directories": ["/data"]}, "/dataset/directories/0"),
        ({"directories": [{}]}, "/dataset/directories/0/path"),
        ({"directories": [{"dataset": "cats"}]}, "/dataset/directories/0/dataset"),
    ],
)
def test_invalid_setting_is_one_error_at_its_pointer(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_error().pointer == pointer


def test_file_is_rejected_as_directory(case: Case):
    case.dataset["directories"][0]["path"] = str(case.images / "0.png")
    assert case.only_error().pointer == "/dataset/directories/0/path"


@pytest.mark.parametrize(("batch", "errors"), [(1, []), (2, ["/dataset/directories/0/control_path"])])
def test_step_with_and_without_control_images_fails(tmp_path: Path, batch: int, errors: list[str]):
    case = Case(tmp_path, "qwen_image")
    case.config["micro_batch_size_per_gpu"] = batch
    for index in range(4):
        write_image(tmp_path / "controls" / f"{index}.png", caption=None)
    edits = {"path": str(make_images(tmp_path / "edits")), "control_path": str(tmp_path / "controls")}
    case.dataset["directories"].append(edits)
    assert case.errors() == errors


def test_files_that_fit_no_size_bucket_need_another_one(tmp_path: Path):
    case = Case(tmp_path, "wan")
    case.dataset = {"size_buckets": [[512, 512, 33]], "directories": [{"path": str(case.images)}]}
    assert "size_buckets" in (case.only_error().remedy or "")


@pytest.mark.parametrize("name", ["mask_path", "control_path", "default_mask_file"])
def test_mask_and_control_directories_must_exist(case: Case, name: str):
    case.dataset["directories"][0][name] = "/nowhere"
    assert f"/dataset/directories/0/{name}" in case.errors()


def test_same_directory_twice_is_a_warning(case: Case, tmp_path: Path):
    (tmp_path / "link").symlink_to(case.images)
    case.dataset["directories"].append({"path": str(tmp_path / "link")})
    assert case.only_warning().pointer == "/dataset/directories"


def test_relative_path_is_resolved_against_the_trainer(case: Case, tmp_path: Path):
    make_images(tmp_path / "trainer" / "pictures")
    case.dataset["directories"][0]["path"] = "pictures"
    plan = case.check().plan
    assert plan is not None
    assert plan.caches == (str(tmp_path / "trainer" / "pictures" / "cache" / "sdxl"),)


def test_too_few_images_for_a_step_are_an_error(case: Case):
    case.config["gradient_accumulation_steps"] = 5
    assert case.only_error().pointer == "/dataset/directories"


def test_bucket_without_a_step_is_a_warning(case: Case):
    case.dataset.update(enable_ar_bucket=True, ar_buckets=[1.0, 2.0])
    case.config["gradient_accumulation_steps"] = 2
    write_image(case.images / "wide.png", (1024, 512))
    assert "720×368×1" in case.only_warning().message


def test_subsample_ratio_that_leaves_no_step_is_an_error(case: Case):
    case.dataset["subsample_ratio"] = 0.1
    assert case.only_error().pointer == "/dataset/subsample_ratio"


def test_videos_are_counted_at_the_frame_rate_of_the_model(tmp_path: Path):
    case = Case(tmp_path, "wan")
    write_video(case.images / "long.mp4", 60, 30)  # 32 frames at 16 a second
    write_video(case.images / "short.mp4", 20, 30)  # 10
    case.dataset["frame_buckets"] = [1, 17]
    found = case.check()
    assert found.plan is not None
    assert found.plan.dataset_items == 5
    assert ["fit no bucket" in mistake.message for mistake in besides_pickles(found.warnings)] == [True]


def test_unwritable_directory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case = TextCase(tmp_path)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    (mistake,) = case.check().errors
    assert mistake.pointer == "/dataset_toml/directory/0/path"
    assert "cache" in mistake.message


@pytest.mark.parametrize(
    ("frames", "size", "remedy"),
    [
        (60, {}, "[1, 33]"),
        (20, {}, "[1, 17]"),
        (60, {"frame_buckets": [1]}, "[1, 33]"),
        (2, {}, "longer videos"),
        (20, {"frame_buckets": [1, 33]}, "shorter frame_buckets"),
    ],
)
def test_videos_without_a_bucket_get_an_example_of_one(tmp_path: Path, frames: int, size: dict, remedy: str):
    case = Case(tmp_path, "wan")
    case.dataset.update(size)
    for image in case.images.iterdir():
        image.unlink()
    write_video(case.images / "a.mp4", frames, 16)
    assert remedy in str(case.only_error().remedy)


@pytest.mark.parametrize(
    ("gpus", "config", "words", "ways"),
    [
        (5, {}, "batch size 1, gradient accumulation 1, 5 GPUs)", "raise num_repeats; add files; use fewer GPUs."),
        (1, {"micro_batch_size_per_gpu": 5}, "5 (batch size 5, ", "raise num_repeats; add files; lower the batch"),
        (1, {"gradient_accumulation_steps": 5}, "1 GPU)", "add files; lower gradient_accumulation_steps."),
        (
            2,
            {"pipeline_stages": 2, "gradient_accumulation_steps": 5},
            "accumulation 5, 2 GPUs)",
            "add files; lower gradient_accumulation_steps.",
        ),
    ],
)
def test_too_small_dataset_states_the_size_of_a_step(tmp_path: Path, gpus: int, config: dict, words: str, ways: str):
    case = Case(tmp_path, "flux")
    case.gpus = gpus
    case.config.update(config)
    mistake = case.only_error()
    assert "the fullest has 4 items" in mistake.message
    assert words in mistake.message
    assert ways in str(mistake.remedy)


def test_missing_directories_are_named_as_the_sender_writes_them(tmp_path: Path):
    case, text = Case(tmp_path), TextCase(tmp_path)
    del case.dataset["directories"]
    text.dataset = "resolutions = [512]\n"
    (in_json,), (in_text,) = case.check().errors, text.check().errors
    assert (in_json.pointer, "`directories`" in str(in_json.remedy)) == ("/dataset/directories", True)
    assert (in_text.pointer, "[[directory]]" in str(in_text.remedy)) == ("/dataset_toml/directory", True)
