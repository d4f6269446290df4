"""Convert configurations between TOML text and structured values."""

import math
from collections.abc import Mapping
from typing import Any

from api.domain.finding import pointer
from api.domain.models.settings_view import RequestFormsView
from api.errors import FindingText, Invalid
from api.trainers import toml_text
from api.trainers.diffusion_pipe.config import toml_parsing
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.request import read_config, read_dataset


def convert_forms(
    model_type: str,
    config: Mapping[str, Any] | None,
    dataset: Mapping[str, Any] | None,
    config_toml: str | None,
    dataset_toml: str | None,
) -> RequestFormsView:
    """Return both forms of the given values or texts; texts stay unchanged. Raise Invalid with every mistake."""
    findings = Findings()
    values, text = _config(model_type, config, config_toml, findings)
    items, items_text = _dataset(dataset, dataset_toml, findings)
    if findings.errors:
        raise Invalid(mistakes=findings.errors)
    return RequestFormsView(values, items, text, items_text)


def _config(
    model_type: str, config: Mapping[str, Any] | None, text: str | None, findings: Findings
) -> tuple[dict[str, Any] | None, str | None]:
    if text is not None:
        return _parse(text, "config_toml", findings), text
    document = read_config(config, model_type, findings) if config else None
    return _written(document, bool(config), config is not None)


def _dataset(
    dataset: Mapping[str, Any] | None, text: str | None, findings: Findings
) -> tuple[dict[str, Any] | None, str | None]:
    if text is not None:
        values = _parse(text, "dataset_toml", findings)
        return (None if values is None else _named_directories(values)), text
    document = read_dataset(dataset, findings) if dataset else None
    values, written = _written(document, bool(dataset), dataset is not None)
    return (None if values is None else _named_directories(values)), written


def _written(
    document: TrainerDocument | None, has_values: bool, is_given: bool
) -> tuple[dict[str, Any] | None, str | None]:
    if document is None:
        return (None, None) if has_values or not is_given else ({}, "")
    return document.values, toml_text.write_exactly(_tables_last(document.values))


def _tables_last(values: dict[str, Any]) -> dict[str, Any]:
    """Move tables to the end, because in TOML all keys after a table belong to it."""
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    return {**{name: value for name, value in values.items() if name not in tables}, **tables}


def _parse(text: str, name: str, findings: Findings) -> dict[str, Any] | None:
    values = toml_parsing.parse(text, pointer(name), findings)
    for path, value in toml_parsing.leaves(values or {}):
        if isinstance(value, float) and not math.isfinite(value):
            findings.error(
                pointer(name, *path),
                FindingText(
                    "number_not_in_json",
                    "JSON cannot represent this number.",
                    "Keep it as text: JSON cannot represent it.",
                ),
            )
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            findings.error(
                pointer(name, *path),
                FindingText(
                    "integer_too_large", "The number exceeds the 64 bits of TOML integers.", "Use a smaller number."
                ),
            )
    return values


def _named_directories(values: dict[str, Any]) -> dict[str, Any]:
    if "directory" not in values:
        return values
    rest = {name: value for name, value in values.items() if name != "directory"}
    return {**rest, "directories": values["directory"]}
