import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.trainers.diffusion_pipe.dataset.buckets import Bucketing
from tests.unit.trainers.diffusion_pipe.builders import Case


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
        ({"enable_ar_bucket": True, "ar_buckets": [[512, 0]]}, "/dataset/ar_buckets/0"),
        ({"enable_ar_bucket": True, "ar_buckets": 1.5}, "/dataset/ar_buckets"),
        ({"enable_ar_bucket": True, "ar_buckets": ["1:1"]}, "/dataset/ar_buckets/0"),
        ({"frame_buckets": [0]}, "/dataset/frame_buckets"),
        ({"frame_buckets": 33}, "/dataset/frame_buckets"),
        ({"size_buckets": [[512, 512]]}, "/dataset/size_buckets"),
        ({"size_buckets": []}, "/dataset/size_buckets"),
    ],
)
def test_invalid_setting_is_one_error_at_its_pointer(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_error().pointer == pointer


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"size_buckets": [[512, 256, 1], [512, 512, 1]]}, "/dataset/size_buckets"),
    ],
)
def test_ignored_or_confusing_setting_is_one_warning(case: Case, settings: dict[str, Any], pointer: str):
    case.dataset.update(settings)
    assert case.only_warning().pointer == pointer


def test_resolutions_only_in_a_directory_are_an_error(case: Case):
    del case.dataset["resolutions"]
    case.dataset["directories"][0]["resolutions"] = [512]
    assert case.only_error().pointer == "/dataset/directories/0/resolutions"


@pytest.mark.parametrize("name", ["min_ar", "max_ar", "num_ar_buckets"])
def test_aspect_ratios_only_in_a_directory_are_an_error(case: Case, name: str):
    case.dataset.update(enable_ar_bucket=True, min_ar=0.5, max_ar=2.0, num_ar_buckets=3)
    case.dataset["directories"][0][name] = case.dataset.pop(name)
    assert case.only_error().pointer == f"/dataset/directories/0/{name}"


def test_missing_resolutions_are_an_error(case: Case):
    del case.dataset["resolutions"]
    assert case.only_error().pointer == "/dataset/resolutions"


@pytest.mark.parametrize("name", ["resolutions", "ar_buckets", "size_buckets", "frame_buckets"])
def test_bucket_lists_are_limited(tmp_path: Path, name: str):
    case = Case(tmp_path)
    case.dataset[name] = [512] * 129
    assert f"/dataset/{name}" in case.errors()


def test_first_of_two_equally_near_ratios_is_chosen():
    bucketing = Bucketing(resolutions=(512,), ratios=(0.5, 1.0, 2.0), frames=(1,))
    assert [bucketing.sort(width, 100, 1)[0][0] for width in (1, 60, 80, 100, 140, 150, 9000)] == [
        0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "height", "bucket"),
    [(512, 512, (1.0, 512, 512, 1)), (1920, 1080, (1.587, 640, 400, 1)), (100, 900, (0.5, 368, 720, 1))],
)
def test_image_goes_into_the_nearest_aspect_ratio(width: int, height: int, bucket: tuple):
    ratios = tuple(round(0.5 * 4 ** (i / 6), 3) for i in range(7))
    assert ratios == (0.5, 0.63, 0.794, 1.0, 1.26, 1.587, 2.0)
    assert Bucketing(resolutions=(512,), ratios=ratios).sort(width, height, 1) == (bucket,)


@pytest.mark.parametrize(
    ("frames", "length"), [(1, 1), (2, None), (32, None), (33, 33), (64, 33), (65, 65), (1000, 65), (0, None)]
)
def test_video_goes_into_the_longest_bucket_that_it_fills(frames: int, length: int | None):
    buckets = Bucketing(resolutions=(512,), frames=(1, 33, 65)).sort(512, 512, frames)
    assert [bucket[-1] for bucket in buckets] == ([] if length is None else [length])


def test_longest_fitting_size_bucket_is_chosen():
    sizes = Bucketing(sizes=((512, 512, 33), (512, 512, 1)), ratios=(1.0,))
    # Two buckets share one ratio, so the trainer never uses the second.
    assert sizes.sort(512, 512, 40) == ((512, 512, 33),)
    assert sizes.sort(512, 512, 1) == ()


def trainers_own_bucket(width: int, height: int, frames: int, ars: list[float], frame_buckets: list[int]):
    """Choose like an independent implementation of the trainer: with numpy, in log space, the first of equals."""
    log_ars = np.log(np.array(ars))
    ratio = int(np.argmin(np.abs(np.log(width / height) - log_ars)))
    differences = frames - np.array(frame_buckets)
    positive = differences[differences >= 0]
    if len(positive) == 0:
        return None
    length = int(np.argmin(positive))
    if frames > 1 and frame_buckets[length] == 1:
        return None
    return ars[ratio], frame_buckets[length]


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    frames=st.integers(1, 200),
    ends=st.tuples(st.floats(0.2, 1.0), st.floats(1.0, 5.0)),
    count=st.integers(1, 12),
)
def test_sorting_agrees_with_numpy(width: int, height: int, frames: int, ends: tuple[float, float], count: int):
    ars = sorted({round(float(x), 3) for x in np.geomspace(ends[0], ends[1], num=count)})
    ours = Bucketing(resolutions=(512,), ratios=tuple(ars), frames=(1, 33)).sort(width, height, frames)
    foreign = trainers_own_bucket(width, height, frames, ars, [1, 33])
    if foreign is None:
        assert ours == ()
        return
    (bucket,) = ours
    distance = abs(math.log(width / height) - math.log(bucket[0]))
    assert distance == pytest.approx(abs(math.log(width / height) - math.log(foreign[0])))
    assert bucket[-1] == foreign[1]


def test_cosmos_rejects_other_sizes(tmp_path: Path):
    case = Case(tmp_path, "cosmos")
    case.dataset["size_buckets"] = [[512, 512, 1]]
    assert case.errors() == ["/dataset/size_buckets"]


def test_cosmos_needs_its_sizes_in_every_directory(tmp_path: Path):
    case = Case(tmp_path, "cosmos")
    del case.dataset["directories"][0]["size_buckets"]
    assert case.errors() == ["/dataset/directories/0/size_buckets"]
