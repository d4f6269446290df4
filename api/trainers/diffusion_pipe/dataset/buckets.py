"""Sort images and videos into size buckets and choose a video's frames, with the trainer's own arithmetic."""

import math
import struct
from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import Any

from api.errors import FindingText
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_value
from api.trainers.diffusion_pipe.config.keys import DIRECTORY
from api.trainers.diffusion_pipe.models.description import ModelFacts

#: Width, height and frames of a size bucket, preceded by its aspect ratio if the trainer derives it from one.
Bucket = tuple[float, ...]

_DIGITS = 3  #: decimals to which the trainer rounds aspect ratios and resolutions

MAX_RESOLUTIONS = 3

#: Most entries of one list, as each file of each directory is compared with all of them.
MAX_BUCKETS = 128
_LISTS = ("resolutions", "ar_buckets", "size_buckets", "frame_buckets")

#: The keys from which the trainer derives aspect ratios.
RATIOS = ("min_ar", "max_ar", "num_ar_buckets")

#: The (width, height) pairs that Cosmos supports; the trainer quits on others.
_COSMOS_SIDES = ((960, 960), (960, 704), (704, 960), (1280, 704), (704, 1280))
_COSMOS_SIZES = [[*sides, frames] for frames in (1, 121) for sides in _COSMOS_SIDES]

_SIDE_RANGE = (16, 16_384)
_FRAMES_RANGE = (1, 100_000)


