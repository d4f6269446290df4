"""Check the evaluation datasets: the list, and each file in it."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers import toml_text
from api.trainers.diffusion_pipe.checks.dataset_check import MAX_DIRECTORIES, DatasetContext, check_dataset
from api.trainers.diffusion_pipe.config import paths, toml_parsing
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.buckets import RATIOS, Bucket, Settings
from api.trainers.diffusion_pipe.dataset.totals import Share

MAX_DATASETS = 50

#: Settings that matter only as far as they sort, skip or order files differently, with their defaults.
_SORTING: Mapping[str, Any] = {
    "enable_ar_bucket": False,
    "ar_buckets": None,
    **dict.fromkeys(RATIOS),
    "size_buckets": None,
    "frame_buckets": [1],
    "skip_empty_caption": True,
    "shuffle_metadata": True,
}

#: Other settings that determine the lists in the cache of a directory, with their defaults.
_IN_CACHE: Mapping[str, Any] = {
    "caption_prefix": "",
    "shuffle_tags": False,
    "cache_shuffle_num": 0,
    "cache_shuffle_delimiter": ", ",
    "mask_path": None,
    "default_mask_file": None,
    "control_path": None,
}


@dataclass(frozen=True, slots=True)
class _Cached:
    """A directory whose cache a dataset uses."""

    settings: Settings
    share: Share | None  #: its files; None if they are not known

    @property
    def lists(self) -> dict[str, object] | None:
        """The trainer's lists of this directory, as the captions and places of each file; None if unknown."""
        if self.share is None:
            return None
        sort = self.share.bucketing.sort
        return {
            item.name: (item.captions, {_place(bucket) for bucket in sort(item.width, item.height, item.frames)})
            for item in self.share.items
        }


def _place(bucket: Bucket) -> Bucket:
    # Lists are by aspect ratio and frames, or by a configured size bucket.
    return (bucket[0], bucket[-1]) if len(bucket) > 3 else bucket


@dataclass(slots=True)
class Evaluations:
    """The results for the evaluation datasets: their directories, and notes about unchecked parts."""

    directories: list[Path] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    has_videos: bool = False
    cached: dict[str, "_Cached"] = field(default_factory=dict)  #: all directories, by resolved path


def check_eval_datasets(
    config: TrainerDocument,
    context: DatasetContext,
    findings: Findings,
    training: TrainerDocument | None = None,
    shares: Mapping[int, Share] | None = None,
) -> Evaluations:
    """Check all evaluation datasets. `context` has the batches of evaluation.

    `training` is the training's dataset, and `shares` are the files of its directories.
    """
    found = Evaluations(cached=_directories(training, context.root, shares or {}) if training is not None else {})
    listed = config.values.get("eval_datasets")
    if not isinstance(listed, list):
        if listed is not None:
            findings.error(
                config.at("eval_datasets"),
                FindingText(
                    "eval_datasets_not_list",
                    "The value is not a list of evaluation datasets, each a table with `name` and `config`.",
                    "Write eval_datasets = [{name = '{name}', config = '{file}'}].",
                ),
                **_example(listed),
            )
        return found
    if len(listed) > MAX_DATASETS:
        findings.error(
            config.at("eval_datasets"),
            FindingText("too_many_eval_datasets", "The list has more than {max_datasets} datasets.", "Remove some."),
            max_datasets=MAX_DATASETS,
        )
        return found
    for index, entry in enumerate(listed):
        context.budget.require()
        _check_entry(entry, config.at("eval_datasets", index), context, found, findings)
    return found


def list_files(config: TrainerDocument) -> list[tuple[str, str]]:
    """Return the files of evaluation datasets, each as a pointer and a path."""
    listed = config.values.get("eval_datasets")
    entries = listed[:MAX_DATASETS] if isinstance(listed, list) else []
    return [
        (config.at("eval_datasets", index, "config"), entry["config"])
        for index, entry in enumerate(entries)
        if isinstance(entry, dict) and isinstance(entry.get("config"), str)
    ]


def _check_shared_caches(evaluation: dict[str, _Cached], cached: dict[str, _Cached], findings: Findings) -> None:
    """Check directories of earlier datasets: they use the same cache, whose lists the last dataset overwrites.

    `cached` has the earlier ones by path, and gets those of this dataset.
    """
    for path, directory in evaluation.items():
        shared, settings = cached.setdefault(path, directory), directory.settings
        at = settings.document.at("directory", settings.index, "path")
        differing, sorting, sizes = (
            [name for name, default in names.items() if _differs(settings, shared.settings, name, default)]
            for names in (_IN_CACHE, _SORTING, {"resolutions": None})
        )
        lists, others = directory.lists, shared.lists
        if lists is not None and others is not None and lists != others:
            differing = sorting + differing
        if differing:
            findings.error(
                at,
                FindingText(
                    "eval_directory_conflict",
                    (
                        "The training or another evaluation uses this directory with another {setting}. Both write to "
                        "one cache, so the training takes the lists of the last one, or fails."
                    ),
                    "Set the same {settings} in both, or copy the files for the evaluation.",
                ),
                setting=differing[0],
                settings=", ".join(differing),
            )
        elif sorting or sizes:
            findings.warn(
                at,
                FindingText(
                    "eval_directory_shared",
                    (
                        "The training or another evaluation uses this directory with other {setting}, and both "
                        "write to one cache."
                    ),
                    "Set the same {settings} in both, or copy the files for the evaluation.",
                ),
                setting=(sorting + sizes)[0],
                settings=", ".join(sorting + sizes),
            )


