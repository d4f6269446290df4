"""Check a dataset: settings, directories, and how the trainer will use them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.checks.dataset_report import HANGS, FoundItems, list_names
from api.trainers.diffusion_pipe.checks.dataset_scan import DatasetScanner, Scan
from api.trainers.diffusion_pipe.checks.model_check import Variant
from api.trainers.diffusion_pipe.checks.silent_check import check_silent_settings
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_names, check_values
from api.trainers.diffusion_pipe.config.keys import ADAPTER, DATASET, DIRECTORY, MAX, MODEL, TOP, Key
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import RATIOS, Settings, align, read_bucketing
from api.trainers.diffusion_pipe.dataset.folders import Folder, FolderOnDisk
from api.trainers.diffusion_pipe.dataset.totals import BucketCount, Item, Mixed, Share, count_steps, find_mixed_steps
from api.trainers.diffusion_pipe.models.description import ModelFacts
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.media import Budget, MediaInfoCache, is_video

_ELSEWHERE = {
    **dict.fromkeys((*TOP, *MODEL, *ADAPTER), "the training configuration"),
    "subsample_ratio": "the top level of the dataset",
    **dict.fromkeys(DIRECTORY.keys() - DATASET.keys(), "the entry of a directory"),
}

MAX_DIRECTORIES = 1000

#: The frames of a suggested bucket, if the videos are long enough: about two seconds.
_USUAL_FRAMES = 33

#: Most examples in an epoch; each takes about 100 bytes of each rank's memory.
_MOST_EXAMPLES = 200_000_000


@dataclass(frozen=True, slots=True)
class ListedDirectory:
    """A directory with known files, masks and control images."""

    media: Folder
    masks: Folder | None = None
    controls: Folder | None = None


@dataclass(frozen=True, slots=True)
class DatasetContext:
    """The conditions of a dataset check, besides the dataset's text."""

    variant: Variant | None  #: the model's variant; None if the model is unknown
    batches: Batches
    root: Path | None  #: the trainer's directory, against which it resolves relative paths
    media_cache: MediaInfoCache
    budget: Budget
    reports_unknown_keys: bool = True  #: whether to report unknown keys; false for files that a request only refers to
    listed: ListedDirectory | None = None  #: replaces each directory if its files are already known


@dataclass(slots=True)
class DatasetSummary:
    """The results of a dataset check; unknown values are None."""

    steps_per_epoch: int | None = None
    items: int | None = None
    directories: list[Path] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)
    seen: dict[int, FoundItems] = field(default_factory=dict)  #: the items found in each scanned directory, by index
    shares: list[Share] = field(default_factory=list)  #: the contribution of each directory, as far as known
    buckets: list[tuple[int, int, int]] = field(default_factory=list)  #: width, height and frames of trained buckets

    @property
    def whole_shares(self) -> dict[int, Share]:
        """The contributions of the directories of which all files are known, by index."""
        return {share.directory: share for share in self.shares if self.seen[share.directory].unknown is None}

    @property
    def has_videos(self) -> bool:
        """Whether a video is known to be used."""
        return any(item.frames > 1 or is_video(item.name) for found in self.seen.values() for item in found.items)


def check_dataset(document: TrainerDocument, context: DatasetContext, findings: Findings) -> DatasetSummary:
    """Check all of a dataset that can be checked without the trainer."""
    summary, errors = DatasetSummary(), findings.error_count
    if context.reports_unknown_keys:
        check_names(document.values, DATASET, document.at, findings, _ELSEWHERE)
    check_values(document.values, _without_ratios(DATASET), document.at, findings)
    directories = document.values.get("directory")
    if not isinstance(directories, list) or not directories:
        if directories is None or isinstance(directories, list):
            is_json = document.at("directory").endswith("/directories")
            findings.error(
                document.at("directory"),
                FindingText("directories_missing", "The dataset has no directories."),
                remedy=Reason.of(
                    "Add at least one with its path to the list `directories` (or `directory`, as the trainer calls"
                    " it).",
                    "advice_list_directory",
                )
                if is_json
                else Reason.of("Add at least one with its path as a table [[directory]].", "advice_directory_table"),
            )
        return summary
    if len(directories) > MAX_DIRECTORIES:
        findings.error(
            document.at("directory"),
            FindingText("too_many_directories", "The list has more than {max_directories} directories.", "Merge some."),
            max_directories=MAX_DIRECTORIES,
        )
        return summary
    scanner = None
    if context.variant is not None:
        scanner = DatasetScanner(context.budget, context.variant, findings)
    shares = [
        _check_directory(Settings(document, i), context, scanner, summary, findings) for i in range(len(directories))
    ]
    _report_useless(document, summary, findings)
    _check_twice(document, summary.directories, findings)
    if context.variant is None:
        summary.notes.append(
            Reason.of("The totals are unknown because the model type is unknown.", "note_model_type_unknown")
        )
    elif findings.error_count == errors:
        _count(document, [share for share in shares if share is not None], context, summary, findings)
    return summary


