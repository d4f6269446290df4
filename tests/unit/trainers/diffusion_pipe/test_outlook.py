from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.domain.dataset import MediaFacts, MediaKind
from api.domain.media import MediaProbe
from api.trainers.trainer import DatasetOutlook, DatasetQuestion, SeenFile
from tests.unit.trainers.diffusion_pipe.builders import Case, make_trainer, write_image, write_video

SQUARE = {"resolutions": [512]}
CLIPS = {"resolutions": [256], "frame_buckets": [1, 33]}


def image(
    name: str, size: tuple[int, int] = (512, 512), caption: str | None = "a thing", frames: int = 1, **problem: Any
) -> SeenFile:
    facts = MediaFacts(
        MediaKind.IMAGE, "webp" if name.endswith(".webp") else "png", *size, frame_count=frames, **problem
    )
    return SeenFile(name, MediaProbe(facts, frames), caption)


def clip(name: str, frames: int, fps: float = 16.0, stated: int | None = None, **problem: Any) -> SeenFile:
    facts = MediaFacts(MediaKind.VIDEO, "mp4", 256, 256, frames / fps, fps, frames, **problem)
    return SeenFile(name, MediaProbe(facts, frames if stated is None else stated), "it moves")


def look_ahead(
    tmp_path: Path, files: list[SeenFile], settings: dict[str, Any], model_type: str = "wan", **config: Any
) -> DatasetOutlook:
    question = DatasetQuestion(model_type, settings, config)
    return make_trainer(tmp_path).check_dataset(question, files)


def test_whole_dataset_has_nothing_to_be_said_of_it(tmp_path: Path):
    found = look_ahead(tmp_path, [image(f"{index}.png") for index in range(4)], SQUARE, "flux")
    assert (found.errors, found.warnings, found.notes, found.skipped) == ((), (), (), {})
    assert (found.steps_per_epoch, found.items) == (4, 4)
    [bucket] = found.buckets
    assert (bucket.width, bucket.height, bucket.frames, bucket.batches, bucket.dropped) == (512, 512, 1, 4, 0)
    assert bucket.names == ("0.png", "1.png", "2.png", "3.png")


def test_what_is_left_over_of_a_bucket_is_told_with_the_reason(tmp_path: Path):
    files = [*(image(f"{index}.png") for index in range(5)), image("wide.png", (1024, 512))]
    settings = {**SQUARE, "enable_ar_bucket": True, "ar_buckets": [1.0, 2.0]}
    found = look_ahead(tmp_path, files, settings, "flux", gradient_accumulation_steps=2)
    square, wide = found.buckets
    assert (square.examples, square.batch_size, square.batches, square.dropped) == (5, 2, 2, 1)
    assert (wide.examples, wide.batches, wide.dropped) == (1, 0, 1)
    assert square.reason == "The last example of an epoch does not fill a step of 2."
    assert wide.reason == "Its one example does not fill one step of 2, so that none is trained on."
    assert found.steps_per_epoch == 2


@pytest.mark.parametrize(
    ("file", "word"),
    [
        (image("a.png", caption=None), "uncaptioned"),
        (SeenFile("a.png", MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable")), "x"), "broken"),
        (replace(clip("a.png", 40)), "broken"),
        (clip("a.mp4", 20), "too_short"),
        (clip("a.mp4", 32, 30.0), "too_short"),
    ],
)
def test_what_is_not_trained_on_is_named_by_the_reason(tmp_path: Path, file: SeenFile, word: str):
    found = look_ahead(tmp_path, [file, image("b.png"), clip("b.mp4", 66)], CLIPS)
    assert found.skipped == {word: (file.name,)}
    assert len(found.warnings) == 1


def test_another_format_under_the_name_of_a_webp_hangs_the_trainer(tmp_path: Path):
    found = look_ahead(tmp_path, [replace(image("a.png"), name="a.webp"), image("b.png")], SQUARE, "flux")
    assert ["WebP files that cannot be read" in error.message for error in found.errors] == [True]


def test_clip_that_is_hardly_long_enough_is_warned_of(tmp_path: Path):
    found = look_ahead(tmp_path, [clip("a.mp4", 34), clip("b.mp4", 60)], CLIPS)
    assert "hardly long enough" in found.warnings[0].message


def test_clip_with_fewer_frames_than_it_states_would_hang_the_trainer(tmp_path: Path):
    found = look_ahead(tmp_path, [clip("a.mp4", 20, stated=60, problem="truncated"), clip("b.mp4", 60)], CLIPS)
    assert ["a.mp4" in error.message and "hangs" in error.message for error in found.errors] == [True]


def test_video_whose_header_alone_is_good_has_no_frames(tmp_path: Path):
    found = look_ahead(tmp_path, [clip("a.mp4", 60, problem="unreadable"), clip("b.mp4", 60)], CLIPS)
    assert ["a.mp4" in error.message and "fewer frames" in error.message for error in found.errors] == [True]


def test_of_matroska_the_frames_count_that_are_there(tmp_path: Path):
    found = look_ahead(tmp_path, [clip("a.mkv", 20, stated=60), clip("b.mp4", 60)], CLIPS)
    assert (found.errors, found.skipped) == ((), {"too_short": ("a.mkv",)})


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (image("a.png", problem="truncated"), "ends too early"),
        (image("a.png", problem="unreadable"), "data is damaged"),
        (replace(image("a.png"), has_mask=True, mask=image("m", problem="unreadable").media), "mask that cannot be"),
        (image("a.webp", frames=3), "animated WebP"),
        (replace(image("a.png"), has_mask=True, mask=image("m", (8, 8)).media), "mask of another size"),
        (replace(image("a.png"), has_mask=True, mask=None), "mask that cannot be read"),
    ],
)
def test_what_would_hang_the_trainer_is_an_error(tmp_path: Path, file: SeenFile, words: str):
    found = look_ahead(tmp_path, [file, replace(image("b.png"), has_mask=file.has_mask, mask=image("m").media)], SQUARE)
    assert [words in error.message for error in found.errors] == [True]
    assert found.errors[0].pointer == ""
    assert found.steps_per_epoch is None


