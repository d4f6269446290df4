import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, Case, make_images, write_image

PATH = "/dataset/directories/0/path"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def only(case: Case) -> Any:
    """The one error, without any warnings."""
    found = case.check()
    assert len(found.errors) == 1, found.errors
    return found.errors[0]


def only_warning(case: Case) -> Any:
    found = case.check()
    assert found.errors == ()
    assert len(found.warnings) == 1, found.warnings
    return found.warnings[0]


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"resolutions": []}, "/dataset/resolutions"),
        ({"resolutions": 512}, "/dataset/resolutions"),
        ({"resolutions": [512, 640, 768, 1024]}, "/dataset/resolutions"),
        ({"resolutions": [-1]}, "/dataset/resolutions/0"),
        ({"resolutions": [[512]]}, "/dataset/resolutions/0"),
        ({"resolutions": ["512"]}, "/dataset/resolutions/0"),
        ({"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0}, "/dataset/num_ar_buckets"),
        ({"enable_ar_bucket": True, "min_ar": 0, "max_ar": 2.0, "num_ar_buckets": 3}, "/dataset/min_ar"),
        ({"enable_ar_bucket": True, "ar_buckets": [[512, 0]]}, "/dataset/ar_buckets/0"),
        ({"enable_ar_bucket": True, "ar_buckets": 1.5}, "/dataset/ar_buckets"),
        ({"enable_ar_bucket": True, "ar_buckets": ["1:1"]}, "/dataset/ar_buckets/0"),
        ({"frame_buckets": [0]}, "/dataset/frame_buckets"),
        ({"frame_buckets": 33}, "/dataset/frame_buckets"),
        ({"size_buckets": [[512, 512]]}, "/dataset/size_buckets"),
        ({"size_buckets": []}, "/dataset/size_buckets"),
        ({"num_repeats": 0}, "/dataset/num_repeats"),
        ({"num_repeats": -1.5}, "/dataset/num_repeats"),
        ({"caption_prefix": 3}, "/dataset/caption_prefix"),
        ({"directories": []}, "/dataset/directories"),
        ({"directories": "/data"}, "/dataset/directories"),
        ({"directories": ["/data"]}, "/dataset/directories/0"),
        ({"directories": [{}]}, PATH),
        ({"directories": [{"dataset": "cats"}]}, "/dataset/directories/0/dataset"),
        ({"directories": [{"path": "/nowhere/at/all"}]}, PATH),
        ({"directories": [{"path": ""}]}, PATH),
        ({"directories": [{"path": "a\0b"}]}, PATH),
        ({"directories": [{"path": 3}]}, PATH),
        ({"online_captions": True}, "/dataset/online_captions"),
    ],
)
def test_mistake_in_the_settings_is_one_error_at_its_place(case: Case, settings: dict, pointer: str):
    case.dataset.update(settings)
    assert only(case).pointer == pointer


def test_resolutions_in_a_directory_only_are_an_error(case: Case):
    del case.dataset["resolutions"]
    case.dataset["directories"][0]["resolutions"] = [512]
    assert only(case).pointer == "/dataset/directories/0/resolutions"


@pytest.mark.parametrize("name", ["min_ar", "max_ar", "num_ar_buckets"])
def test_aspect_ratios_in_a_directory_only_are_an_error(case: Case, name: str):
    case.dataset.update(enable_ar_bucket=True, min_ar=0.5, max_ar=2.0, num_ar_buckets=3)
    case.dataset["directories"][0][name] = case.dataset.pop(name)
    assert only(case).pointer == f"/dataset/directories/0/{name}"


def test_missing_resolutions_are_an_error(case: Case):
    del case.dataset["resolutions"]
    assert only(case).pointer == "/dataset/resolutions"


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"resolution": [512]}, "/dataset/resolution"),
        ({"epochs": 3}, "/dataset/epochs"),
        ({"mask_path": "/x"}, "/dataset/mask_path"),
        ({"size_buckets": [[512, 256, 1], [512, 512, 1]]}, "/dataset/size_buckets"),
        ({"ar_buckets": [1.0, 1.5]}, "/dataset/ar_buckets"),
        ({"min_ar": 0.5}, "/dataset/min_ar"),
        ({"cache_shuffle_delimiter": ";"}, "/dataset/cache_shuffle_delimiter"),
    ],
)
def test_ignored_or_mixed_up_setting_is_one_warning(case: Case, settings: dict, pointer: str):
    case.dataset.update(settings)
    assert only_warning(case).pointer == pointer