def _check_directory(
    settings: Settings,
    context: DatasetContext,
    scanner: DatasetScanner | None,
    summary: DatasetSummary,
    findings: Findings,
) -> Share | None:
    context.budget.require()
    at = partial(settings.document.at, "directory", settings.index)
    if not isinstance(settings.document.values["directory"][settings.index], dict):
        findings.error(at(), FindingText("directory_not_table", "This entry is not a table.", "Write {path = '…'}."))
        return None
    if context.reports_unknown_keys:
        check_names((name for name in settings.own if name != "dataset"), DIRECTORY, at, findings, _ELSEWHERE)
    check_values(settings.own, _without_ratios(DIRECTORY), at, findings)
    if "dataset" in settings.own:
        findings.error(
            at("dataset"),
            FindingText(
                "named_dataset_unsupported", "Named datasets are not supported here.", "Set the directory's `path`."
            ),
        )
    variant = context.variant
    check_silent_settings(settings, context.variant.type if context.variant else None, findings)
    bucketing = read_bucketing(settings, variant.type if variant else "", variant.round_to if variant else 16, findings)
    scan = _find_directory(settings, context, summary, findings)
    if scan is None or scanner is None:
        return None
    found = scanner.scan(scan)
    summary.seen[settings.index] = found
    summary.notes += found.notes
    if bucketing is None:
        return None
    # Invalid values have their own finding; count the totals without them.
    repeats = number(settings.get("num_repeats", 1)) or 1
    share = Share(
        bucketing,
        found.items,
        repeats if 0 < repeats <= MAX else 1,
        settings.index,
        settings.own.get("control_path") is not None,
    )
    summary.shares.append(share)
    if variant is not None:
        _check_missing_frames(share, found, variant, at("path"), findings)
    if found.unknown is not None or variant is None:
        return None
    _check_fit(share, found, MODELS[variant.type], at("path"), findings)
    _check_length(share, settings.at("num_repeats"), findings)
    return share


def _without_ratios(keys: Mapping[str, Key]) -> dict[str, Key]:
    """Return the keys without those of aspect ratios, which `read_bucketing` checks if the trainer reads them."""
    return {name: key for name, key in keys.items() if name not in RATIOS}


def _find_directory(
    settings: Settings, context: DatasetContext, summary: DatasetSummary, findings: Findings
) -> Scan | None:
    if context.listed is not None:
        return _scan(settings, context.listed, context)
    path = _check_paths(settings, context.root, findings)
    if path is None:
        return None
    summary.directories.append(path)
    on_disk = ListedDirectory(
        FolderOnDisk(path, context.media_cache),
        masks=_folder(settings, "mask_path", context),
        controls=_folder(settings, "control_path", context),
    )
    return _scan(settings, on_disk, context)


