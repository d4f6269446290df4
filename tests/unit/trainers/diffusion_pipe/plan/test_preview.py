from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe
from api.trainers.trainer import DatasetFile, DatasetPreview, DatasetSetup
from tests.unit.trainers.diffusion_pipe.builders import Case, make_trainer, write_image, write_video

SQUARE = {"resolutions": [512]}
CLIPS = {"resolutions": [256], "frame_buckets": [1, 33]}


def image(
    name: str, size: tuple[int, int] = (512, 512), caption: str | None = "a thing", frames: int = 1, **problem: Any
) -> DatasetFile:
    facts = MediaFacts(
        MediaKind.IMAGE, "webp" if name.endswith(".webp") else "png", *size, frame_count=frames, **problem
    )
    return DatasetFile(name, MediaProbe(facts, frames), caption)


def clip(name: str, frames: int, fps: float = 16.0, stated: int | None = None, **problem: Any) -> DatasetFile:
    facts = MediaFacts(MediaKind.VIDEO, "mp4", 256, 256, frames / fps, fps, frames, **problem)
    return DatasetFile(name, MediaProbe(facts, frames if stated is None else stated), "it moves")


def preview(
    tmp_path: Path, files: list[DatasetFile], settings: dict[str, Any], model_type: str = "wan", **config: Any
) -> DatasetPreview:
    question = DatasetSetup(model_type, settings, config)
    return make_trainer(tmp_path).check_dataset(question, files)


def test_valid_dataset_has_no_findings(tmp_path: Path):
    found = preview(tmp_path, [image(f"{index}.png") for index in range(4)], SQUARE, "flux")
    assert (found.errors, found.warnings, found.notes, found.skipped) == ((), (), (), {})
    assert (found.steps_per_epoch, found.items) == (4, 4)
    [bucket] = found.buckets
    assert (bucket.width, bucket.height, bucket.frames, bucket.batches, bucket.dropped) == (512, 512, 1, 4, 0)
    assert bucket.names == ("0.png", "1.png", "2.png", "3.png")


def test_dropped_examples_of_a_bucket_have_a_reason(tmp_path: Path):
    files = [*(image(f"{index}.png") for index in range(5)), image("wide.png", (1024, 512))]
    settings = {**SQUARE, "enable_ar_bucket": True, "ar_buckets": [1.0, 2.0]}
    found = preview(tmp_path, files, settings, "flux", gradient_accumulation_steps=2)
    square, wide = found.buckets
    assert (square.examples, square.batch_size, square.batches, square.dropped) == (5, 2, 2, 1)
    assert (wide.examples, wide.batches, wide.dropped) == (1, 0, 1)
    assert square.reason == "The last example of an epoch does not fill a step of 2."
    assert wide.reason == "Its one example does not fill one step of 2, so none of them is trained."
    assert found.steps_per_epoch == 2


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (image("a.png", caption=None), "uncaptioned"),
        (DatasetFile("a.png", MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable")), "x"), "broken"),
        (replace(clip("a.png", 40)), "broken"),
        (clip("a.mp4", 20), "too_short"),
        (clip("a.mp4", 32, 30.0), "too_short"),
    ],
)
def test_skipped_files_are_listed_by_reason(tmp_path: Path, file: DatasetFile, reason: str):
    found = preview(tmp_path, [file, image("b.png"), clip("b.mp4", 66)], CLIPS)
    assert found.skipped == {reason: (file.name,)}
    assert len(found.warnings) == 1


def test_other_format_with_a_webp_suffix_would_hang_the_trainer(tmp_path: Path):
    found = preview(tmp_path, [replace(image("a.png"), name="a.webp"), image("b.png")], SQUARE, "flux")
    assert ["WebP files that cannot be read" in error.message for error in found.errors] == [True]


def test_barely_long_enough_clip_is_a_warning(tmp_path: Path):
    found = preview(tmp_path, [clip("a.mp4", 34), clip("b.mp4", 60)], CLIPS)
    assert "just long enough" in found.warnings[0].message


def test_clip_with_fewer_frames_than_it_states_would_hang_the_trainer(tmp_path: Path):
    found = preview(tmp_path, [clip("a.mp4", 20, stated=60, problem="truncated"), clip("b.mp4", 60)], CLIPS)
    assert ["a.mp4" in error.message and "would hang" in error.message for error in found.errors] == [True]