def _differs(one: Settings, other: Settings, name: str, default: Any) -> bool:
    return bool(one.get(name, default) != other.get(name, default))


def _directories(document: TrainerDocument, root: Path | None, shares: Mapping[int, Share]) -> dict[str, _Cached]:
    """Return a dataset's directories, by resolved path."""
    listed = document.values.get("directory")
    found: dict[str, _Cached] = {}
    for index in range(min(len(listed), MAX_DIRECTORIES) if isinstance(listed, list) else 0):
        settings = Settings(document, index)
        text = settings.own.get("path")
        path = paths.resolve(text, root)
        if path is not None and "\0" not in str(path):
            found.setdefault(os.path.realpath(path), _Cached(settings, shares.get(index)))
    return found


def _check_entry(entry: Any, at: str, context: DatasetContext, found: Evaluations, findings: Findings) -> None:
    if not isinstance(entry, dict):
        findings.error(
            at,
            FindingText(
                "eval_dataset_not_table",
                "This entry is not a table with `name` and `config`; the trainer fails on it after loading.",
                "Write {name = '{name}', config = '{file}'}.",
            ),
            **_example(entry),
        )
        return
    name, file = entry.get("name"), entry.get("config")
    if name is None:
        findings.error(
            f"{at}/name", FindingText("eval_name_missing", "The name of the dataset is missing.", "Set a short name.")
        )
    elif str(name) in found.names:
        findings.warn(
            f"{at}/name",
            FindingText(
                "eval_name_twice",
                "The name `{name}` is used twice; only the last is evaluated.",
                "Give each dataset its own name.",
            ),
            name=shown(name),
        )
    found.names.add(str(name))
    if not isinstance(file, str):
        findings.error(
            f"{at}/config",
            FindingText("eval_config_missing", "The path of the dataset's TOML file is missing.", "Set `config`."),
        )
        return
    document = _read(file, f"{at}/config", context.root, findings)
    if document is None:
        return
    inner = Findings()
    summary = check_dataset(document, replace(context, reports_unknown_keys=False), inner)
    _check_shared_caches(_directories(document, context.root, summary.whole_shares), found.cached, inner)
    findings.merge(inner, f"{at}/config", Reason.of("In the evaluation dataset", "in_evaluation_dataset"))
    found.directories += summary.directories
    found.has_videos = found.has_videos or summary.has_videos
    found.notes += [
        Reason.of("Evaluation dataset {name}: {note}", "note_of_evaluation", name=shown(name), note=note)
        for note in summary.notes
    ]


def _example(given: Any) -> dict[str, Any]:
    """Return name and file of an example for a dataset that is given in a wrong form."""
    file = given.get("config") if isinstance(given, dict) else given
    if isinstance(file, str) and file.endswith(".toml"):
        return {"name": shown(Path(file).stem), "file": shown(file)}
    return {"name": "test", "file": "test.toml"}


def _read(file: str, at: str, root: Path | None, findings: Findings) -> TrainerDocument | None:
    path = paths.check_exists(file, at, root, findings)
    if path is None:
        return None
    if not stat.S_ISREG(paths.mode_of(path) or 0):
        findings.error(
            at, FindingText("eval_config_not_file", "This is not a file.", "Set the path of a dataset's TOML file.")
        )
        return None
    text = paths.read_start(path, toml_text.MAX_CHARACTERS + 1)
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        findings.error(at, FindingText("eval_config_not_utf8", "This file is not UTF-8.", "Save it as UTF-8."))
        return None
    inner = Findings()
    values = toml_parsing.parse(decoded.replace("\r\n", "\n"), "", inner)
    if path.suffix != ".toml" and (values is None or "directory" not in values):
        # Findings quote a file, and this one was probably not made as a dataset.
        findings.error(
            at,
            FindingText(
                "eval_config_invalid",
                "This is not the TOML file of a dataset.",
                "Set the path of a TOML file with [[directory]].",
            ),
        )
        return None
    findings.merge(inner, at, Reason.of("In the evaluation dataset", "in_evaluation_dataset"))
    return None if values is None else TrainerDocument(values, "")
