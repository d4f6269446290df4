"""Checks the evaluation datasets: the list, and each file in it."""

import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.trainers import toml_text
from api.trainers.diffusion_pipe import paths, toml_files
from api.trainers.diffusion_pipe.dataset_check import DatasetContext, check_dataset
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

MAX_DATASETS = 50


@dataclass(slots=True)
class Evaluations:
    """The results for the evaluation datasets: their directories, and notes about unchecked parts."""

    directories: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def check_eval_datasets(config: TrainerDocument, context: DatasetContext, findings: Findings) -> Evaluations:
    """Check all evaluation datasets; `context` has the batches of evaluation."""
    found = Evaluations()
    listed = config.values.get("eval_datasets")
    if not isinstance(listed, list):
        return found
    if len(listed) > MAX_DATASETS:
        findings.error(config.at("eval_datasets"), f"The list has more than {MAX_DATASETS} datasets.", "Remove some.")
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


def _check_entry(entry: Any, at: str, context: DatasetContext, found: Evaluations, findings: Findings) -> None:
    if not isinstance(entry, dict):
        findings.error(
            at,
            "This entry is not a table; the trainer fails on it after loading.",
            "Write {name = '…', config = 'x.toml'}.",
        )
        return
    name, file = entry.get("name"), entry.get("config")
    if name is None:
        findings.error(f"{at}/name", "The name of the dataset is missing.", "Set a short name.")
    elif str(name) in found.names:
        findings.warn(
            f"{at}/name",
            f"The name `{shown(name)}` is used twice; only the last is evaluated.",
            "Give each dataset its own name.",
        )
    found.names.add(str(name))
    if not isinstance(file, str):
        findings.error(f"{at}/config", "The path of the dataset's TOML file is missing.", "Set `config`.")
        return
    document = _read(file, f"{at}/config", context.root, findings)
    if document is None:
        return
    inner = Findings()
    summary = check_dataset(document, replace(context, reports_unknown_keys=False), inner)
    findings.merge(inner, f"{at}/config", "In the evaluation dataset")
    found.directories += summary.directories
    found.notes += [f"Evaluation dataset {shown(name)}: {note}" for note in summary.notes]


def _read(file: str, at: str, root: Path | None, findings: Findings) -> TrainerDocument | None:
    path = paths.check_exists(file, at, root, findings)
    if path is None:
        return None
    if not stat.S_ISREG(paths.mode_of(path) or 0):
        findings.error(at, "This is not a file.", "Set the path of a dataset's TOML file.")
        return None
    text = paths.read_start(path, toml_text.MAX_CHARACTERS + 1)
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        findings.error(at, "This file is not UTF-8.", "Save it as UTF-8.")
        return None
    inner = Findings()
    values = toml_files.parse(decoded.replace("\r\n", "\n"), "", inner)
    if path.suffix != ".toml" and (values is None or "directory" not in values):
        # Findings quote a file, and this one was probably not made as a dataset.
        findings.error(at, "This is not the TOML file of a dataset.", "Set the path of a TOML file with [[directory]].")
        return None
    findings.merge(inner, at, "In the evaluation dataset")
    return None if values is None else TrainerDocument(values, "")
