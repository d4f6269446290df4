"""What the trainer's cache of a dataset depends on.

The trainer's own fingerprint (`utils/dataset.py`, commit 8f83dbf) covers media paths, captions and sizes.
This module adds the rest: the model's files and settings, and the trainer's code.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.domain.reason import Reason
from api.trainers.diffusion_pipe.config.document import TrainerDocument, positive
from api.trainers.diffusion_pipe.config.paths import resolve
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.trainer import CacheFacts

#: Keys of [model] that do not affect cached values, as they concern noise and steps.
_OF_STEPS = frozenset({"timestep_sample_method", "shift", "flux_shift", "sigmoid_scale", "min_t", "max_t", "guidance"})

#: Keys of the configuration, besides [model], that affect cached values.
_OF_CACHE = ("video_clip_mode", "caching_batch_size")

#: Keys of a dataset that only set how often items repeat.
_OF_COUNTS = frozenset({"num_repeats"})

#: Path keys in the tables within [model].
_PATHS = frozenset({"path", "paths"})

#: Most files of a model that are examined.
_MAX_FILES = 10_000

#: Directories of the trainer's code that affects cached values.
_CODE = ("", "models", "utils")
_HEAD_BYTES = 200


class _Unknown(Exception):
    """A value that the cache depends on is unknown."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.text)
        self.why = why


def gather_facts(config: TrainerDocument, dataset: TrainerDocument, root: Path | None) -> CacheFacts:
    """Return the values on which the cache of this configuration and dataset depends."""
    problem = _problem(config, dataset)
    if problem is not None:
        return CacheFacts(problem=problem)
    model = {name: value for name, value in config.table("model").items() if name not in _OF_STEPS}
    settings = {name: config.values[name] for name in _OF_CACHE if name in config.values}
    try:
        values = {
            "model": model,
            "settings": settings,
            "dataset": _without_counts(dataset.values),
            "files": list(_model_files(model, root)),
            "code": [] if root is None else list(_code(root)),
        }
    except _Unknown as error:
        return CacheFacts(problem=error.why)
    except OSError as error:
        return CacheFacts(problem=str(error))
    shown = {name: value for name, value in dataset.values.items() if name not in ("directory", *_OF_COUNTS)}
    batch = positive(config.values.get("caching_batch_size", 1), 1)
    return CacheFacts(values, {**settings, **shown, "model": model}, counts_items=batch == 1)


def _problem(config: TrainerDocument, dataset: TrainerDocument) -> Reason | None:
    if config.values.get("eval_datasets"):
        return Reason.of("its evaluation datasets are paths whose files may change", "cache_evaluation_paths")
    directories = dataset.values.get("directory")
    each = directories if isinstance(directories, list | tuple) else ()
    tables = [dataset.values, *(table for table in each if isinstance(table, Mapping))]
    if any("size_buckets" in table for table in tables):
        # The trainer rewrites its lists at each start, while other trainings read them.
        return Reason.of("with size_buckets the trainer writes to its cache at each start", "cache_size_buckets")
    return None


def _without_counts(values: Mapping[str, Any]) -> dict[str, Any]:
    remaining = {name: value for name, value in values.items() if name not in _OF_COUNTS}
    directories = remaining.get("directory")
    if isinstance(directories, list | tuple):
        remaining["directory"] = [_without_counts(each) if isinstance(each, Mapping) else each for each in directories]
    return remaining


def _model_files(model: Mapping[str, Any], root: Path | None) -> Iterator[list[Any]]:
    """Yield path, size and modification time of every file in [model]. Raise _Unknown or OSError."""
    kinds = MODELS[str(model["type"])].kinds if model.get("type") in MODELS else {}
    for key, text in _texts(model):
        path = resolve(text, root)
        if path is None or not os.path.exists(path):
            if text and (key in kinds or key in _PATHS):
                raise _Unknown(Reason.of("{path} is not on this machine yet", "cache_model_missing", path=text[:200]))
            continue
        yield from _files_at(path)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)


def _files_at(path: Path) -> Iterator[list[Any]]:
    if not path.is_dir():
        yield _fact(path)
        return
    count = 0
    for directory, directories, names in os.walk(path):
        directories.sort()
        for name in sorted(names):
            count += 1
            if count > _MAX_FILES:
                raise _Unknown(
                    Reason.of(
                        "{path} has more than {most} files", "cache_many_files", path=path, most=f"{_MAX_FILES:,}"
                    )
                )
            yield _fact(Path(directory) / name)


def _fact(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return [str(path), None, None]
    return [str(path), status.st_size, status.st_mtime_ns]


def _code(root: Path) -> Iterator[list[Any]]:
    for part in _CODE:
        for path in sorted((root / part).glob("*.py")):
            yield _fact(path)
    for head in (root / ".git" / "HEAD", *sorted((root / ".git" / "modules").glob("*/*/HEAD"))):
        try:
            with head.open("rb") as file:
                yield [str(head), file.read(_HEAD_BYTES).decode(errors="replace")]
        except OSError:
            continue
