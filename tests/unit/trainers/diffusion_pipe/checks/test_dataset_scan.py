import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.domain.datasets.media import MediaProbe, MediaSource
from api.files.media.probe import probe
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.media import DecodedFiles, MediaInfoCache
from tests.unit.files.media.samples import cut_by_edit_list, damaged_png, write_clip
from tests.unit.files.weights.stand_ins import STAND_INS
from tests.unit.trainers.diffusion_pipe.builders import (
    PYTHON,
    Case,
    make_root,
    write_image,
    write_safetensors,
    write_video,
)

PATH = "/dataset/directories/0/path"


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"online_captions": True}, "/dataset/online_captions"),
    ],
)
def test_invalid_setting_is_one_error_at_its_pointer(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_error().pointer == pointer


def test_empty_directory_would_hang_the_trainer(case: Case, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    case.dataset["directories"][0]["path"] = str(tmp_path / "empty")
    mistake = case.only_error()
    assert mistake.pointer == PATH
    assert "would hang" in mistake.message


def test_broken_image_is_skipped_with_a_warning(case: Case):
    (case.images / "0.png").write_bytes(b"not an image")
    assert "skips them: 0.png" in case.only_warning().message


def test_only_broken_images_are_an_error(case: Case):
    for image in case.images.glob("*.png"):
        image.write_bytes(b"not an image")
    found = case.check()
    assert [mistake.pointer for mistake in found.errors] == [PATH]


def test_animated_webp_would_hang_the_trainer(case: Case):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    frames[0].save(case.images / "moving.webp", save_all=True, append_images=frames[1:])
    (case.images / "moving.txt").write_text("it moves")
    assert "moving.webp" in case.only_error().message


def test_animated_webp_with_an_upper_case_suffix_is_used_as_an_image(case: Case):
    frames = [Image.new("RGB", (512, 512), color) for color in ("red", "blue")]
    frames[0].save(case.images / "moving.WEBP", format="webp", save_all=True, append_images=frames[1:])
    (case.images / "moving.txt").write_text("it moves")
    assert case.warnings() == []


def test_still_webp_is_an_image(case: Case):
    for lossless in (True, False):
        Image.new("RGB", (512, 512), "red").save(case.images / f"still{lossless}.webp", lossless=lossless)
        (case.images / f"still{lossless}.txt").write_text("still")
    plan = case.check().plan
    assert plan is not None
    assert plan.dataset_items == 6


def test_broken_webp_would_hang_the_trainer(case: Case):
    (case.images / "bad.webp").write_bytes(b"RIFF1234WEBPVP8 ")
    (case.images / "bad.txt").write_text("bad")
    assert "bad.webp" in case.only_error().message


def test_pipe_with_the_name_of_an_image_does_not_block(case: Case):
    os.mkfifo(case.images / "pipe.png")
    os.mkfifo(case.images / "0b.png")
    assert case.errors() == []


def test_links_are_followed_except_loops(case: Case):
    (case.images / "link.png").symlink_to(case.images / "0.png")
    (case.images / "link.txt").symlink_to(case.images / "0.txt")
    (case.images / "loop.png").symlink_to(case.images / "loop.png")
    plan = case.check().plan
    assert plan is not None
    assert plan.dataset_items == 5


def test_names_are_shown_without_control_characters(case: Case):
    write_image(case.images / "a\x1b[31m\nb.png", caption=None)
    write_image(case.images / os.fsdecode(b"\xff.png"), caption=None)
    message = case.only_warning().message
    assert message.isprintable()
    assert "\\x1b[31m\\nb.png" in message
    message.encode()


def test_mask_of_another_size_would_hang_the_trainer(case: Case, tmp_path: Path):
    for index in range(4):
        write_image(tmp_path / "masks" / f"{index}.jpg", (512, 512) if index else (256, 256), caption=None)
    case.dataset["directories"][0]["mask_path"] = str(tmp_path / "masks")
    mistake = case.only_error()
    assert mistake.pointer == "/dataset/directories/0/mask_path"
    assert "0.png" in mistake.message


def test_missing_mask_is_a_warning(case: Case, tmp_path: Path):
    write_image(tmp_path / "masks" / "0.png", caption=None)
    case.dataset["directories"][0]["mask_path"] = str(tmp_path / "masks")
    assert case.only_warning().message.startswith("3 of 4 files have no mask")


def test_default_replaces_a_missing_mask(case: Case, tmp_path: Path):
    write_image(tmp_path / "masks" / "0.png", caption=None)
    default = write_image(tmp_path / "white.png", caption=None)
    case.dataset["directories"][0].update(mask_path=str(tmp_path / "masks"), default_mask_file=str(default))
    assert case.warnings() == []


class RealExaminer:
    """Decodes within the test's process."""

    children = 1

    def examine(self, source: MediaSource) -> MediaProbe:
        return probe(source.path)


def with_decoder(case: Case, budget_seconds: float = 60.0) -> Case:
    root = make_root(case.tmp_path)
    case.trainer = DiffusionPipe(root, PYTHON, budget_seconds, allow_pickled_weights=True, examiner=RealExaminer())
    return case


def test_image_with_a_valid_header_and_damaged_data_would_hang_the_trainer(case: Case):
    assert with_decoder(case).errors() == []
    write_image(case.images / "damaged.png")
    (case.images / "damaged.png").write_bytes(damaged_png())
    error = case.only_error()
    assert (error.pointer, "are damaged" in error.message) == (PATH, True)
    assert "damaged.png" in error.message


def test_mask_with_damaged_data_would_hang_the_trainer(case: Case, tmp_path: Path):
    masks = tmp_path / "masks"
    for index in range(4):
        write_image(masks / f"{index}.png", caption=None)
    case.dataset["directories"][0]["mask_path"] = str(masks)
    assert with_decoder(case).errors() == []
    (masks / "1.png").write_bytes(damaged_png())
    assert "mask that cannot be read" in case.only_error().message


def test_video_cut_by_an_edit_list_has_too_few_frames_for_its_bucket(tmp_path: Path):
    case = with_decoder(Case(tmp_path, "wan"))
    case.dataset["frame_buckets"] = [1, 33]
    write_clip(case.images / "clip.mp4", 72, 24, (512, 512), codec="libx264")
    (case.images / "clip.txt").write_text("it moves")
    assert case.errors() == []
    cut_by_edit_list(case.images / "clip.mp4", 20 / 24)
    assert "fewer frames than their headers state" in case.only_error().message


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "mpeg4"), ("clip.webm", "libvpx-vp9")])
def test_frames_missing_in_the_header_are_counted_from_the_video(tmp_path: Path, name: str, codec: str):
    case = with_decoder(Case(tmp_path, "wan"))
    case.dataset["frame_buckets"] = [1, 5, 33]
    write_clip(case.images / name, 20, 16, (512, 512), codec=codec, sound=4)
    (case.images / "clip.txt").write_text("it moves")
    assert case.errors() == []
    assert case.plan().dataset_items == 5


