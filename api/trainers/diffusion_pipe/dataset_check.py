"""Checks a dataset: its settings, its directories, and what the trainer will make of them."""

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
from api.trainers.diffusion_pipe.document import TrainerDocument, number, whole
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.folders import Folder, FolderOnDisk
from api.trainers.diffusion_pipe.key_check import check_names, check_values
from api.trainers.diffusion_pipe.keys import ADAPTER, DATASET, DIRECTORY, MODEL, MOST, TOP
from api.trainers.diffusion_pipe.model_check import Variant
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.retiming import align
from api.trainers.diffusion_pipe.silent_check import check_silent_settings
from api.trainers.diffusion_pipe.totals import Item, Share, count_steps
from api.trainers.media import Budget, Looks

_ELSEWHERE = {
    **dict.fromkeys((*TOP, *MODEL, *ADAPTER), "the training configuration"),
    "subsample_ratio": "the top level of the dataset",
    **dict.fromkeys(DIRECTORY.keys() - DATASET.keys(), "the entry of a directory"),
}

MAX_DIRECTORIES = 1000


@dataclass(frozen=True, slots=True)
class ListedDirectory:
    """A directory whose files are known, with those of its masks and control images."""

    media: Folder
    masks: Folder | None = None
    controls: Folder | None = None


@dataclass(frozen=True, slots=True)
class DatasetCircumstances:
    """What bears on the check of a dataset besides its text."""

    variant: Variant | None  #: the model's variant; None when the model is not known
    batches: Batches
    root: Path | None  #: the trainer's directory, from which it opens relative paths
    looks: Looks
    budget: Budget
    names_keys: bool = True  #: whether unknown keys are named; not those of a file that the request only points to
    listed: ListedDirectory | None = None  #: stands for each directory, where their files are known already


@dataclass(slots=True)
class KnownDataset:
    """What is known of a dataset after the check; unknown is None."""

    steps_per_epoch: int | None = None
    items: int | None = None
    directories: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: list[FoundItems] = field(default_factory=list)  #: what was found in each directory that was looked into
    shares: list[Share] = field(default_factory=list)  #: what they bring in, as far as it is known
    buckets: list[tuple[int, int, int]] = field(default_factory=list)  #: width, height, frames of what is trained on


def check_dataset(document: TrainerDocument, around: DatasetCircumstances, findings: Findings) -> KnownDataset:
    """Checks everything about a dataset that can be checked without the trainer."""
    outcome, errors = KnownDataset(), findings.error_count
    if around.names_keys:
        check_names(document.values, DATASET, document.at, findings, _ELSEWHERE)
    check_values(document.values, DATASET, document.at, findings)
    directories = document.values.get("directory")
    if not isinstance(directories, list) or not directories:
        if directories is None or isinstance(directories, list):
            findings.error(
                document.at("directory"), "The dataset has no directories.", "Give at least one, with its path."
            )
        return outcome
    if len(directories) > MAX_DIRECTORIES:
        findings.error(document.at("directory"), f"These are more than {MAX_DIRECTORIES} directories.", "Merge some.")
        return outcome
    scanner = None
    if around.variant is not None:
        scanner = DatasetScanner(around.budget, around.variant, findings)
    shares = [
        _check_directory(Settings(document, i), around, scanner, outcome, findings) for i in range(len(directories))
    ]
    _check_twice(document, outcome.directories, findings)
    if around.variant is None:
        outcome.notes.append("The totals are not known, because the model type is not.")
    elif findings.error_count == errors:
        _count(document, [share for share in shares if share is not None], around, outcome, findings)
    return outcome


