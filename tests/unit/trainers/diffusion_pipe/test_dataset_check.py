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