def test_files_not_decoded_for_lack_of_time_are_noted(case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MediaInfoCache, "decode", lambda self, paths, budget: DecodedFiles({}, len(paths)))
    assert any(note.startswith("The data of 4 files was not read") for note in case.plan().notes)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_truncated_image_would_hang_the_trainer(case: Case, kind: str):
    path = case.images / f"cut.{kind}"
    Image.effect_noise((300, 300), 80).save(path)
    path.with_suffix(".txt").write_text("a thing")
    assert case.errors() == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "truncated images" in case.only_error().message


def test_missing_control_image_would_hang_the_trainer(tmp_path: Path):
    case = Case(tmp_path, "flux")
    write_image(tmp_path / "controls" / "0.png", caption=None)
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    mistake = case.only_error()
    assert mistake.pointer == "/dataset/directories/0/control_path"
    assert mistake.message.startswith("3 of 4 files have no control image")


def test_stray_file_needs_a_control_image_too(tmp_path: Path):
    case = Case(tmp_path, "flux")
    for name in range(4):
        write_image(tmp_path / "controls" / f"{name}.png", caption=None)
    (case.images / "notes.md").write_text("hello")
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    mistake = case.only_error()
    assert mistake.pointer == "/dataset/directories/0/control_path"
    assert "notes.md" in mistake.message
    assert mistake.remedy == "Move them out of this directory."


def test_spent_budget_leaves_the_totals_unknown(tmp_path: Path):

    case = Case(tmp_path)
    case.trainer = DiffusionPipe(tmp_path / "trainer", PYTHON, budget_seconds=0)
    found = case.check()
    assert found.errors == ()
    assert found.plan is not None
    assert (found.plan.dataset_items, found.plan.steps_per_epoch, found.plan.total_steps) == (None, None, None)
    assert any("lack of time" in note for note in found.plan.notes)


def test_image_models_skip_videos(tmp_path: Path):
    case = Case(tmp_path)
    write_video(case.images / "a.mp4", 5, 30)
    found = case.check()
    assert found.plan is not None
    assert found.plan.dataset_items == 4
    assert ["does not support" in mistake.message for mistake in found.warnings] == [True]


def test_only_videos_for_an_image_model_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    write_video(tmp_path / "videos" / "a.mp4", 5, 30)
    case.dataset["directories"][0]["path"] = str(tmp_path / "videos")
    assert case.errors() == ["/dataset/directories/0/path"]


def test_image_to_video_model_rejects_images(tmp_path: Path):
    case = Case(tmp_path, "wan")
    directory = tmp_path / "models" / "ckpt_path"
    (directory / "config.json").write_text('{"model_type": "i2v", "dim": 5120}')
    write_safetensors(directory / "model.safetensors", STAND_INS["wan-2.2-i2v-14b"])
    assert case.errors() == ["/dataset/directories/0/path"]