def _check_directory(
    settings: Settings,
    around: DatasetCircumstances,
    scanner: DatasetScanner | None,
    outcome: KnownDataset,
    findings: Findings,
) -> Share | None:
    around.budget.require()
    at = partial(settings.document.at, "directory", settings.index)
    if not isinstance(settings.document.values["directory"][settings.index], dict):
        findings.error(at(), "This is not a table.", "Write {path = '…'}.")
        return None
    if around.names_keys:
        check_names((name for name in settings.own if name != "dataset"), DIRECTORY, at, findings, _ELSEWHERE)
    check_values(settings.own, DIRECTORY, at, findings)
    if "dataset" in settings.own:
        findings.error(at("dataset"), "Named datasets are not known yet.", "Give the directory's `path`.")
    variant = around.variant
    check_silent_settings(settings, around.variant.type if around.variant else None, findings)
    bucketing = read_bucketing(settings, variant.type if variant else "", variant.round_to if variant else 16, findings)
    scan = _find_directory(settings, around, outcome, findings)
    if scan is None or scanner is None:
        return None
    found = scanner.scan(scan)
    outcome.seen.append(found)
    outcome.notes += found.notes
    if bucketing is None:
        return None
    # Another value is a mistake of its own, and the totals count without it.
    repeats = number(settings.get("num_repeats", 1)) or 1
    share = Share(bucketing, found.items, repeats if 0 < repeats <= MOST else 1)
    outcome.shares.append(share)
    if variant is not None:
        _check_missing_frames(share, found, variant, at("path"), findings)
    if found.unknown is not None:
        return None
    _check_fit(share, found, at("path"), findings)
    return share


def _find_directory(
    settings: Settings, around: DatasetCircumstances, outcome: KnownDataset, findings: Findings
) -> Scan | None:
    if around.listed is not None:
        return _scan(settings, around.listed, around)
    path = _check_paths(settings, around.root, findings)
    if path is None:
        return None
    outcome.directories.append(path)
    there = ListedDirectory(
        FolderOnDisk(path, around.looks),
        masks=_folder(settings, "mask_path", around),
        controls=_folder(settings, "control_path", around),
    )
    return _scan(settings, there, around)


def _check_paths(settings: Settings, root: Path | None, findings: Findings) -> Path | None:
    at = partial(settings.document.at, "directory", settings.index)
    path = _directory(settings.own, "path", at("path"), root, findings)
    if "path" not in settings.own and "dataset" not in settings.own:
        findings.error(
            at("path"), "`path` is missing.", "Give the directory of the images, or a dataset by its name as `dataset`."
        )
    for name in ("mask_path", "control_path"):
        _directory(settings.own, name, at(name), root, findings)
    default = settings.own.get("default_mask_file")
    if isinstance(default, str):
        file = paths.check_exists(default, at("default_mask_file"), root, findings)
        if file is not None and file.is_dir():
            findings.error(at("default_mask_file"), "This is a directory.", "Name an image.")
    if path is not None and not _can_cache(path):
        findings.error(
            at("path"),
            "The trainer cannot write its cache into this directory.",
            "Give the service's user the permission to write there.",
        )
        return None
    return path


def _directory(own: Mapping[str, Any], name: str, at: str, root: Path | None, findings: Findings) -> Path | None:
    text = own.get(name)
    if not isinstance(text, str):
        return None
    path = paths.check_exists(text, at, root, findings)
    if path is not None and not path.is_dir():
        findings.error(at, "This is a file.", "Name a directory.")
        return None
    return path


def _can_cache(path: Path) -> bool:
    cache = path / "cache"
    return os.access(cache if cache.is_dir() else path, os.W_OK | os.X_OK)


def _scan(settings: Settings, there: ListedDirectory, around: DatasetCircumstances) -> Scan:
    shuffles = whole(settings.get("cache_shuffle_num", 0)) or 0
    if shuffles == 0 and settings.get("shuffle_tags", False):
        shuffles = 1
    default_mask = _existing(settings, "default_mask_file", around.root)
    return Scan(
        folder=there.media,
        at=lambda name: settings.at(name) if name == "online_captions" else _own(settings, name),
        skip_uncaptioned=bool(settings.get("skip_empty_caption", True)),
        captions_each=max(shuffles, 1),
        needs_captions_json=bool(settings.get("online_captions", False)),
        masks=there.masks,
        default_mask=None if default_mask is None else partial(around.looks.look, default_mask),
        controls=there.controls,
    )