def test_file_is_no_directory(case: Case):
    case.dataset["directories"][0]["path"] = str(case.images / "0.png")
    assert only(case).pointer == PATH


def test_empty_directory_would_hang_the_trainer(case: Case, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    case.dataset["directories"][0]["path"] = str(tmp_path / "empty")
    mistake = only(case)
    assert mistake.pointer == PATH
    assert "hangs" in mistake.message


def test_broken_image_is_skipped_with_a_warning(case: Case):
    (case.images / "0.png").write_bytes(b"not an image")
    assert "skips them: 0.png" in only_warning(case).message


def test_only_broken_images_are_an_error(case: Case):
    for image in case.images.glob("*.png"):
        image.write_bytes(b"not an image")
    found = case.check()
    assert [mistake.pointer for mistake in found.errors] == [PATH]


def test_animated_webp_would_hang_the_trainer(case: Case):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    frames[0].save(case.images / "moving.webp", save_all=True, append_images=frames[1:])
    (case.images / "moving.txt").write_text("it moves")
    assert "moving.webp" in only(case).message


def test_animated_webp_with_a_suffix_in_upper_case_is_taken_as_an_image(case: Case):
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
    assert "bad.webp" in only(case).message


def test_pipe_with_the_name_of_an_image_does_not_hang(case: Case):
    os.mkfifo(case.images / "pipe.png")
    os.mkfifo(case.images / "0b.png")
    assert case.errors() == []


def test_pipe_as_weights_does_not_hang(case: Case, tmp_path: Path):
    os.mkfifo(tmp_path / "weights.safetensors")
    case.config["model"]["checkpoint_path"] = str(tmp_path / "weights.safetensors")
    assert case.errors() == ["/config/model/checkpoint_path"]


def test_links_are_followed_and_loops_are_none(case: Case):
    (case.images / "link.png").symlink_to(case.images / "0.png")
    (case.images / "link.txt").symlink_to(case.images / "0.txt")
    (case.images / "loop.png").symlink_to(case.images / "loop.png")
    plan = case.check().plan
    assert plan is not None
    assert plan.dataset_items == 5


def test_names_are_shown_without_control_characters(case: Case):
    write_image(case.images / "a\x1b[31m\nb.png", caption=None)
    write_image(case.images / os.fsdecode(b"\xff.png"), caption=None)
    message = only_warning(case).message
    assert message.isprintable()
    assert "\\x1b[31m\\nb.png" in message
    message.encode()


def test_mask_of_another_size_would_hang_the_trainer(case: Case, tmp_path: Path):
    for index in range(4):
        write_image(tmp_path / "masks" / f"{index}.jpg", (512, 512) if index else (256, 256), caption=None)
    case.dataset["directories"][0]["mask_path"] = str(tmp_path / "masks")
    mistake = only(case)
    assert mistake.pointer == "/dataset/directories/0/mask_path"
    assert "0.png" in mistake.message


def test_missing_mask_is_a_warning(case: Case, tmp_path: Path):
    write_image(tmp_path / "masks" / "0.png", caption=None)
    case.dataset["directories"][0]["mask_path"] = str(tmp_path / "masks")
    assert only_warning(case).message.startswith("3 of 4 files have no mask")


def test_missing_mask_is_covered_by_the_default(case: Case, tmp_path: Path):
    write_image(tmp_path / "masks" / "0.png", caption=None)
    default = write_image(tmp_path / "white.png", caption=None)
    case.dataset["directories"][0].update(mask_path=str(tmp_path / "masks"), default_mask_file=str(default))
    assert case.warnings() == []


@pytest.mark.parametrize("model_type", ["sdxl", "wan", "z_image", "chroma"])
def test_control_images_of_a_model_that_takes_none_are_an_error(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    for number in range(4):
        write_image(tmp_path / "controls" / f"{number}.png", caption=None)
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    assert only(case).pointer == "/dataset/directories/0/control_path"


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_image_that_ends_too_early_hangs_the_trainer(case: Case, kind: str):
    path = case.images / f"cut.{kind}"
    Image.effect_noise((300, 300), 80).save(path)
    path.with_suffix(".txt").write_text("a thing")
    assert case.errors() == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "end too early" in only(case).message


@pytest.mark.parametrize(
    ("model_type", "lengths"),
    [("wan", [32]), ("hunyuan-video", [33, 34]), ("ltx2", [33, 37]), ("minimax_h3", [34, 10])],
)
def test_length_that_the_trainer_cuts_is_told(tmp_path: Path, model_type: str, lengths: list[int]):
    case = Case(tmp_path, model_type)
    case.dataset["frame_buckets"] = lengths
    assert only_warning(case).pointer == f"/dataset/frame_buckets/{len(lengths) - 1}"


def test_missing_control_image_would_hang_the_trainer(tmp_path: Path):
    case = Case(tmp_path, "flux")
    write_image(tmp_path / "controls" / "0.png", caption=None)
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    mistake = only(case)
    assert mistake.pointer == "/dataset/directories/0/control_path"
    assert mistake.message.startswith("3 of 4 files have no control image")


@pytest.mark.parametrize("name", ["mask_path", "control_path", "default_mask_file"])
def test_directory_beside_must_exist(case: Case, name: str):
    case.dataset["directories"][0][name] = "/nowhere"
    assert f"/dataset/directories/0/{name}" in case.errors()


def test_same_directory_twice_is_a_warning(case: Case, tmp_path: Path):
    (tmp_path / "link").symlink_to(case.images)
    case.dataset["directories"].append({"path": str(tmp_path / "link")})
    assert only_warning(case).pointer == "/dataset/directories"


def test_relative_path_is_one_below_the_trainer(case: Case, tmp_path: Path):
    make_images(tmp_path / "trainer" / "pictures")
    case.dataset["directories"][0]["path"] = "pictures"
    plan = case.check().plan
    assert plan is not None
    assert plan.caches == (str(tmp_path / "trainer" / "pictures" / "cache" / "sdxl"),)


def test_too_few_images_for_a_step_are_an_error(case: Case):
    case.config["gradient_accumulation_steps"] = 5
    assert only(case).pointer == "/dataset/directories"


def test_bucket_without_a_step_is_a_warning(case: Case):
    case.dataset.update(enable_ar_bucket=True, ar_buckets=[1.0, 2.0])
    case.config["gradient_accumulation_steps"] = 2
    write_image(case.images / "wide.png", (1024, 512))
    assert "720×368×1" in only_warning(case).message


def test_spent_budget_leaves_the_totals_unknown_and_says_so(tmp_path: Path):

    case = Case(tmp_path)
    case.trainer = DiffusionPipe(tmp_path / "trainer", PYTHON, budget_seconds=0)
    found = case.check()
    assert found.errors == ()
    assert found.plan is not None
    assert (found.plan.dataset_items, found.plan.steps_per_epoch, found.plan.total_steps) == (None, None, None)
    assert any("lack of time" in note for note in found.plan.notes)


def make_eval(case: Case, tmp_path: Path, text: str) -> None:
    file = tmp_path / "eval.toml"
    file.write_text(text)
    case.config["eval"] = {"datasets": [{"name": "held out", "config": str(file)}], "every_n_epochs": 1}


def test_evaluation_dataset_is_checked_like_the_main_one(case: Case, tmp_path: Path):
    make_eval(case, tmp_path, "resolutions = [512]\n[[directory]]\npath = '/nowhere/secret'\n")
    mistake = only(case)
    assert mistake.pointer == "/config/eval/datasets/0/config"
    assert "/directory/0/path" in mistake.message
    assert "secret" not in mistake.message


def test_evaluation_dataset_has_a_cache_of_its_own(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    plan = case.check().plan
    assert plan is not None
    assert plan.evaluates
    assert plan.caches == (str(directory / "cache" / "sdxl"), str(case.images / "cache" / "sdxl"))


def test_evaluation_dataset_that_is_too_small_is_an_error(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    case.config["eval"]["gradient_accumulation_steps"] = 3
    assert only(case).pointer == "/config/eval/datasets/0/config"


def test_syntax_error_in_an_evaluation_dataset_names_line_and_column(case: Case, tmp_path: Path):
    make_eval(case, tmp_path, "resolutions = [512\n[[directory]]")
    assert "line" in only(case).message


def test_other_files_are_not_read_as_evaluation_datasets(case: Case, tmp_path: Path):
    file = tmp_path / "eval.conf"
    file.write_text("password = 'x")
    case.config["eval"] = {"datasets": [{"name": "held out", "config": str(file)}], "every_n_epochs": 1}
    assert "no TOML file" in only(case).message


def test_of_two_evaluation_datasets_of_one_name_the_last_counts(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    case.config["eval"]["datasets"] *= 2
    assert only_warning(case).pointer == "/config/eval/datasets/1/name"


def test_share_of_an_epoch_that_leaves_no_step_is_named(case: Case):
    case.dataset["subsample_ratio"] = 0.1
    assert only(case).pointer == "/dataset/subsample_ratio"
