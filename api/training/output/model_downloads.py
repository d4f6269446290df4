"""Prepare saved models for download: named after their training, with metadata that other programs read.

The keys are those of ModelSpec and of sd-scripts (`ss_`), which LoRA managers and model sites read. Unknown facts are
left out.
"""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from api.domain.datasets.dataset import PinnedDataset
from api.domain.tasks.training import TrainingRequest, TrainingTask
from api.files.weights.examination import describe
from api.files.weights.header import Header, Unsound, read_open_header
from api.files.weights.rewriting import RewrittenFile, hash_tensors, with_metadata
from api.training.output.artifacts import OpenFile, saved_at, saved_name
from api.training.view_builders import read_config, read_dataset
from api.util.clock import time_of

logger = logging.getLogger(__name__)

_TRAINER = "https://github.com/tdrussell/diffusion-pipe"

#: Architectures whose name in ModelSpec differs from the model type.
_ARCHITECTURES = {"sdxl": "stable-diffusion-xl-v1-base"}

#: Keys of [model] that name the trained model, by preference.
_BASE_KEYS = (
    "transformer_path", "diffusion_model", "checkpoint_path", "unet_path", "ckpt_path", "single_file_path",
    "diffusers_path",
)  # fmt: skip

#: Largest file whose tensors are hashed before it is sent. An adapter has far less.
_MOST_HASHED_BYTES = 2 * 2**30

#: Where and how much of a base model the short hash of sd-scripts covers.
_HASHED_FROM, _HASHED_BYTES = 0x100000, 0x10000

_MOST_TEXT = 2000


def deliver(
    task: TrainingTask, file: OpenFile, path: str, find_trigger: Callable[[Sequence[PinnedDataset]], str | None]
) -> OpenFile | RewrittenFile:
    """Return a saved model with its metadata. Any other file is returned as it is. Raise OSError.

    `find_trigger` returns the trigger word that preprocessing put in front of the captions of these datasets.
    """
    saved = saved_name(path)
    if saved is None:
        return file
    try:
        header = read_open_header(file.descriptor, file.size)
        if header is None:
            return file
        trigger = find_trigger_word(task.trigger_word, task.request) or find_trigger(task.plan.datasets)
        metadata = describe_model(task, saved, file, header, trigger)
        return with_metadata(file.descriptor, file.name, file.modified_at, metadata)
    except (Unsound, ValueError) as error:
        # Also a file that the trainer is still writing: it is sent as it is.
        logger.info("a model is sent without metadata", extra={"task_id": task.task_id, "problem": str(error)})
        return file


def describe_model(
    task: TrainingTask, saved: str, file: OpenFile, header: Header, trigger: str | None
) -> dict[str, str]:
    """Return the metadata of a saved model (epoch2, step500). Raise OSError."""
    facts, plan = describe(header, file.size), task.plan
    kind = None if facts.adapter is None else facts.adapter.kind.value
    architecture = _ARCHITECTURES.get(task.model_type, task.model_type.replace("_", "-"))
    rank = None if facts.adapter is None else facts.adapter.rank
    unit, number = saved_at(saved)
    base = base_path_of(task)
    datasets = [f"{each.dataset}@{each.version}" for each in plan.datasets]
    size = _resolution(task)
    is_hashed = file.size <= _MOST_HASHED_BYTES
    digest = hash_tensors(file.descriptor, header.data_start) if is_hashed else None
    comment = [f"trigger word: {trigger}" if trigger else None, f"dataset: {', '.join(datasets)}" if datasets else None]
    found: dict[str, Any] = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture if kind is None else f"{architecture}/{kind}",
        "modelspec.implementation": _TRAINER,
        "modelspec.title": f"{task.name or task.model_type} {saved}",
        "modelspec.description": task.description,
        "modelspec.date": time_of(file.modified_at).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "modelspec.trigger_phrase": trigger,
        "modelspec.tags": ", ".join(task.tags) or None,
        "modelspec.resolution": None if size is None else f"{size[0]}x{size[1]}",
        "modelspec.hash_sha256": None if digest is None else f"0x{digest}",
        "sshs_model_hash": digest,
        "ss_output_name": file.name.removesuffix(".safetensors"),
        "ss_base_model_version": task.model_type,
        "ss_sd_model_name": None if base is None else base.name,
        "ss_sd_model_hash": None if base is None else hash_base(base, task.started_at),
        "ss_network_dim": rank,
        "ss_network_alpha": rank,  # the trainer's alpha is always the rank
        "ss_epoch": number if unit == "epoch" else None,
        "ss_num_epochs": plan.epochs,
        "ss_steps": number if unit == "step" else None,
        "ss_max_train_steps": plan.total_steps,
        "ss_num_train_images": plan.dataset_items,
        "ss_resolution": None if size is None else f"({size[0]}, {size[1]})",
        "ss_dataset_dirs": json.dumps({each.dataset: {"img_count": each.items} for each in plan.datasets})
        if plan.datasets
        else None,
        "ss_training_started_at": None if task.started_at is None else task.started_at.timestamp(),
        "ss_training_finished_at": file.modified_at,
        "ss_training_comment": "; ".join(filter(None, comment)) or None,
        "diffusion_pipe.task_id": task.task_id,
        "diffusion_pipe.checkpoint": saved,
        "diffusion_pipe.dataset": ", ".join(f"{each.dataset}@{each.manifest}" for each in plan.datasets) or None,
    }
    return {key: str(value)[:_MOST_TEXT] for key, value in found.items() if value is not None}


def find_trigger_word(given: str | None, request: TrainingRequest) -> str | None:
    """Return the trigger word that the user gave, or else the prefix of all captions; None if there is neither."""
    if given is not None:
        return given
    dataset = read_dataset(request)
    directories = dataset.get("directories", dataset.get("directory"))
    common = dataset.get("caption_prefix")
    each = [
        one.get("caption_prefix", common)
        for one in (directories if isinstance(directories, list) else ())
        if isinstance(one, Mapping)
    ]
    prefixes = set(map(str, each)) if each else {str(common or "")}
    prefix = prefixes.pop() if len(prefixes) == 1 and None not in each else ""
    return prefix.strip(" \t\n,.;:-")[:200] or None


def base_path_of(task: TrainingTask) -> Path | None:
    """Return the path of the trained model, or None if it is not known."""
    model = read_config(task.request).get("model")
    values = [model.get(key) for key in _BASE_KEYS] if isinstance(model, Mapping) else []
    return next((Path(value) for value in values if isinstance(value, str) and value), None)


def hash_base(path: Path, before: datetime | None) -> str | None:
    """Return the short hash by which sd-scripts and others name a base model.

    None if it is not a file, or was written after the training began.
    """
    if before is None or not path.is_absolute():
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime > before.timestamp():
            return None
        part = os.pread(handle, _HASHED_BYTES, _HASHED_FROM)
    except OSError:
        return None
    finally:
        os.close(handle)
    return hashlib.sha256(part).hexdigest()[:8] if part else None


def _resolution(task: TrainingTask) -> tuple[int, int] | None:
    """Return width and height if the dataset is trained at a single resolution, else None."""
    found = read_dataset(task.request).get("resolutions")
    if not isinstance(found, list) or len(found) != 1:
        return None
    sides = found[0] if isinstance(found[0], list) else [found[0], found[0]]
    whole = [int(side) for side in sides if isinstance(side, int | float) and 0 < side < 2**20]
    return (whole[0], whole[1]) if len(whole) == 2 else None
