from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe, Recipe
from api.errors import Invalid
from api.trainers.trainer import DatasetFile, DatasetSetup
from tests.unit.files.media.samples import picture
from tests.unit.trainers.diffusion_pipe.builders import make_trainer
from tests.unit.trainers.diffusion_pipe.plan.test_preview import clip, image


def recipes(
    tmp_path: Path, file: DatasetFile, settings: dict[str, Any], model_type: str = "wan", **config: Any
) -> tuple[Recipe, ...]:
    return make_trainer(tmp_path).recipes(DatasetSetup(model_type, settings, config), file)


@pytest.mark.parametrize("size", [(640, 480), (333, 777), (512, 512), (1000, 999), (31, 900)])
def test_crop_equals_the_trainers_exactly(tmp_path: Path, size: tuple[int, int]):
    settings = {"resolutions": [256], "enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0, "num_ar_buckets": 7}
    [recipe] = recipes(tmp_path, image("a.png", size), settings, "flux")
    source = picture(size)
    target = (recipe.width, recipe.height)
    made = source.resize(target, Image.Resampling.BICUBIC, box=recipe.box)
    assert made.tobytes() == ImageOps.fit(source, target).tobytes()
    assert (recipe.is_video, recipe.frames) == (False, (0,))


def test_each_resolution_has_a_recipe(tmp_path: Path):
    found = recipes(tmp_path, image("a.png", (512, 512)), {"resolutions": [256, 512]}, "flux")
    assert [(recipe.width, recipe.height) for recipe in found] == [(256, 256), (512, 512)]


def test_video_is_retimed_and_cut_from_the_beginning_or_the_middle(tmp_path: Path):
    settings = {"resolutions": [128], "frame_buckets": [1, 9]}
    [first] = recipes(tmp_path, clip("a.mp4", 32, 32.0), settings)
    assert (first.frames[:3], len(first.frames), first.fps) == ((0, 2, 4), 9, 16.0)
    [middle] = recipes(tmp_path, clip("a.mp4", 32, 32.0), settings, video_clip_mode="single_middle")
    assert middle.frames[0] == 6


def test_model_rounds_the_picture_after_the_bucket(tmp_path: Path):
    settings = {"resolutions": [[464, 576]], "enable_ar_bucket": True, "ar_buckets": [[464, 576]]}
    [recipe] = recipes(tmp_path, image("a.png", (464, 576)), settings, "ltx2")
    assert (recipe.width, recipe.height) == (448, 576)


def test_rotated_video_is_cropped_as_decoded(tmp_path: Path):
    facts = MediaFacts(MediaKind.VIDEO, "mp4", 640, 360, 4.0, 16.0, 64, problem="turned")
    turned = DatasetFile("a.mp4", MediaProbe(facts, 64, rotation=90), "x")
    settings = {"resolutions": [256], "frame_buckets": [33], "enable_ar_bucket": True, "ar_buckets": [0.5, 1.78]}
    [recipe] = recipes(tmp_path, turned, settings)
    left, top, right, bottom = recipe.box
    assert recipe.width > recipe.height
    assert (left, right) == (0.0, 360.0)
    assert 0 < top < bottom < 640


@pytest.mark.parametrize(
    ("file", "model_type"),
    [
        (clip("a.mp4", 20), "wan"),
        (clip("a.mp4", 60), "flux"),
        (image("a.png", problem="truncated"), "wan"),
        (DatasetFile("a.png", None), "wan"),
        (clip("a.png", 60), "wan"),
    ],
)
def test_untrained_file_has_no_recipe(tmp_path: Path, file: DatasetFile, model_type: str):
    assert recipes(tmp_path, file, {"resolutions": [256], "frame_buckets": [33]}, model_type) == ()


def test_settings_without_a_bucket_are_rejected(tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        recipes(tmp_path, image("a.png"), {"resolutions": []})
    assert refused.value.mistakes[0].pointer == "/resolutions"
    with pytest.raises(Invalid):
        recipes(tmp_path, image("a.png"), {"resolutions": [256]}, "none")