def test_video_with_only_a_valid_header_has_no_frames(tmp_path: Path):
    found = preview(tmp_path, [clip("a.mp4", 60, problem="unreadable"), clip("b.mp4", 60)], CLIPS)
    assert ["a.mp4" in error.message and "fewer frames" in error.message for error in found.errors] == [True]


def test_matroska_frames_are_counted_not_read_from_the_header(tmp_path: Path):
    found = preview(tmp_path, [clip("a.mkv", 20, stated=60), clip("b.mp4", 60)], CLIPS)
    assert (found.errors, found.skipped) == ((), {"too_short": ("a.mkv",)})


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (image("a.png", problem="truncated"), "truncated images"),
        (image("a.png", problem="unreadable"), "are damaged"),
        (replace(image("a.png"), has_mask=True, mask=image("m", problem="unreadable").media), "mask that cannot be"),
        (image("a.webp", frames=3), "animated WebP"),
        (replace(image("a.png"), has_mask=True, mask=image("m", (8, 8)).media), "mask of another size"),
        (replace(image("a.png"), has_mask=True, mask=None), "mask that cannot be read"),
    ],
)
def test_file_that_would_hang_the_trainer_is_an_error(tmp_path: Path, file: DatasetFile, message: str):
    found = preview(tmp_path, [file, replace(image("b.png"), has_mask=file.has_mask, mask=image("m").media)], SQUARE)
    assert [message in error.message for error in found.errors] == [True]
    assert found.errors[0].pointer == ""
    assert found.steps_per_epoch is None


def test_errors_in_settings_have_their_pointer(tmp_path: Path):
    found = preview(tmp_path, [image("a.png")], {"resolutions": [512], "frame_buckets": "all"})
    assert [error.pointer for error in found.errors] == ["/frame_buckets"]
    assert preview(tmp_path, [image("a.png")], SQUARE, "no").errors[0].pointer == "/model_type"


def test_unknown_clip_mode_is_an_error(tmp_path: Path):
    found = preview(tmp_path, [clip("a.mp4", 60)], CLIPS, video_clip_mode="multiple_overlapping")
    assert [error.pointer for error in found.errors] == ["/config/video_clip_mode"]


