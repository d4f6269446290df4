"""Checks a dataset: settings, directories, and how the trainer will use them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.buckets import Settings, read_bucketing
from api.trainers.diffusion_pipe.dataset_report import HANGS, FoundItems, list_names
from api.trainers.diffusion_pipe.dataset_scan import DatasetScanner, Scan
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.folders import Folder, FolderOnDisk
from api.trainers.diffusion_pipe.key_check import check_names, check_values
from api.trainers.diffusion_pipe.keys import ADAPTER, DATASET, DIRECTORY, MAX, MODEL, TOP
from api.trainers.diffusion_pipe.model_check import Variant
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.retiming import align
from api.trainers.diffusion_pipe.silent_check import check_silent_settings
from api.trainers.diffusion_pipe.totals import Item, Share, count_steps
from api.trainers.media import Budget, MediaInfoCache

_ELSEWHERE = {
    **dict.fromkeys((*TOP, *MODEL, *ADAPTER), "the training configuration"),
    "subsample_ratio": "the top level of the dataset",
    **dict.fromkeys(DIRECTORY.keys() - DATASET.keys(), "the entry of a directory"),
}

MAX_DIRECTORIES = 1000


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
    notes: list[str] = field(default_factory=list)
    seen: list[FoundItems] = field(default_factory=list)  #: the items found in each scanned directory
    shares: list[Share] = field(default_factory=list)  #: the contribution of each directory, as far as known
    buckets: list[tuple[int, int, int]] = field(default_factory=list)  #: width, height and frames of trained buckets


def check_dataset(document: TrainerDocument, context: DatasetContext, findings: Findings) -> DatasetSummary:
    """Check all of a dataset that can be checked without the trainer."""
    summary, errors = DatasetSummary(), findings.error_count
    if context.reports_unknown_keys:
        check_names(document.values, DATASET, document.at, findings, _ELSEWHERE)
    check_values(document.values, DATASET, document.at, findings)
    directories = document.values.get("directory")
    if not isinstance(directories, list) or not directories:
        if directories is None or isinstance(directories, list):
            findings.error(
                document.at("directory"), "The dataset has no directories.", "Add at least one, with its path."
            )
        return summary
    if len(directories) > MAX_DIRECTORIES:
        findings.error(
            document.at("directory"), f"The list has more than {MAX_DIRECTORIES} directories.", "Merge some."
        )
        return summary
    scanner = None
    if context.variant is not None:
        scanner = DatasetScanner(context.budget, context.variant, findings)
    shares = [
        _check_directory(Settings(document, i), context, scanner, summary, findings) for i in range(len(directories))
    ]
    _check_twice(document, summary.directories, findings)
    if context.variant is None:
        summary.notes.append("The totals are unknown because the model type is unknown.")
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
        findings.error(at(), "This entry is not a table.", "Write {path = '…'}.")
        return None
    if context.reports_unknown_keys:
        check_names((name for name in settings.own if name != "dataset"), DIRECTORY, at, findings, _ELSEWHERE)
    check_values(settings.own, DIRECTORY, at, findings)
    if "dataset" in settings.own:
        findings.error(at("dataset"), "Named datasets are not supported here.", "Set the directory's `path`.")
    variant = context.variant
    check_silent_settings(settings, context.variant.type if context.variant else None, findings)
    bucketing = read_bucketing(settings, variant.type if variant else "", variant.round_to if variant else 16, findings)
    scan = _find_directory(settings, context, summary, findings)
    if scan is None or scanner is None:
        return None
    found = scanner.scan(scan)
    summary.seen.append(found)
    summary.notes += found.notes
    if bucketing is None:
        return None
    # Invalid values have their own finding; count the totals without them.
    repeats = number(settings.get("num_repeats", 1)) or 1
    share = Share(bucketing, found.items, repeats if 0 < repeats <= MAX else 1)
    summary.shares.append(share)
    if variant is not None:
        _check_missing_frames(share, found, variant, at("path"), findings)
    if found.unknown is not None:
        return None
    _check_fit(share, found, at("path"), findings)
    return share


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
            at("path"), "`path` is missing.", "Set the directory of the images, or the name of a dataset as `dataset`."
        )
    for name in ("mask_path", "control_path"):
        _directory(settings.own, name, at(name), root, findings)
    default = settings.own.get("default_mask_file")
    if isinstance(default, str):
        file = paths.check_exists(default, at("default_mask_file"), root, findings)
        if file is not None and file.is_dir():
            findings.error(at("default_mask_file"), "This is a directory.", "Set the path of an image.")
    if path is not None and not _can_cache(path):
        findings.error(
            at("path"),
            "The trainer cannot write its cache into this directory.",
            "Give the service's user write permission for it.",
        )
        return None
    return path


def _directory(own: Mapping[str, Any], name: str, at: str, root: Path | None, findings: Findings) -> Path | None:
    text = own.get(name)
    if not isinstance(text, str):
        return None
    path = paths.check_exists(text, at, root, findings)
    if path is not None and not path.is_dir():
        findings.error(at, "This is a file.", "Set the path of a directory.")
        return None
    return path


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
    path = paths.resolve(text, root) if isinstance(text, str) and text else None
    return path if path is not None and paths.mode_of(path) is not None else None


def _check_fit(share: Share, found: FoundItems, at: str, findings: Findings) -> None:
    border = [item for item in found.items if item.frames > 1 and _is_borderline(share, item)]
    if border:
        findings.warn(
            at,
            f"{len(border)} videos are just long enough for their bucket; the trainer may count fewer frames.",
            "Set shorter frame_buckets, or use longer clips.",
            (item.name for item in border),
        )
    unfit = [item for item in found.items if not share.bucketing.sort(item.width, item.height, item.frames)]
    if not unfit:
        return
    message = (
        f"{len(unfit)} of {len(found.items)} files fit no bucket (too short for the requested frames) and are skipped."
    )
    remedy = "Set shorter frame_buckets; videos never use the bucket of 1 frame."
    add = findings.error if len(unfit) == len(found.items) else findings.warn
    add(at, message, remedy, (item.name for item in unfit))


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
            f"{len(short)} videos have fewer frames than their headers state, and too few for their buckets."
            f" {HANGS}: {list_names(short)}.",
            "Copy or convert them again, or remove them from the directory.",
            short,
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
                f"Directories {first} and {index} are the same; both write to one cache and may damage it.",
                "List it once with num_repeats, or copy it.",
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
            document.at("subsample_ratio"), "With this ratio, an epoch has no steps.", "Raise it, or remove the key."
        )
    elif totals.steps_per_epoch == 0:
        findings.error(
            document.at("directory"),
            "No size bucket has enough files for one step, so there is nothing to train on.",
            "Lower the batch size or gradient_accumulation_steps, raise num_repeats, or use fewer buckets.",
        )
    elif totals.dropped:
        sizes = ", ".join("×".join(f"{part:g}" for part in bucket[-3:]) for bucket in totals.dropped[:5])
        findings.warn(
            document.at("directory"),
            f"{len(totals.dropped)} size buckets have too few files for one step and are dropped"
            f" (width×height×frames: {sizes}).",
            "Lower the batch size or gradient_accumulation_steps, raise num_repeats, or use fewer buckets.",
        )