def _check_paths(settings: Settings, root: Path | None, findings: Findings) -> Path | None:
    at = partial(settings.document.at, "directory", settings.index)
    path = _directory(settings.own, "path", at("path"), root, findings)
    if "path" not in settings.own and "dataset" not in settings.own:
        findings.error(
            at("path"),
            FindingText(
                "directory_path_missing",
                "`path` is missing.",
                "Set the directory of the images, or the name of a dataset as `dataset`.",
            ),
        )
    for name in ("mask_path", "control_path"):
        _directory(settings.own, name, at(name), root, findings)
    default = settings.own.get("default_mask_file")
    if isinstance(default, str):
        file = paths.check_exists(default, at("default_mask_file"), root, findings)
        if file is not None and file.is_dir():
            findings.error(
                at("default_mask_file"),
                FindingText("mask_is_directory", "This is a directory.", "Set the path of an image."),
            )
    if path is not None and (blocking := _file_at_cache(path)) is not None:
        findings.error(
            at("path"),
            FindingText(
                "cache_blocked",
                "The file {blocking} is in the way: the trainer creates a directory of this name for its cache.",
                "Rename or remove this file.",
            ),
            blocking=blocking,
        )
        return None
    if path is not None and not _can_cache(path):
        findings.error(
            at("path"),
            FindingText(
                "cache_not_writable",
                "The trainer cannot write its cache into this directory.",
                "Give the service's user write permission for it.",
            ),
        )
        return None
    return path


def _directory(own: Mapping[str, Any], name: str, at: str, root: Path | None, findings: Findings) -> Path | None:
    text = own.get(name)
    if not isinstance(text, str):
        return None
    path = paths.check_exists(text, at, root, findings)
    if path is not None and not path.is_dir():
        findings.error(at, FindingText("directory_is_file", "This is a file.", "Set the path of a directory."))
        return None
    return path


def _file_at_cache(path: Path) -> str | None:
    # A link to nothing is in the way, too.
    return "cache" if os.path.lexists(path / "cache") and not paths.is_directory(path / "cache") else None


def _can_cache(path: Path) -> bool:
    cache = path / "cache"
    return os.access(cache if cache.is_dir() else path, os.W_OK | os.X_OK)


def _scan(settings: Settings, directory: ListedDirectory, context: DatasetContext) -> Scan:
    shuffles = as_integer(settings.get("cache_shuffle_num", 0)) or 0
    if shuffles == 0 and settings.get("shuffle_tags", False):
        shuffles = 1
    default_mask = _existing(settings, "default_mask_file", context.root)
    return Scan(
        folder=directory.media,
        at=lambda name: settings.at(name) if name == "online_captions" else _own(settings, name),
        skip_uncaptioned=bool(settings.get("skip_empty_caption", True)),
        captions_each=max(shuffles, 1),
        needs_captions_json=bool(settings.get("online_captions", False)),
        masks=directory.masks,
        default_mask=None if default_mask is None else partial(context.media_cache.read_info, default_mask),
        controls=directory.controls,
    )


def _own(settings: Settings, name: str) -> str:
    return settings.document.at("directory", settings.index, name)


def _folder(settings: Settings, name: str, context: DatasetContext) -> FolderOnDisk | None:
    path = _existing(settings, name, context.root)
    return None if path is None else FolderOnDisk(path, context.media_cache)


def _existing(settings: Settings, name: str, root: Path | None) -> Path | None:
    text = settings.own.get(name)
    path = paths.resolve(text, root)
    return path if path is not None and paths.mode_of(path) is not None else None


def _check_fit(share: Share, found: FoundItems, facts: ModelFacts, at: str, findings: Findings) -> None:
    border = [item for item in found.items if item.frames > 1 and _is_borderline(share, item)]
    if border:
        findings.warn(
            at,
            FindingText(
                "videos_borderline",
                "{count} videos are just long enough for their bucket; the trainer may count fewer frames.",
                "Set shorter frame_buckets, or use longer clips.",
            ),
            about=(item.name for item in border),
            count=len(border),
        )
    unfit = [item for item in found.items if not share.bucketing.sort(item.width, item.height, item.frames)]
    if not unfit:
        return
    problem = FindingText(
        "files_fit_no_bucket",
        "{unfit} of {items} files fit no bucket (too short for the requested frames) and are skipped.",
        "{advice}",
    )
    advice = Reason.of("Set shorter frame_buckets; videos never use the bucket of 1 frame.", "advice_frame_buckets")
    if share.bucketing.sizes is not None:
        advice = Reason.of(
            "Add size_buckets with fewer frames: 1 for images (videos never use it), fewer for videos.",
            "advice_size_buckets",
        )
    elif share.bucketing.frames == (1,):
        problem, advice = (
            FindingText(
                "videos_fit_no_bucket",
                (
                    "{unfit} of {items} files are videos, which never use the bucket of 1 frame, and "
                    "frame_buckets has no other; they are skipped."
                ),
                "{advice}",
            ),
            _advise_frames(unfit, facts),
        )
    params: dict[str, Any] = {"unfit": len(unfit), "items": len(found.items), "advice": advice}
    if len(unfit) == len(found.items):
        found.useless = problem, params
    else:
        findings.warn(at, problem, about=(item.name for item in unfit), **params)


