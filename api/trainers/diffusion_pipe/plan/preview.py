"""Predict how the trainer will use known files, by bucket, and how it converts each to training pixels."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.datasets.dataset import MediaKind
from api.domain.datasets.media import MediaProbe, MediaProblem, Recipe
from api.domain.reason import Reason
from api.errors import Finding, FindingText, Invalid
from api.trainers.diffusion_pipe.checks.config_check import check_clip_mode
from api.trainers.diffusion_pipe.checks.dataset_check import (
    DatasetContext,
    DatasetSummary,
    ListedDirectory,
    check_dataset,
)
from api.trainers.diffusion_pipe.checks.model_check import Variant, find_variant, read_type
from api.trainers.diffusion_pipe.config.document import TrainerDocument, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.batches import Batches, read_batches
from api.trainers.diffusion_pipe.dataset.buckets import (
    CLIP_MODES,
    Bucket,
    Settings,
    align,
    cut_clip,
    read_bucketing,
    retimed_count,
    retimed_frames,
)
from api.trainers.diffusion_pipe.dataset.folders import ListedFolder
from api.trainers.diffusion_pipe.dataset.totals import BucketCount, count_steps
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.media import Budget, MediaInfo, MediaInfoCache, TooLong, count_shown, is_video
from api.trainers.trainer import DatasetFile, DatasetPreview, DatasetSetup, SizeBucket

#: Time limit of the check of a dataset in seconds; a million files take ten.
_SECONDS = 30.0

#: Problems for which the trainer skips a file, with the reasons in answers.
_SKIPPED = {
    "uncaptioned": "uncaptioned",
    "not media": "stray",
    "broken": "broken",
    "videos": "videos",
    "no captions": "no_captions",
}

_DIRECTORY = "/directory"

_PICTURE = ".png"  #: a suffix for masks and control images, whose own suffix does not matter

#: Problems that prevent opening a file.
_FATAL = frozenset({MediaProblem.BOMB, MediaProblem.CHANGED})


def preview_dataset(question: DatasetSetup, files: Sequence[DatasetFile], root: Path | None) -> DatasetPreview:
    """Return all that is known about a dataset before a training."""
    findings = Findings()
    config = TrainerDocument(dict(question.config), "/config")
    model_type = read_type(None, question.model_type, findings)
    if model_type is None:
        return DatasetPreview(errors=findings.errors)
    variant = find_variant(config if question.config else None, model_type, root)
    has_videos = any(is_video(file.name) for file in files)
    check_clip_mode(config, MODELS[model_type], has_videos, findings)
    batches, _ = read_batches(config, question.gpu_count, findings)
    known_files = [file for file in files if file.media is not None]
    context = DatasetContext(
        variant, batches, root, MediaInfoCache(), Budget(_SECONDS, entries=0), listed=list_files(known_files)
    )
    document = document_of(question)
    try:
        known = check_dataset(document, context, findings)
    except TooLong:
        findings.error(
            "", FindingText("preview_too_long", "The check took too long and was cancelled.", "Use fewer sizes.")
        )
        known = DatasetSummary()
    unseen = len(files) - len(known_files)
    return _preview(known, batches, question, findings, unseen)


def document_of(question: DatasetSetup) -> TrainerDocument:
    """Return the trainer's file of a dataset with one directory."""
    # Cosmos needs its sizes at both levels.
    own = {name: value for name, value in question.settings.items() if name == "size_buckets"}
    return TrainerDocument({**question.settings, "directory": [own]}, "")


def list_files(files: Iterable[DatasetFile]) -> ListedDirectory:
    """Return these files as a directory with captions, masks and control images."""
    infos: dict[str, MediaInfo | None] = {}
    captions: dict[str, str] = {}
    masks: dict[str, MediaInfo | None] = {}
    controls: dict[str, MediaInfo | None] = {}
    for file in files:
        infos[file.name] = info_of(file.name, file.media)
        stem = file.name.rsplit(".", 1)[0]
        if file.caption is not None:
            captions[f"{stem}.txt"] = file.caption
        if file.has_mask:
            masks[stem + _PICTURE] = info_of(_PICTURE, file.mask)
        if file.has_control:
            controls[stem + _PICTURE] = info_of(_PICTURE, file.control)
    return ListedDirectory(
        ListedFolder(infos, captions),
        masks=ListedFolder(masks) if masks else None,
        controls=ListedFolder(controls) if controls else None,
    )


