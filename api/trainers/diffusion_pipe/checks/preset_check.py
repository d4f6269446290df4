"""Check the settings of a preset: known keys, kinds of values and bounds. No file is opened."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from api.domain.finding import pointer
from api.domain.tasks.training import TrainingRequest
from api.errors import Finding, FindingText
from api.trainers.diffusion_pipe.checks.optimizer_check import check_optimizer
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_values
from api.trainers.diffusion_pipe.config.keys import ADAPTER, DATASET, MODEL, MONITORING, TOP, Key
from api.trainers.diffusion_pipe.config.request import read_config, read_dataset
from api.trainers.request_texts import find_userinfo
from api.util.text.masking import is_secret_name, mask_secrets

_TABLES: Mapping[str, Mapping[str, Key]] = {"model": MODEL, "adapter": ADAPTER, "monitoring": MONITORING}


def check_preset(model_type: str, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return the errors in the settings of a preset, with pointers from `/config` and `/dataset`.

    A preset needs no key, so missing keys are no errors. Secrets are, since a preset can be shared.
    """
    findings = Findings()
    if config and (document := read_config(config, model_type, findings)) is not None:
        _check(document, {"": TOP, **_TABLES}, findings)
        if "type" in document.table("optimizer"):
            check_optimizer(document, model_type, findings)
        if document.table("model").get("type", model_type) != model_type:
            findings.error(
                document.at("model", "type"),
                FindingText("preset_other_type", "The type is not that of the preset.", "Remove it."),
            )
    for name in ("directories", "directory"):
        if name in dataset:
            findings.error(
                pointer("dataset", name),
                FindingText("preset_names_dataset", "A preset names no dataset.", "Remove it."),
            )
    if dataset and (document := read_dataset(dataset, findings)) is not None:
        _check(document, {"": DATASET}, findings)
    for at in (*_secrets(config, ("config",)), *_secrets(dataset, ("dataset",))):
        findings.error(
            at, FindingText("preset_secret", "This looks like a secret, which a preset must not contain.", "Remove it.")
        )
    request = TrainingRequest(model_type=model_type, config=dict(config), dataset=dict(dataset))
    return (*findings.errors, *find_userinfo(request))


def _check(document: TrainerDocument, tables: Mapping[str, Mapping[str, Key]], findings: Findings) -> None:
    for table, keys in tables.items():
        values = document.table(table) if table else document.values
        check_values(values, keys, partial(document.at, *filter(None, [table])), findings)


def _secrets(value: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    """Return the pointers of values that are named or formed like a secret, masked ones included."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret_name(str(name)) and inner not in (None, ""):
                yield pointer(*path, name)
            else:
                yield from _secrets(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _secrets(inner, (*path, index))
    elif isinstance(value, str) and mask_secrets(value) != value:
        yield pointer(*path)
