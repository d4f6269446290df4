"""How the trainer converts a file to training pixels: size, crop and frames, as in its `models/base.py`."""

from pathlib import Path

from api.domain.media import Recipe
from api.errors import Invalid
from api.trainers.diffusion_pipe.buckets import Bucket, Settings, read_bucketing
from api.trainers.diffusion_pipe.config_check import check_clip_mode
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import Variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.preview import document_of, info_of, variant_of
from api.trainers.diffusion_pipe.retiming import CLIP_MODES, align, cut_clip, retimed_count, retimed_frames
from api.trainers.media import MediaInfo, is_video
from api.trainers.trainer import DatasetFile, DatasetSetup


def list_recipes(question: DatasetSetup, file: DatasetFile, root: Path | None) -> tuple[Recipe, ...]:
    """Return one conversion per resolution; empty if the trainer does not use the file. Raise Invalid."""
    findings = Findings()
    model_type = read_type(None, question.model_type, findings)
    if model_type is None:
        raise Invalid(mistakes=findings.errors)
    variant = variant_of(question, model_type, root)
    settings = Settings(document_of(question), 0)
    config = TrainerDocument(dict(question.config), "/config")
    as_video = is_video(file.name)
    check_clip_mode(config, MODELS[model_type], as_video, findings)
    bucketing = read_bucketing(settings, model_type, variant.round_to, findings)
    if bucketing is None or findings.errors:
        raise Invalid(mistakes=findings.errors)
    info = info_of(file.name, file.media)
    if info is None or info.is_damaged or (as_video and variant.framerate is None):
        return ()
    frames = _frames(file, info, variant) if as_video else 1
    mode = str(question.config.get("video_clip_mode", CLIP_MODES[0]))
    return tuple(
        _recipe(bucket, info, file, variant, mode) for bucket in bucketing.sort(info.width, info.height, frames)
    )


def _frames(file: DatasetFile, info: MediaInfo, variant: Variant) -> int:
    if info.frames is None or not info.frames_per_second:
        return 0
    return retimed_count(info.frames, info.frames_per_second, variant.framerate or 0)


def _recipe(bucket: Bucket, info: MediaInfo, file: DatasetFile, variant: Variant, mode: str) -> Recipe:
    facts = MODELS[variant.type]
    width, height = (_to_multiple(side, variant.pixels_to) for side in bucket[-3:-1])
    rotation = 0 if file.media is None else file.media.rotation
    sides = (info.height, info.width) if rotation % 180 else (info.width, info.height)
    box = _box(sides, (width, height))
    if not is_video(file.name):
        return Recipe(width, height, box, (0,), is_video=False)
    # The header's frame count selects the bucket; the decodable frames fill the clip.
    available = (file.media.facts.frame_count if file.media is not None else None) or info.frames or 0
    fps = float(variant.framerate or 0)
    indices = retimed_frames(available, info.frames_per_second or fps, fps)
    return Recipe(width, height, box, cut_clip(indices, align(int(bucket[-1]), facts), mode), is_video=True, fps=fps)


def _to_multiple(side: float, multiple: int) -> int:
    return int(round(side / multiple) * multiple)


def _box(sides: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box with the target's aspect ratio, like Pillow's `ImageOps.fit`."""
    ratio, target_ratio = sides[0] / sides[1], target[0] / target[1]
    across, down = float(sides[0]), float(sides[1])
    if ratio > target_ratio:
        across = target_ratio * sides[1]
    elif ratio < target_ratio:
        down = sides[0] / target_ratio
    left, top = (sides[0] - across) * 0.5, (sides[1] - down) * 0.5
    return left, top, left + across, top + down
