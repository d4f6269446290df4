import pytest

from api.trainers.diffusion_pipe.dataset.buckets import align, cut_clip, retimed_count, retimed_frames
from api.trainers.diffusion_pipe.models.registry import MODELS


def test_same_rate_uses_every_frame():
    assert retimed_frames(10, 24, 24) == list(range(10))


def test_lower_rate_uses_evenly_spaced_frames():
    assert retimed_frames(30, 30, 16) == [0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]


@pytest.mark.parametrize(
    ("frames", "source", "fps", "position", "index"),
    [(33, 25, 24, 15, 15), (33, 30, 25, 13, 15), (129, 30000 / 1001, 24, 51, 63), (257, 30000 / 1001, 24, 102, 127)],
)
def test_single_precision_selects_the_trainers_frame(frames: int, source: float, fps: float, position: int, index: int):
    """The values of torch 2.13; double precision would give another result."""
    assert retimed_frames(frames, source, fps)[position] == index


@pytest.mark.parametrize(("frames", "count"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_very_few_frames_can_be_retimed(frames: int, count: int):
    assert retimed_count(frames, 30, 16) == count
    assert retimed_frames(frames, 30, 16) == [0] * count


def test_clip_is_cut_from_the_beginning_or_the_middle():
    assert cut_clip(list(range(10)), 4, "single_beginning") == (0, 1, 2, 3)
    assert cut_clip(list(range(10)), 5, "single_middle") == (2, 3, 4, 5, 6)
    assert cut_clip([0, 1], 5, "single_middle") == (0, 1)


@pytest.mark.parametrize(
    ("model_type", "frames", "taken"),
    [("wan", 33, 33), ("wan", 32, 29), ("wan", 1, 1), ("ltx2", 30, 25), ("minimax_h3", 33, 17), ("minimax_h3", 1, 1)],
)
def test_each_model_has_its_own_multiple_of_frames(model_type: str, frames: int, taken: int):
    assert align(frames, MODELS[model_type]) == taken
