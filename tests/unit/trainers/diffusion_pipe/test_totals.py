import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.buckets import Bucketing
from api.trainers.diffusion_pipe.media import Budget, Looks, TooLong, Unreadable, look_at
from api.trainers.diffusion_pipe.totals import Item, Share, count_steps
from api.utils.caller import has_caller_left
from tests.unit.trainers.diffusion_pipe.builders import Case, make_images, write_image


def write_video(path: Path, frames: int, rate: int, size: tuple[int, int] = (512, 512)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path.with_suffix(".txt").write_text("it moves")


SQUARE = Bucketing(resolutions=(512,))


@pytest.mark.parametrize(
    ("items", "repeats", "batches", "steps"),
    [
        (10, 1, Batches(), 10),
        (10, 3, Batches(), 30),
        (10, 1.55, Batches(), 15),
        (10, 1, Batches(accumulation=4), 2),
        (10, 1, Batches(videos=((0, 2),), images=((0, 2),), accumulation=2, replicas=2), 1),
        (10, 1, Batches(videos=((0, 9),), images=((0, 1),)), 10),
        (10, 1, Batches(images=((512, 4), (1024, 1))), 2),
        (10, 1, Batches(images=((1024, 1), (512, 4))), 2),
        (3, 1, Batches(accumulation=4), 0),
    ],
)
def test_steps_of_one_bucket(items: int, repeats: float, batches: Batches, steps: int):
    share = Share(SQUARE, [Item(512, 512)] * items, repeats)
    assert count_steps([share], batches).steps_per_epoch == steps


def test_every_resolution_is_a_bucket_of_its_own():
    share = Share(Bucketing(resolutions=(512, 768)), [Item(512, 512)] * 5)
    assert count_steps([share], Batches(accumulation=2)).steps_per_epoch == 4


def test_directories_fill_a_bucket_together():
    share = Share(SQUARE, [Item(512, 512)] * 3)
    assert count_steps([share, share], Batches(accumulation=2)).steps_per_epoch == 3


def test_captions_multiply_an_image():
    assert count_steps([Share(SQUARE, [Item(512, 512, captions=3)])], Batches()).steps_per_epoch == 3


def test_subsampling_cuts_the_epoch_down_and_truncates():
    share = Share(SQUARE, [Item(512, 512)] * 7)
    assert count_steps([share], Batches(), 0.5).steps_per_epoch == 3


def test_dropped_buckets_are_told():
    share = Share(Bucketing(resolutions=(512,), ratios=(1.0, 2.0)), [Item(512, 512)] * 4 + [Item(1024, 512)])
    totals = count_steps([share], Batches(accumulation=2))
    assert totals.steps_per_epoch == 2
    assert totals.dropped == ((2.0, 720, 368, 1),)


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
def test_video_goes_into_the_longest_frames_that_it_fills(frames: int, length: int | None):
    buckets = Bucketing(resolutions=(512,), frames=(1, 33, 65)).sort(512, 512, frames)
    assert [bucket[-1] for bucket in buckets] == ([] if length is None else [length])


def test_size_buckets_take_the_longest_that_fits():
    sizes = Bucketing(sizes=((512, 512, 33), (512, 512, 1)), ratios=(1.0,))
    # One ratio only is left of two buckets, so that the trainer never gets to the second.
    assert sizes.sort(512, 512, 40) == ((512, 512, 33),)
    assert sizes.sort(512, 512, 1) == ()


def trainers_own_bucket(width: int, height: int, frames: int, ars: list[float], frame_buckets: list[int]):
    """The same choice as an independent reading of the trainer: with numpy, in log space, first of equals."""
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
    theirs = trainers_own_bucket(width, height, frames, ars, [1, 33])
    if theirs is None:
        assert ours == ()
        return
    (bucket,) = ours
    distance = abs(math.log(width / height) - math.log(bucket[0]))
    assert distance == pytest.approx(abs(math.log(width / height) - math.log(theirs[0])))
    assert bucket[-1] == theirs[1]


def test_plan_of_a_known_dataset_has_the_totals_counted_by_hand(tmp_path: Path):
    case = Case(tmp_path)
    make_images(case.images / "more", 5, (1024, 512))
    case.dataset = {
        "resolutions": [512, 768],
        "enable_ar_bucket": True,
        "min_ar": 0.5,
        "max_ar": 2.0,
        "num_ar_buckets": 3,
        "directories": [
            {"path": str(case.images), "num_repeats": 3},  # 12 square ones, in two resolutions
            {"path": str(case.images / "more")},  # 5 wide ones, in two resolutions
        ],
    }
    case.config.update(epochs=3, gradient_accumulation_steps=2, micro_batch_size_per_gpu=[[512, 2], [768, 1]])
    case.gpus = 2
    # 512: steps of 2 * 2 * 2 = 8: 12 // 8 = 1 and 5 // 8 = 0; 768: of 1 * 2 * 2 = 4: 12 // 4 = 3 and 5 // 4 = 1
    plan = case.check().plan
    assert plan is not None
    assert (plan.steps_per_epoch, plan.total_steps, plan.dataset_items) == (5, 15, 9)
    assert plan.global_batch_size == 8
    case.config["max_steps"] = 7
    plan = case.check().plan
    assert plan is not None
    assert plan.total_steps == 7


def test_videos_count_at_the_frame_rate_of_the_model(tmp_path: Path):
    case = Case(tmp_path, "wan")
    write_video(case.images / "long.mp4", 60, 30)  # 32 frames at 16 a second
    write_video(case.images / "short.mp4", 20, 30)  # 10
    case.dataset["frame_buckets"] = [1, 17]
    found = case.check()
    assert found.plan is not None
    assert found.plan.dataset_items == 5
    assert ["fit into no bucket" in mistake.message for mistake in found.warnings] == [True]


def test_videos_are_skipped_by_models_of_images(tmp_path: Path):
    case = Case(tmp_path)
    write_video(case.images / "a.mp4", 5, 30)
    found = case.check()
    assert found.plan is not None
    assert found.plan.dataset_items == 4
    assert ["does not take" in mistake.message for mistake in found.warnings] == [True]


def test_only_videos_for_a_model_of_images_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    write_video(tmp_path / "videos" / "a.mp4", 5, 30)
    case.dataset["directories"][0]["path"] = str(tmp_path / "videos")
    assert case.errors() == ["/dataset/directories/0/path"]


def test_video_tells_its_size_length_and_rate(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 12, 25, (64, 48))
    look = look_at(tmp_path / "a.mp4")
    assert (look.width, look.height, look.frames, look.frames_per_second) == (64, 48, 12, float(Fraction(25)))


@pytest.mark.parametrize("text", ["#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "ffconcat version 1.0\nfile a.mp4\n", ""])
def test_playlist_is_no_video_whatever_its_suffix(tmp_path: Path, text: str):
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(Unreadable):
        look_at(tmp_path / "a.mp4")


def test_image_that_claims_to_be_a_bomb_is_measured_or_skipped_without_decoding(tmp_path: Path):
    header = b"P5 20000 20000 255\n"
    (tmp_path / "bomb.pgm").write_bytes(header)
    with pytest.raises(Unreadable):
        look_at(tmp_path / "bomb.pgm")


def test_looks_are_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_image(tmp_path / "a.png", (10, 20))
    looks, seen = Looks(), []

    def spy(path: Path):
        seen.append(path)
        return look_at(path)

    monkeypatch.setattr("api.trainers.diffusion_pipe.media.look_at", spy)
    assert (looks.look(path).width, looks.look(path).width) == (10, 10)
    assert len(seen) == 1
    write_image(path, (30, 20))
    assert looks.look(path).width == 30


def test_looks_forget_the_oldest_beyond_their_capacity(tmp_path: Path):
    looks = Looks(capacity=2)
    for index in range(5):
        looks.look(write_image(tmp_path / f"{index}.png"))
    assert len(looks._seen) == 2


def test_budget_is_spent_when_its_time_is_over():
    now = [0.0]
    budget = Budget(3.0, monotonic=lambda: now[0])
    assert not budget.is_spent
    now[0] = 3.0
    assert budget.is_spent


def test_check_ends_when_the_one_who_asked_has_left():
    left = False
    token = has_caller_left.set(lambda: left)
    budget = Budget(3.0)
    has_caller_left.reset(token)
    budget.require()
    left = True
    assert budget.is_spent
    with pytest.raises(TooLong):
        budget.require()
