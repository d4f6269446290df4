"""How the trainer makes the pixels of a file: size, crop and frames, by the arithmetic of its `models/base.py`."""

from pathlib import Path

from api.domain.media import Recipe
from api.errors import Invalid
from api.trainers.diffusion_pipe.buckets import Bucket, Settings, read_bucketing
from api.trainers.diffusion_pipe.config_check import check_clip_mode
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import Variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.outlook import document_of, look_of, variant_of
from api.trainers.diffusion_pipe.retiming import CLIP_MODES, align, cut_clip, retimed_count, retimed_frames
from api.trainers.media import Look, is_video
from api.trainers.trainer import DatasetQuestion, SeenFile


def list_recipes(question: DatasetQuestion, file: SeenFile, root: Path | None) -> tuple[Recipe, ...]:
    """One recipe a resolution; none when the trainer does not train on the file. Raises Invalid."""
    findings = Findings()
    model_type = read_type(None, question.model_type, findings)
    if model_type is None:
        raise Invalid(mistakes=findings.errors)
    variant = variant_of(question, model_type, root)
    settings = Settings(document_of(question), 0)
    config = TrainerDocument(dict(question.config), "/config")
    check_clip_mode(config, MODELS[model_type], findings)
    bucketing = read_bucketing(settings, model_type, variant.round_to, findings)
    if bucketing is None or findings.errors:
        raise Invalid(mistakes=findings.errors)
    as_video = is_video(file.name)
    look = look_of(file.name, file.media)
    if look is None or look.is_damaged or (as_video and variant.framerate is None):
        return ()
    frames = _frames(file, look, variant) if as_video else 1
    mode = str(question.config.get("video_clip_mode", CLIP_MODES[0]))
    return tuple(
        _recipe(bucket, look, file, variant, mode) for bucket in bucketing.sort(look.width, look.height, frames)
    )


def _frames(file: SeenFile, look: Look, variant: Variant) -> int:
    if look.frames is None or not look.frames_per_second:
        return 0
    return retimed_count(look.frames, look.frames_per_second, variant.framerate or 0)


def _recipe(bucket: Bucket, look: Look, file: SeenFile, variant: Variant, mode: str) -> Recipe:
    facts = MODELS[variant.type]
    width, height = (_to_multiple(side, variant.pixels_to) for side in bucket[-3:-1])
    rotation = 0 if file.media is None else file.media.rotation
    sides = (look.height, look.width) if rotation % 180 else (look.width, look.height)
    box = _box(sides, (width, height))
    if not is_video(file.name):
        return Recipe(width, height, box, (0,), is_video=False)
    # The bucket goes by what the header states, the frames by those that are there.
    there = (file.media.facts.frame_count if file.media is not None else None) or look.frames or 0
    fps = float(variant.framerate or 0)
    indices = retimed_frames(there, look.frames_per_second or fps, fps)
    return Recipe(width, height, box, cut_clip(indices, align(int(bucket[-1]), facts), mode), is_video=True, fps=fps)


def _to_multiple(side: float, multiple: int) -> int:
    return int(round(side / multiple) * multiple)


def _box(sides: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of the target's ratio in the middle of the picture: Pillow's `ImageOps.fit`."""
    ratio, wanted = sides[0] / sides[1], target[0] / target[1]
    across, down = float(sides[0]), float(sides[1])
    if ratio > wanted:
        across = wanted * sides[1]
    elif ratio < wanted:
        down = sides[0] / wanted
    left, top = (sides[0] - across) * 0.5, (sides[1] - down) * 0.5
    return left, top, left + across, top + down