#: Problems of datasets according to the trainer's documentation and its users: settings, and the pointer of each.
FAULTS = {
    "too many resolutions": ({"resolutions": [256, 512, 768, 1024]}, "/resolutions"),
    "no resolution at all": ({}, "/resolutions"),
    "no repeats": ({**SQUARE, "num_repeats": 0}, "/num_repeats"),
    "ratios without their buckets": ({**SQUARE, "ar_buckets": [1.0, 2.0]}, "/ar_buckets"),
    "half a range of ratios": ({**SQUARE, "enable_ar_bucket": True, "min_ar": 0.5}, "/max_ar"),
    "a delimiter of nothing": ({**SQUARE, "cache_shuffle_delimiter": ";"}, "/cache_shuffle_delimiter"),
    "frames that the model cuts": ({**SQUARE, "frame_buckets": [1, 32]}, "/frame_buckets/1"),
    "mixed-up sizes": ({"size_buckets": [[512, 256, 33], [512, 512, 1]]}, "/size_buckets"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_error_in_settings_has_its_pointer(tmp_path: Path, fault: str):
    settings, pointer = FAULTS[fault]
    found = preview(tmp_path, [clip(f"{index}.mp4", 80) for index in range(4)], settings)
    assert pointer in [each.pointer for each in (*found.errors, *found.warnings)]


@pytest.mark.parametrize("most", [2**63 - 1, 10**400, 1e308])
@pytest.mark.parametrize("key", ["num_repeats", "subsample_ratio", "gradient_accumulation_steps"])
def test_huge_numbers_do_not_make_huge_totals(tmp_path: Path, key: str, most: int | float):
    is_config = key == "gradient_accumulation_steps"
    settings = SQUARE if is_config else {**SQUARE, key: most}
    config = {key: most, "micro_batch_size_per_gpu": 10**6} if is_config else {}
    found = preview(tmp_path, [image(f"{index}.png") for index in range(4)], settings, **config)
    assert is_config or f"/{key}" in [each.pointer for each in found.errors]
    counts = [number for each in found.buckets for number in (each.examples, each.batch_size, each.dropped)]
    assert all(number < 2**53 for number in (*counts, found.steps_per_epoch or 0))


_RANGE = {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0}
_SIDES = [[960, 960], [960, 704], [704, 960], [1280, 704], [704, 1280]]

#: The trainer's example files: model, settings, and whether they are for videos.
EXAMPLES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "dataset.toml": (
        "hunyuan-video",
        {"resolutions": [512], **_RANGE, "num_ar_buckets": 7, "frame_buckets": [1, 33], "num_repeats": 1},
        True,
    ),
    "cosmos_dataset.toml": ("cosmos", {"size_buckets": [[*sides, 1] for sides in _SIDES], "num_repeats": 10}, False),
    "flux_kontext_dataset.toml": (
        "flux",
        {"resolutions": [512], **_RANGE, "num_ar_buckets": 9, "num_repeats": 1},
        False,
    ),
    "recommended_lumina_dataset_config.toml": (
        "lumina_2",
        {"resolutions": [512, 1024], **_RANGE, "num_ar_buckets": 9, "caption_prefix": "You are an assistant. "},
        False,
    ),
    "minimax_h3_dataset.toml": (
        "minimax_h3",
        {"resolutions": [512], **_RANGE, "num_ar_buckets": 9, "frame_buckets": [1, 34, 68, 102, 136], "num_repeats": 8},
        True,
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_trainers_own_examples_have_no_findings(tmp_path: Path, example: str):
    model_type, settings, has_videos = EXAMPLES[example]
    sizes = [(1024, 1024), (1280, 720), (720, 1280), (1024, 768)]
    files = [image(f"{index}.png", sizes[index % 4]) for index in range(12)]
    if has_videos:
        files += [clip(f"{index}.mp4", 150, 24.0) for index in range(4)]
    if example.startswith("flux_kontext"):
        files = [replace(file, has_control=True, control=file.media) for file in files]
    found = preview(tmp_path, files, settings, model_type)
    # This warning is right: the trainer sorts the ratios, but not the sizes.
    expected = ["confuses these buckets"] if example == "cosmos_dataset.toml" else []
    assert [message in each.message for message, each in zip(expected, found.warnings, strict=True)] == [True] * len(
        expected
    )
    assert (found.errors, found.skipped) == ((), {})
    assert found.steps_per_epoch


def test_unexamined_files_leave_the_totals_unknown(tmp_path: Path):
    found = preview(tmp_path, [image("a.png"), DatasetFile("b.png", None, "x")], SQUARE, "flux")
    assert (found.steps_per_epoch, found.items) == (None, None)
    assert "1 file has not been examined" in found.notes[0].text
    assert found.buckets[0].names == ("a.png",)


def test_existing_masks_and_control_images_are_checked(tmp_path: Path):
    files = [replace(image(f"{i}.png"), has_control=i > 0, control=image("c").media) for i in range(3)]
    found = preview(tmp_path, files, SQUARE, "flux")
    assert "1 of 3 files have no control image" in found.errors[0].message


def test_validate_has_the_same_findings_for_files_on_disk(case: Case, tmp_path: Path):
    """The check of a dataset version and the check of a request share code, so they have the same findings."""
    write_image(case.images / "wide.png", (1024, 512))
    write_image(case.images / "plain.png", caption=None)
    write_image(case.images / "empty.png", caption="")
    (case.images / "broken.png").write_bytes(b"no image")
    (case.images / "broken.txt").write_text("x")
    write_video(case.images / "clip.mp4", 40, 25)
    files = []
    for path in sorted(case.images.iterdir()):
        text = path.with_suffix(".txt")
        caption = text.read_text() if text.exists() else None
        if path.suffix == ".mp4":
            files.append(replace(clip(path.name, 40, 25.0), caption=caption))
        elif path.suffix == ".png" and path.stem == "broken":
            files.append(DatasetFile(path.name, MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable")), caption))
        elif path.suffix == ".png":
            files.append(image(path.name, (1024, 512) if path.stem == "wide" else (512, 512), caption))
    validated = case.check()
    settings = {name: value for name, value in case.dataset.items() if name != "directories"}
    found = make_trainer(tmp_path).check_dataset(DatasetSetup("flux", settings, dict(case.config)), files)
    assert [each.message for each in found.warnings] == [each.message for each in validated.warnings]
    assert validated.plan is not None
    assert (found.steps_per_epoch, found.items) == (validated.plan.steps_per_epoch, validated.plan.dataset_items)