@dataclass(frozen=True, slots=True)
class Bucketing:
    """How the files of one directory are sorted. `sizes` is None if resolutions and aspect ratios decide."""

    sizes: tuple[tuple[int, int, int], ...] | None = None  #: sorted by frames, most first
    resolutions: tuple[float, ...] = ()
    ratios: tuple[float, ...] = (1.0,)
    frames: tuple[int, ...] = (1,)
    round_to: int = 16

    def sort(self, width: int, height: int, frames: int) -> tuple[Bucket, ...]:
        """Return the buckets of a file, one per resolution; empty if the file is too short for any."""
        if frames < 1:
            return ()
        ratio = math.log(width / height)
        if self.sizes is not None:
            size = self._nearest_size(ratio, frames)
            return () if size is None else (size,)
        length = max((bucket for bucket in self.frames if bucket <= frames), default=1)
        if frames > 1 and length == 1:
            return ()
        # The ratios are sorted, so the nearest is one of the two neighbours; on a tie, the first.
        position = bisect_left(self.ratios, ratio, key=math.log)
        around = self.ratios[max(position - 1, 0) : position + 1]
        nearest = min(around, key=lambda candidate: abs(ratio - math.log(candidate)))
        return tuple((nearest, *self._sides(side, nearest), length) for side in self.resolutions)

    def _nearest_size(self, ratio: float, frames: int) -> tuple[int, int, int] | None:
        # The trainer sorts and merges the ratios but not the buckets, then uses the indices of one for the other.
        sizes = self.sizes or ()
        order = sorted(range(len(self.ratios)), key=lambda i: abs(ratio - math.log(self.ratios[i])))
        for size in (sizes[i] for i in order):
            if frames >= size[2] and not (frames > 1 and size[2] == 1):
                return size
        return None

    def _sides(self, side: float, ratio: float) -> tuple[int, int]:
        area = side**2
        width = math.sqrt(area * ratio)
        return round(width / self.round_to) * self.round_to, round(area / width / self.round_to) * self.round_to


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one directory, with those of the dataset as defaults."""

    document: TrainerDocument
    index: int

    @property
    def own(self) -> dict[str, Any]:
        directory = self.document.values["directory"][self.index]
        return directory if isinstance(directory, dict) else {}

    def get(self, name: str, default: Any = None) -> Any:
        return self.own.get(name, self.document.values.get(name, default))

    def at(self, name: str, *path: str | int) -> str:
        """Return the pointer to a setting, at the top level if it is not set."""
        if name in self.own:
            return self.document.at("directory", self.index, name, *path)
        return self.document.at(name, *path)


def read_bucketing(settings: Settings, model_type: str, round_to: int, findings: Findings) -> Bucketing | None:
    """Return the bucketing of one directory, or None if a setting is invalid, which adds a finding."""
    for name in _LISTS:
        values = settings.get(name)
        if isinstance(values, list) and len(values) > MAX_BUCKETS:
            findings.error(
                settings.at(name),
                FindingText("too_many_buckets", "The list has more than {max_buckets} entries.", "Remove some."),
                max_buckets=MAX_BUCKETS,
            )
            return None
    before = findings.error_count
    if model_type == "cosmos":
        _check_cosmos(settings, findings)
    resolutions = settings.get("resolutions", [])
    if isinstance(resolutions, list) and len(resolutions) > MAX_RESOLUTIONS:
        findings.error(
            settings.at("resolutions"),
            FindingText(
                "resolutions_too_many",
                (
                    "The list has {count} resolutions; with more than {max_resolutions} the trainer quits"
                    " without an error message. Every image is trained at each of them."
                ),
                "Set at most {max_resolutions}.",
            ),
            count=len(resolutions),
            max_resolutions=MAX_RESOLUTIONS,
        )
    if settings.get("size_buckets") is not None:
        found = _sized(settings, round_to, findings)
    else:
        found = Bucketing(
            resolutions=_read_resolutions(settings, findings),
            ratios=_read_ratios(settings, findings),
            frames=_read_frames(settings, findings),
            round_to=round_to,
        )
    return found if findings.error_count == before else None


def _sized(settings: Settings, round_to: int, findings: Findings) -> Bucketing:
    values = settings.get("size_buckets")
    sizes = [(size[0], size[1], int(size[2])) for size in values if _is_size(size)] if isinstance(values, list) else []
    if not sizes or len(sizes) != len(values):
        findings.error(
            settings.at("size_buckets"),
            FindingText(
                "size_buckets_invalid",
                "This is not a list of size buckets.",
                "Write a list of [width, height, frames], for example [[512, 512, 1]].",
            ),
        )
        return Bucketing()
    sizes.sort(key=lambda size: size[2], reverse=True)
    ratios = _round([width / height for width, height, _ in sizes])
    if [round(width / height, _DIGITS) for width, height, _ in sizes] != list(ratios):
        findings.warn(
            settings.at("size_buckets"),
            FindingText(
                "size_buckets_unsorted",
                "The trainer confuses these buckets: it matches sorted aspect ratios with unsorted buckets.",
                "Sort them by rising width / height, with each ratio once and one frame count; or use resolutions.",
            ),
        )
    return Bucketing(sizes=tuple(sizes), ratios=ratios, round_to=round_to)


def _is_size(size: Any) -> bool:
    if not isinstance(size, list) or len(size) != 3:
        return False
    return all(map(_is_side, size[:2])) and _is_length(size[2])


def _is_side(value: Any) -> bool:
    side = number(value)
    return side is not None and _SIDE_RANGE[0] <= side <= _SIDE_RANGE[1]


def _is_length(value: Any) -> bool:
    length = number(value)
    return length is not None and _FRAMES_RANGE[0] <= length <= _FRAMES_RANGE[1]


def _read_resolutions(settings: Settings, findings: Findings) -> tuple[float, ...]:
    values = settings.get("resolutions")
    if values is None:
        findings.error(
            settings.document.at("resolutions"),
            FindingText(
                "resolutions_missing", "`resolutions` is missing.", "Set resolutions = [512], or size_buckets."
            ),
        )
        return ()
    if "resolutions" not in settings.document.values:
        _only_here(settings, "resolutions", findings)
    if not isinstance(values, list) or not values:
        findings.error(
            settings.at("resolutions"),
            FindingText("resolutions_invalid", "This is not a list of resolutions.", "Set for example [512]."),
        )
        return ()
    found = []
    for index, given in enumerate(values):
        value = given
        if (side := number(given)) is not None and side < 0:
            value = -side
            findings.warn(
                settings.at("resolutions", index),
                FindingText("resolution_negative", "The trainer uses this side without its minus.", "Write {value}."),
                value=f"{value:g}",
            )
        is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_side, value))
        if not is_pair and not _is_side(value):
            findings.error(
                settings.at("resolutions", index),
                FindingText(
                    "resolution_invalid",
                    "This is not a resolution.",
                    "Write a side in pixels ({lowest} to {highest}), or [width, height].",
                ),
                lowest=_SIDE_RANGE[0],
                highest=_SIDE_RANGE[1],
            )
        else:
            found.append(math.sqrt(value[0] * value[1]) if is_pair else value)
    return _round(found)


def _read_ratios(settings: Settings, findings: Findings) -> tuple[float, ...]:
    if not settings.get("enable_ar_bucket", False):
        return (1.0,)
    if values := settings.get("ar_buckets"):
        return _read_given_ratios(settings, values, findings)
    missing = [name for name in RATIOS if settings.get(name) is None]
    for name in missing:
        findings.error(
            settings.document.at(name),
            FindingText(
                "ar_bucket_key_missing", "`{name}` is missing.", "Set it or ar_buckets, or remove enable_ar_bucket."
            ),
            name=name,
        )
    for name in RATIOS:
        if name in settings.own and name not in settings.document.values:
            _only_here(settings, name, findings)
    for name in RATIOS:
        if (value := settings.get(name)) is not None:
            check_value(value, DIRECTORY[name], settings.at(name), findings)
    low, high, count = (
        number(settings.get("min_ar")),
        number(settings.get("max_ar")),
        as_integer(settings.get("num_ar_buckets")),
    )
    if (
        low is None
        or high is None
        or count is None
        or not (0.001 <= low <= 1000 and 0.001 <= high <= 1000 and count >= 1)
    ):
        return (1.0,)
    return _round([low * (high / low) ** (i / max(count - 1, 1)) for i in range(min(count, 1000))])


def _read_given_ratios(settings: Settings, values: Any, findings: Findings) -> tuple[float, ...]:
    if not isinstance(values, list):
        findings.error(
            settings.at("ar_buckets"),
            FindingText("ar_buckets_invalid", "This is not a list of aspect ratios.", "Set for example [1.0, 1.5]."),
        )
        return (1.0,)
    found = []
    for index, value in enumerate(values):
        is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_positive, value))
        ratio = value[0] / value[1] if is_pair else value
        if not _is_positive(ratio) or not 0.001 <= ratio <= 1000:
            findings.error(
                settings.at("ar_buckets", index),
                FindingText(
                    "ar_bucket_invalid", "This is not an aspect ratio.", "Write width / height, or [width, height]."
                ),
            )
        else:
            found.append(ratio)
    return _round(found) or (1.0,)


def _read_frames(settings: Settings, findings: Findings) -> tuple[int, ...]:
    values = settings.get("frame_buckets", [1])
    if not isinstance(values, list) or not all(map(_is_length, values)):
        findings.error(
            settings.at("frame_buckets"),
            FindingText("frame_buckets_invalid", "This is not a list of frame counts.", "Set for example [1, 33]."),
        )
        return (1,)
    return tuple(sorted({1, *map(int, values)}))


def _only_here(settings: Settings, name: str, findings: Findings) -> None:
    findings.error(
        settings.at(name),
        FindingText(
            "set_only_in_directory",
            "`{name}` is set only in this directory; the trainer then fails with a KeyError.",
            "Set `{name}` at the top level of the dataset, as well.",
        ),
        name=name,
    )


def _check_cosmos(settings: Settings, findings: Findings) -> None:
    directory = partial(settings.document.at, "directory", settings.index)
    for values, at in ((settings.document.values, settings.document.at), (settings.own, directory)):
        sizes = values.get("size_buckets")
        if not isinstance(sizes, list) or not sizes or any(size not in _COSMOS_SIZES for size in sizes):
            findings.error(
                at("size_buckets"),
                FindingText(
                    "cosmos_sizes",
                    (
                        "Cosmos supports only certain sizes, at the top level and in every directory; else the "
                        "trainer quits."
                    ),
                    "Set size_buckets in both, with these entries only: {sizes}.",
                ),
                sizes=", ".join(map(str, _COSMOS_SIZES)),
            )
        for name in ("resolutions", *RATIOS):
            if name in values:
                findings.error(
                    at(name),
                    FindingText("cosmos_key", "For Cosmos, the trainer quits if `{name}` is set.", "Remove it."),
                    name=name,
                )


def _is_positive(value: Any) -> bool:
    found = number(value)
    return found is not None and 0 < found <= 1_000_000


def _round(values: list[Any]) -> tuple[float, ...]:
    return tuple(sorted({round(float(value), _DIGITS) for value in values}))


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