def test_mistakes_of_the_settings_stand_at_their_place(tmp_path: Path):
    found = look_ahead(tmp_path, [image("a.png")], {"resolutions": [512], "frame_buckets": "all"})
    assert [error.pointer for error in found.errors] == ["/frame_buckets"]
    assert look_ahead(tmp_path, [image("a.png")], SQUARE, "no").errors[0].pointer == "/model_type"


def test_clip_mode_on_which_the_trainer_hangs_is_an_error(tmp_path: Path):
    found = look_ahead(tmp_path, [clip("a.mp4", 60)], CLIPS, video_clip_mode="multiple_overlapping")
    assert [error.pointer for error in found.errors] == ["/config/video_clip_mode"]


#: What the trainer's documentation and its users call faults of a dataset: settings, and where each is told.
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
def test_each_fault_of_settings_is_told_at_its_place(tmp_path: Path, fault: str):
    settings, pointer = FAULTS[fault]
    found = look_ahead(tmp_path, [clip(f"{index}.mp4", 80) for index in range(4)], settings)
    assert pointer in [each.pointer for each in (*found.errors, *found.warnings)]


@pytest.mark.parametrize("most", [2**63 - 1, 10**400, 1e308])
@pytest.mark.parametrize("place", ["num_repeats", "subsample_ratio", "gradient_accumulation_steps"])
def test_numbers_without_measure_make_no_totals_without_measure(tmp_path: Path, place: str, most: int | float):
    is_config = place == "gradient_accumulation_steps"
    settings = SQUARE if is_config else {**SQUARE, place: most}
    config = {place: most, "micro_batch_size_per_gpu": 10**6} if is_config else {}
    found = look_ahead(tmp_path, [image(f"{index}.png") for index in range(4)], settings, **config)
    assert is_config or f"/{place}" in [each.pointer for each in found.errors]
    counts = [number for each in found.buckets for number in (each.examples, each.batch_size, each.dropped)]
    assert all(number < 2**53 for number in (*counts, found.steps_per_epoch or 0))


_RANGE = {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0}
_SIDES = [[960, 960], [960, 704], [704, 960], [1280, 704], [704, 1280]]

#: The example files of the trainer: for which model, with which settings, and whether they are for videos.
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
def test_nothing_false_is_said_of_the_trainers_own_examples(tmp_path: Path, example: str):
    model_type, settings, has_videos = EXAMPLES[example]
    sizes = [(1024, 1024), (1280, 720), (720, 1280), (1024, 768)]
    files = [image(f"{index}.png", sizes[index % 4]) for index in range(12)]
    if has_videos:
        files += [clip(f"{index}.mp4", 150, 24.0) for index in range(4)]
    if example.startswith("flux_kontext"):
        files = [replace(file, has_control=True, control=file.media) for file in files]
    found = look_ahead(tmp_path, files, settings, model_type)
    # It is true of this one: the trainer sorts the ratios, but not the sizes.
    expected = ["mixes these buckets up"] if example == "cosmos_dataset.toml" else []
    assert [words in each.message for words, each in zip(expected, found.warnings, strict=True)] == [True] * len(
        expected
    )
    assert (found.errors, found.skipped) == ((), {})
    assert found.steps_per_epoch


def test_files_that_nobody_looked_at_leave_the_totals_unknown(tmp_path: Path):
    found = look_ahead(tmp_path, [image("a.png"), SeenFile("b.png", None, "x")], SQUARE, "flux")
    assert (found.steps_per_epoch, found.items) == (None, None)
    assert "1 files have not been looked at" in found.notes[0]
    assert found.buckets[0].names == ("a.png",)


def test_masks_and_control_images_count_when_they_are_there(tmp_path: Path):
    files = [replace(image(f"{i}.png"), has_control=i > 0, control=image("c").media) for i in range(3)]
    found = look_ahead(tmp_path, files, SQUARE, "flux")
    assert "1 of 3 files have no control image" in found.errors[0].message


def test_validate_says_the_same_of_the_same_files_on_a_disk(case: Case, tmp_path: Path):
    """One code: what a check of a version finds is what the check of a request with its directory finds."""
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
            files.append(SeenFile(path.name, MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable")), caption))
        elif path.suffix == ".png":
            files.append(image(path.name, (1024, 512) if path.stem == "wide" else (512, 512), caption))
    validated = case.check()
    settings = {name: value for name, value in case.dataset.items() if name != "directories"}
    found = make_trainer(tmp_path).check_dataset(DatasetQuestion("flux", settings, dict(case.config)), files)
    assert [each.message for each in found.warnings] == [each.message for each in validated.warnings]
    assert validated.plan is not None
    assert (found.steps_per_epoch, found.items) == (validated.plan.steps_per_epoch, validated.plan.dataset_items)