def _own(settings: Settings, name: str) -> str:
    return settings.document.at("directory", settings.index, name)


def _folder(settings: Settings, name: str, around: DatasetCircumstances) -> FolderOnDisk | None:
    path = _existing(settings, name, around.root)
    return None if path is None else FolderOnDisk(path, around.looks)


def _existing(settings: Settings, name: str, root: Path | None) -> Path | None:
    text = settings.own.get(name)
    path = paths.resolve(text, root) if isinstance(text, str) and text else None
    return path if path is not None and paths.mode_of(path) is not None else None


def _check_fit(share: Share, found: FoundItems, at: str, findings: Findings) -> None:
    border = [item for item in found.items if item.frames > 1 and _is_borderline(share, item)]
    if border:
        findings.warn(
            at,
            f"{len(border)} videos are hardly long enough for their bucket; the trainer may count fewer frames.",
            "Set shorter frame_buckets, or use longer clips.",
            (item.name for item in border),
        )
    unfit = [item for item in found.items if not share.bucketing.sort(item.width, item.height, item.frames)]
    if not unfit:
        return
    message = (
        f"{len(unfit)} of {len(found.items)} files fit into no bucket (too short for the frames asked for) and are"
        " skipped."
    )
    remedy = "Set shorter frame_buckets; videos never go into the bucket of one frame."
    say = findings.error if len(unfit) == len(found.items) else findings.warn
    say(at, message, remedy, (item.name for item in unfit))


def _check_missing_frames(share: Share, found: FoundItems, variant: Variant, at: str, findings: Findings) -> None:
    """Finds videos that are sorted by more frames than can be decoded of them: cut by an edit list, or damaged."""
    short = [
        item.name
        for item in share.items
        if (shown := found.shown.get(item.name)) is not None
        and any(
            shown < align(int(bucket[-1]), MODELS[variant.type])
            for bucket in share.bucketing.sort(item.width, item.height, item.frames)
        )
    ]
    if short:
        findings.error(
            at,
            f"{len(short)} videos have fewer frames than their headers state, and too few for their buckets."
            f" {HANGS}: {list_names(short)}.",
            "Copy or convert them again, or remove them.",
            short,
        )


def _is_borderline(share: Share, item: Item) -> bool:
    """Whether two frames less would leave it without a bucket: variable frame rates are counted that inexactly."""
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
                f"Directories {first} and {index} are the same; both use one cache and may spoil it for each other.",
                "Name it once, with num_repeats; or copy it.",
            )


def _count(
    document: TrainerDocument,
    shares: list[Share],
    around: DatasetCircumstances,
    outcome: KnownDataset,
    findings: Findings,
) -> None:
    if len(shares) < len(document.values["directory"]):
        return
    ratio = number(document.values.get("subsample_ratio"))
    totals = count_steps(shares, around.batches, ratio, around.budget.require)
    outcome.steps_per_epoch = totals.steps_per_epoch
    for count in totals.counts:
        width, height, frames = map(int, count.bucket[-3:])
        if count.steps:
            outcome.buckets.append((width, height, frames))
    outcome.items = sum(
        1 for share in shares for item in share.items if share.bucketing.sort(item.width, item.height, item.frames)
    )
    if totals.steps_per_epoch == 0 and ratio and count_steps(shares, around.batches).steps_per_epoch:
        findings.error(
            document.at("subsample_ratio"), "Of the steps of an epoch none is left.", "Raise it, or leave it out."
        )
    elif totals.steps_per_epoch == 0:
        findings.error(
            document.at("directory"),
            "No size bucket has enough files for a single step, so that nothing is left to train on.",
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