def _advise_frames(unfit: Sequence[Item], facts: ModelFacts) -> Reason:
    length = align(min(_USUAL_FRAMES, *(item.frames for item in unfit)), facts)
    if length > 1:
        return Reason.of(
            "Set frame_buckets, for example [1, {length}]; the default is [1].",
            "advice_set_frame_buckets",
            length=length,
        )
    return Reason.of("Use longer videos, and set frame_buckets; the default is [1].", "advice_longer_videos")


def _check_length(share: Share, at: str, findings: Findings) -> None:
    """Check that an epoch fits into memory: the trainer lists all of its examples."""
    # Numbers of shuffles out of range have their own finding; a float cannot hold all of them.
    examples = min(sum(item.captions for item in share.items), _MOST_EXAMPLES + 1) * share.num_repeats
    if examples > _MOST_EXAMPLES:
        findings.error(
            at,
            FindingText(
                "epoch_too_large",
                "An epoch has {examples} examples, and the trainer lists them all in memory.",
                "Lower num_repeats; use more epochs instead.",
            ),
            examples=f"{examples:.2g}",
        )


def _report_useless(document: TrainerDocument, summary: DatasetSummary, findings: Findings) -> None:
    """Report directories without usable files: errors, unless another directory has some."""
    is_any_used = any(
        found.unknown is not None or (found.items and not found.useless) for found in summary.seen.values()
    )
    for index, found in summary.seen.items():
        if found.useless is not None:
            add = findings.warn if is_any_used else findings.error
            code, params = found.useless
            add(document.at("directory", index, "path"), code, **params)


def _check_missing_frames(share: Share, found: FoundItems, variant: Variant, at: str, findings: Findings) -> None:
    """Report videos with fewer decodable frames than their buckets need: cut by an edit list, or damaged."""
    short = [
        item.name
        for item in share.items
        if (decodable := found.shown.get(item.name)) is not None
        and any(
            decodable < align(int(bucket[-1]), MODELS[variant.type])
            for bucket in share.bucketing.sort(item.width, item.height, item.frames)
        )
    ]
    if short:
        findings.error(
            at,
            FindingText(
                "videos_truncated",
                (
                    "{count} videos have fewer frames than their headers state, and too few for their buckets. "
                    "{consequence}: {names}."
                ),
                "Copy or convert them again, or remove them from the directory.",
            ),
            about=short,
            count=len(short),
            consequence=HANGS,
            names=list_names(short),
        )


def _is_borderline(share: Share, item: Item) -> bool:
    """Return whether an item would lose its bucket with 2 fewer frames, the error for variable frame rates."""
    sort = share.bucketing.sort
    longer = sort(item.width, item.height, item.frames)
    return bool(longer) and not sort(item.width, item.height, max(item.frames - 2, 1))


def _check_twice(document: TrainerDocument, directories: list[Path], findings: Findings) -> None:
    seen: dict[str, int] = {}
    for index, path in enumerate(directories):
        first = seen.setdefault(os.path.realpath(path), index)
        if first != index:
            findings.warn(
                document.at("directory"),
                FindingText(
                    "directories_same",
                    "Directories {first} and {index} are the same; both write to one cache and may damage it.",
                    "List it once with num_repeats, or copy it.",
                ),
                first=first,
                index=index,
            )


def _check_mixed(document: TrainerDocument, shares: list[Share], context: DatasetContext, findings: Findings) -> None:
    """Check that no step combines files with and without a control image: the first file decides what is read."""
    plain = next((share.directory for share in shares if not share.is_controlled), None)
    if plain is None or not any(share.is_controlled for share in shares):
        return
    mixed = find_mixed_steps(shares, context.batches, context.budget.require)
    if mixed is Mixed.NEVER:
        return
    # A part of the steps may not contain the one that fails.
    is_certain = mixed is Mixed.FAILS and not document.values.get("subsample_ratio")
    add, what = (findings.error, "fails on") if is_certain else (findings.warn, "uses none in, or fails on,")
    add(
        document.at("directory", plain, "control_path"),
        FindingText(
            "control_images_mixed",
            "This directory has no control images, but others do. The trainer {what} a step that combines them.",
            (
                "Set control_path for every directory, or train with micro_batch_size_per_gpu = 1 and "
                "gradient_accumulation_steps = 1."
            ),
        ),
        what=what,
    )


