"""Which frames of a video the trainer uses, with the arithmetic of its `models/base.py`."""

import struct

from api.trainers.diffusion_pipe.model_types import ModelFacts

CLIP_MODES = ("single_beginning", "single_middle")

#: More frames are never needed: a bucket has at most 100,000, and the trainer holds all in memory.
_MAX_FRAMES = 4_500_000


def retimed_count(frames: int, source_fps: float, fps: float) -> int:
    """Return the number of frames of a video at another rate."""
    return int(frames * fps / source_fps)


def retimed_frames(frames: int, source_fps: float, fps: float) -> list[int]:
    """Return the indices of the frames that represent a video at another rate: `torch.linspace`, truncated."""
    count = min(retimed_count(frames, source_fps, fps), _MAX_FRAMES)
    if count <= 1:
        return [0] * count
    # In single precision, from both ends to the middle. The first half accumulates rounding, the second does not.
    end = _single(frames - 1)
    step = _single(end / (count - 1))
    half = count // 2
    first = [int(_single(step * index)) for index in range(half)]
    return first + [int(_single(end - step * (count - 1 - index))) for index in range(half, count)]


def align(frames: int, facts: ModelFacts) -> int:
    """Return how many of a bucket's frames the model uses."""
    return max((frames - facts.frame_rest) // facts.frame_step * facts.frame_step + facts.frame_rest, 1)


def cut_clip(indices: list[int], length: int, mode: str) -> tuple[int, ...]:
    """Return a clip of `length` frames from the beginning or the middle; shorter videos stay complete."""
    start = 0 if mode == CLIP_MODES[0] else max(0, int((len(indices) - length) / 2))
    return tuple(indices[start : start + length])


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])
