"""Which frames of a video the trainer takes: its own arithmetic, as `models/base.py` has it."""

import struct

from api.trainers.diffusion_pipe.model_types import ModelFacts

CLIP_MODES = ("single_beginning", "single_middle")

#: More frames than this are never asked for: a bucket has 100,000 at most, and the trainer holds all in memory.
_MOST_FRAMES = 4_500_000


def retimed_count(frames: int, source_fps: float, fps: float) -> int:
    """How many frames a video has at another rate."""
    return int(frames * fps / source_fps)


def retimed_frames(frames: int, source_fps: float, fps: float) -> list[int]:
    """The indices of a video's frames that stand for it at another rate: `torch.linspace`, cut to whole numbers."""
    count = min(retimed_count(frames, source_fps, fps), _MOST_FRAMES)
    if count <= 1:
        return [0] * count
    # In single precision and from both ends to the middle; the second half is rounded once, the first at each step.
    end = _single(frames - 1)
    step = _single(end / (count - 1))
    half = count // 2
    first = [int(_single(step * index)) for index in range(half)]
    return first + [int(_single(end - step * (count - 1 - index))) for index in range(half, count)]


def align(frames: int, facts: ModelFacts) -> int:
    """How many of a bucket's frames the model takes."""
    return max((frames - facts.frame_rest) // facts.frame_step * facts.frame_step + facts.frame_rest, 1)


def cut_clip(indices: list[int], length: int, mode: str) -> tuple[int, ...]:
    """The clip of so many frames: from the beginning, or from the middle; what is shorter stays whole."""
    start = 0 if mode == CLIP_MODES[0] else max(0, int((len(indices) - length) / 2))
    return tuple(indices[start : start + length])


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])
