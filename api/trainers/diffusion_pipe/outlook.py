"""What the trainer will make of files that are known already: the check of `/training/validate`, told by bucket."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.dataset import MediaKind
from api.domain.media import MediaProbe, MediaProblem
from api.errors import Mistake
from api.trainers.diffusion_pipe.batches import Batches, read_batches
from api.trainers.diffusion_pipe.buckets import Bucket
from api.trainers.diffusion_pipe.config_check import check_clip_mode
from api.trainers.diffusion_pipe.dataset_check import (
    DatasetCircumstances,
    KnownDataset,
    ListedDirectory,
    check_dataset,
)
from api.trainers.diffusion_pipe.document import TrainerDocument, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.folders import ListedFolder
from api.trainers.diffusion_pipe.model_check import Variant, find_variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.totals import BucketCount, count_steps
from api.trainers.media import Budget, Look, Looks, TooLong, count_shown, is_video
from api.trainers.trainer import DatasetOutlook, DatasetQuestion, SeenFile, SizeBucket

#: Seconds for the check of a dataset: a million files take ten.
_SECONDS = 30.0

#: Files that the trainer passes over, or sees in another light, by a word for why.
_SKIPPED = ("uncaptioned", "stray", "broken", "videos", "no captions")

_DIRECTORY = "/directory"

_PICTURE = ".png"  #: a suffix of images: that of masks and control images does not count

#: What keeps a file from being opened at all.
_FATAL = frozenset({MediaProblem.BOMB, MediaProblem.CHANGED})


def foresee(question: DatasetQuestion, files: Sequence[SeenFile], root: Path | None) -> DatasetOutlook:
    """Everything that can be said of a dataset before it is trained on."""
    findings = Findings()
    config = TrainerDocument(dict(question.config), "/config")
    model_type = read_type(None, question.model_type, findings)
    if model_type is None:
        return DatasetOutlook(errors=findings.errors)
    variant = find_variant(config if question.config else None, model_type, root)
    check_clip_mode(config, MODELS[model_type], findings)
    batches, _ = read_batches(config, question.gpu_count, findings)
    known_files = [file for file in files if file.media is not None]
    around = DatasetCircumstances(
        variant, batches, root, Looks(), Budget(_SECONDS, entries=0), listed=list_files(known_files)
    )
    document = document_of(question)
    try:
        known = check_dataset(document, around, findings)
    except TooLong:
        findings.error("", "The check took too long and was given up.", "Ask about fewer sizes.")
        known = KnownDataset()
    unseen = len(files) - len(known_files)
    return _tell(known, batches, question, findings, unseen)


def document_of(question: DatasetQuestion) -> TrainerDocument:
    """The trainer's file of a dataset with one directory."""
    # Cosmos wants its sizes in both places.
    own = {name: value for name, value in question.settings.items() if name == "size_buckets"}
    return TrainerDocument({**question.settings, "directory": [own]}, "")


def list_files(files: Iterable[SeenFile]) -> ListedDirectory:
    """These files as the directory in which they will lie, with their captions, masks and control images."""
    looks: dict[str, Look | None] = {}
    captions: dict[str, str] = {}
    masks: dict[str, Look | None] = {}
    controls: dict[str, Look | None] = {}
    for file in files:
        looks[file.name] = look_of(file.name, file.media)
        stem = file.name.rsplit(".", 1)[0]
        if file.caption is not None:
            captions[f"{stem}.txt"] = file.caption
        if file.has_mask:
            masks[stem + _PICTURE] = look_of(_PICTURE, file.mask)
        if file.has_control:
            controls[stem + _PICTURE] = look_of(_PICTURE, file.control)
    return ListedDirectory(
        ListedFolder(looks, captions),
        masks=ListedFolder(masks) if masks else None,
        controls=ListedFolder(controls) if controls else None,
    )


def look_of(name: str, probe: MediaProbe | None) -> Look | None:
    """What the trainer sees of a file, which it takes for a video by its name alone; None when it cannot be opened."""
    if probe is None or probe.facts.problem in _FATAL:
        return None
    facts, as_video = probe.facts, is_video(name)
    is_wanted = facts.kind is (MediaKind.VIDEO if as_video else MediaKind.IMAGE)
    # Under the name of a WebP the trainer's reader takes nothing else.
    is_other = name.lower().endswith(".webp") and facts.format != "webp"
    if not is_wanted or is_other or facts.width is None or facts.height is None:
        return None
    if not as_video:
        return Look(facts.width, facts.height, facts.frame_count or 1, is_damaged=probe.has_damaged_pixels)
    # Of Matroska alone the trainer counts the frames; of others it believes the header.
    frames = facts.frame_count if name.lower().endswith(".mkv") else probe.stated_frames or facts.frame_count
    return Look(facts.width, facts.height, frames, facts.fps, shown_frames=count_shown(probe))


def _tell(
    known: KnownDataset, batches: Batches, question: DatasetQuestion, findings: Findings, unseen: int
) -> DatasetOutlook:
    notes = list(dict.fromkeys(known.notes))
    if unseen:
        notes.append(f"The totals are not known: {unseen} files have not been looked at yet.")
    skipped = {
        word: tuple(names) for found in known.seen for word, names in found.names.items() if word in _SKIPPED and names
    }
    short = tuple(
        item.name
        for share in known.shares
        for item in share.items
        if not share.bucketing.sort(item.width, item.height, item.frames)
    )
    if short:
        skipped["too short"] = short
    return DatasetOutlook(
        errors=tuple(_placed(findings.errors)),
        warnings=tuple(_placed(findings.warnings)),
        notes=tuple(notes),
        buckets=tuple(_buckets(known, batches, question.settings)),
        skipped={word.replace(" ", "_"): names for word, names in skipped.items()},
        steps_per_epoch=None if unseen else known.steps_per_epoch,
        items=None if unseen else known.items,
    )


def _placed(mistakes: Iterable[Mistake]) -> Iterable[Mistake]:
    # The one directory is the dataset itself, which stands in the address; what it has of settings stands above, too.
    for mistake in mistakes:
        pointer = mistake.pointer
        if pointer.startswith(f"{_DIRECTORY}/0/size_buckets"):
            pointer = pointer.removeprefix(f"{_DIRECTORY}/0")
        elif pointer == _DIRECTORY or pointer.startswith(f"{_DIRECTORY}/"):
            pointer = ""
        yield replace(mistake, pointer=pointer)


def _buckets(known: KnownDataset, batches: Batches, settings: Mapping[str, Any]) -> Iterable[SizeBucket]:
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
        return f"Its {examples} not fill one step of {count.batch_size}, so that none is trained on."
    if count.left_over:
        last = "last example of an epoch does" if count.left_over == 1 else f"last {count.left_over} of an epoch do"
        return f"The {last} not fill a step of {count.batch_size}."
    if ratio and not math.isclose(ratio, 1.0):
        return f"Of the steps of all buckets an epoch has {ratio:g}."
    return None


def variant_of(question: DatasetQuestion, model_type: str, root: Path | None) -> Variant:
    """The variant of the model that is asked about."""
    config = TrainerDocument(dict(question.config), "/config") if question.config else None
    return find_variant(config, model_type, root)