def _count(
    document: TrainerDocument,
    shares: list[Share],
    context: DatasetContext,
    summary: DatasetSummary,
    findings: Findings,
) -> None:
    if len(shares) < len(document.values["directory"]):
        return
    _check_mixed(document, shares, context, findings)
    ratio = number(document.values.get("subsample_ratio"))
    totals = count_steps(shares, context.batches, ratio, context.budget.require)
    summary.steps_per_epoch = totals.steps_per_epoch
    for count in totals.counts:
        width, height, frames = map(int, count.bucket[-3:])
        if count.steps:
            summary.buckets.append((width, height, frames))
    summary.items = sum(
        1 for share in shares for item in share.items if share.bucketing.sort(item.width, item.height, item.frames)
    )
    if totals.steps_per_epoch == 0 and ratio and count_steps(shares, context.batches).steps_per_epoch:
        findings.error(
            document.at("subsample_ratio"),
            FindingText("subsample_empty", "With this ratio, an epoch has no steps.", "Raise it, or remove the key."),
        )
    elif totals.steps_per_epoch == 0:
        advice = _advise_steps(context.batches, len(totals.counts))
        fullest = max(totals.counts, key=lambda count: count.examples / count.batch_size, default=None)
        if fullest is None:
            findings.error(
                document.at("directory"),
                FindingText(
                    "no_bucket_full", "No size bucket has enough items for one step, so there is nothing to train on."
                ),
                remedy=advice,
            )
        else:
            step = _step_size(fullest, context.batches)
            findings.error(
                document.at("directory"),
                FindingText(
                    "fullest_bucket_too_small",
                    (
                        "No size bucket has enough items for one step, so there is nothing to train on: the "
                        "fullest has {examples} items, and a step takes {step} (batch size {batch_size}, "
                        "gradient accumulation {accumulation}, {gpus} {gpus|GPU|GPUs}{copies})."
                    ),
                ),
                remedy=advice,
                **step,
            )
    elif totals.dropped:
        findings.warn(
            document.at("directory"),
            FindingText(
                "buckets_dropped",
                "{count} size buckets have too few files for one step and are dropped (width×height×frames: {sizes}).",
            ),
            remedy=_advise_steps(context.batches, len(totals.counts)),
            count=len(totals.dropped),
            sizes=", ".join("×".join(f"{part:g}" for part in bucket[-3:]) for bucket in totals.dropped[:5]),
        )


def _step_size(bucket: BucketCount, batches: Batches) -> dict[str, Any]:
    is_split = batches.gpus != batches.replicas > 1
    copies = Reason.of(" as {replicas} copies of the model", "step_copies", replicas=batches.replicas)
    return {
        "examples": bucket.examples,
        "step": bucket.batch_size,
        "batch_size": bucket.batch_size // batches.accumulation // batches.replicas,
        "accumulation": batches.accumulation,
        "gpus": batches.gpus,
        "copies": copies if is_split else "",
    }


def _advise_steps(batches: Batches, buckets: int) -> Reason:
    """Return how to fill a step; a value that is already 1 cannot be lowered."""
    ways = [
        Reason.of("raise num_repeats", "way_repeats"),
        Reason.of("add files", "way_files"),
    ]
    if any(size > 1 for _, size in (*batches.videos, *batches.images)):
        ways.append(Reason.of("lower the batch size", "way_batch_size"))
    if batches.accumulation > 1:
        ways.append(Reason.of("lower gradient_accumulation_steps", "way_accumulation"))
    if batches.replicas > 1:
        ways.append(Reason.of("use fewer GPUs", "way_gpus"))
    if buckets > 1:
        ways.append(Reason.of("use fewer buckets", "way_buckets"))
    return Reason.of("Do at least one of these: {ways}.", "advice_fill_step", ways=ways)