def info_of(name: str, probe: MediaProbe | None) -> MediaInfo | None:
    """Return the trainer's view of a file, or None if it cannot open it. The name decides whether it is a video."""
    if probe is None or probe.facts.problem in _FATAL:
        return None
    facts, as_video = probe.facts, is_video(name)
    is_expected = facts.kind is (MediaKind.VIDEO if as_video else MediaKind.IMAGE)
    # The trainer's reader accepts only WebP data in files with this suffix.
    is_other = name.lower().endswith(".webp") and facts.format != "webp"
    if not is_expected or is_other or facts.width is None or facts.height is None:
        return None
    if not as_video:
        return MediaInfo(facts.width, facts.height, facts.frame_count or 1, is_damaged=probe.has_damaged_pixels)
    # The trainer counts the frames only of Matroska files; for others it trusts the header.
    frames = facts.frame_count if name.lower().endswith(".mkv") else probe.stated_frames or facts.frame_count
    return MediaInfo(facts.width, facts.height, frames, facts.fps, shown_frames=count_shown(probe))


def _preview(
    known: DatasetSummary, batches: Batches, question: DatasetSetup, findings: Findings, unseen: int
) -> DatasetPreview:
    notes = list({note.text: note for note in known.notes}.values())
    if unseen:
        why = Reason.of("{files} {files|file has|files have} not been examined yet", "files_unexamined", files=unseen)
        notes.append(Reason.of("The totals are unknown: {why}.", "note_totals_unknown", why=why))
    skipped = {
        _SKIPPED[problem]: tuple(names)
        for found in known.seen.values()
        for problem, names in found.names.items()
        if problem in _SKIPPED and names
    }
    short = tuple(
        item.name
        for share in known.shares
        for item in share.items
        if not share.bucketing.sort(item.width, item.height, item.frames)
    )
    if short:
        skipped["too_short"] = short
    return DatasetPreview(
        errors=tuple(_placed(findings.errors)),
        warnings=tuple(_placed(findings.warnings)),
        notes=tuple(notes),
        buckets=tuple(_buckets(known, batches, question.settings)),
        skipped=skipped,
        steps_per_epoch=None if unseen else known.steps_per_epoch,
        items=None if unseen else known.items,
    )


def _placed(mistakes: Iterable[Finding]) -> Iterable[Finding]:
    # The request names the dataset in its path, so its one directory has no pointer. Settings have top-level pointers.
    for mistake in mistakes:
        pointer = mistake.pointer
        if pointer.startswith(f"{_DIRECTORY}/0/size_buckets"):
            pointer = pointer.removeprefix(f"{_DIRECTORY}/0")
        elif pointer == _DIRECTORY or pointer.startswith(f"{_DIRECTORY}/"):
            pointer = ""
        yield replace(mistake, pointer=pointer)


def _buckets(known: DatasetSummary, batches: Batches, settings: Mapping[str, Any]) -> Iterable[SizeBucket]:
    names: defaultdict[Bucket, list[str]] = defaultdict(list)
    for share in known.shares:
        for item in share.items:
            for bucket in share.bucketing.sort(item.width, item.height, item.frames):
                names[bucket].append(item.name)
    ratio = number(settings.get("subsample_ratio"))
    counts = count_steps(known.shares, batches).counts
    for count in sorted(counts, key=lambda each: (-each.examples, each.bucket)):
        width, height, frames = (int(part) for part in count.bucket[-3:])
        yield SizeBucket(
            width=width,
            height=height,
            frames=frames,
            names=tuple(names[count.bucket]),
            examples=count.examples,
            batch_size=count.batch_size,
            batches=count.steps,
            dropped=count.left_over,
            reason=_reason(count, ratio),
        )


def _reason(count: BucketCount, ratio: float | None) -> str | None:
    if count.steps == 0:
        examples = "one example does" if count.examples == 1 else f"{count.examples} examples do"
        return f"Its {examples} not fill one step of {count.batch_size}, so none of them is trained."
    if count.left_over:
        last = "last example of an epoch does" if count.left_over == 1 else f"last {count.left_over} of an epoch do"
        return f"The {last} not fill a step of {count.batch_size}."
    if ratio and not math.isclose(ratio, 1.0):
        return f"An epoch contains {ratio:g} of the steps of all buckets."
    return None


def variant_of(question: DatasetSetup, model_type: str, root: Path | None) -> Variant:
    """Return the variant of the model."""
    config = TrainerDocument(dict(question.config), "/config") if question.config else None
    return find_variant(config, model_type, root)


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
