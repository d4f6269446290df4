"""Read a request, in structured or text form, into the documents that the trainer reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.finding import pointer, shown
from api.domain.tasks.training import TrainingRequest
from api.errors import FindingText
from api.trainers import toml_text
from api.trainers.diffusion_pipe.config import toml_parsing
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.keys import TOP

_CONFIGURATION_PART_MISSING = FindingText(
    "configuration_part_missing",
    "`{name}` is missing.",
    "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
)

#: Groups of the structured form whose keys are top-level keys of the trainer, with the optional prefix.
GROUPS: Mapping[str, str] = {"eval": "eval_", "save": "save_", "optimization": ""}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The two documents of a request; None for a document that cannot be read."""

    config: TrainerDocument | None = None
    dataset: TrainerDocument | None = None


def read(request: TrainingRequest, findings: Findings) -> Configuration:
    """Read the form that the request has; problems of the form become findings."""
    is_text = request.config_toml is not None or request.dataset_toml is not None
    is_structured = bool(request.config) or bool(request.dataset)
    if is_text and is_structured:
        findings.error(
            "",
            FindingText(
                "configuration_twice",
                "The request contains its configuration both as text and in structured form.",
                "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
            ),
        )
        return Configuration()
    if not is_text and not is_structured:
        findings.error(
            "",
            FindingText(
                "configuration_missing",
                "The request has no configuration.",
                "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
            ),
        )
        return Configuration()
    return _read_text(request, findings) if is_text else _read_structured(request, findings)


def _read_text(request: TrainingRequest, findings: Findings) -> Configuration:
    found: list[TrainerDocument | None] = []
    for name, text in (("config_toml", request.config_toml), ("dataset_toml", request.dataset_toml)):
        if not isinstance(text, str):
            findings.error(pointer(name), _CONFIGURATION_PART_MISSING, name=name)
            found.append(None)
            continue
        values = toml_parsing.parse(text, pointer(name), findings)
        found.append(None if values is None else TrainerDocument(values, pointer(name)))
    return Configuration(*found)


def _read_structured(request: TrainingRequest, findings: Findings) -> Configuration:
    return Configuration(
        config=read_config(request.config, request.model_type, findings),
        dataset=read_dataset(request.dataset, findings),
    )


def read_config(config: Any, model_type: str, findings: Findings) -> TrainerDocument | None:
    """Return a structured configuration as the trainer will read it, or None if it cannot be read."""
    values = _structured(config, "config", findings)
    return None if values is None else _flatten(values, model_type, findings)


def read_dataset(dataset: Any, findings: Findings) -> TrainerDocument | None:
    """Return a structured dataset as the trainer will read it, or None if it cannot be read."""
    values = _structured(dataset, "dataset", findings)
    return None if values is None else _rename_directories(values, findings)


def _structured(values: Any, name: str, findings: Findings) -> dict[str, Any] | None:
    at = pointer(name)
    if not isinstance(values, Mapping):
        findings.error(
            at,
            FindingText(
                "configuration_not_object",
                "`{name}` is not an object.",
                "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
            ),
            name=name,
        )
        return None
    if not values:
        findings.error(at, _CONFIGURATION_PART_MISSING, name=name)
        return None
    copied = dict(values)
    if not toml_parsing.fits(copied, at, findings):
        return None
    copied = _widen(copied)
    return copied if _is_writable(copied, at, findings) else None


def _widen(value: Any) -> Any:
    # JSON does not distinguish 1 from 1.0, but the trainer's parser does. A list with a fraction becomes all floats.
    if isinstance(value, dict):
        return {key: _widen(child) for key, child in value.items()}
    if not isinstance(value, list | tuple):
        return value
    children = [_widen(child) for child in value]
    kinds = {type(child) for child in children}
    if kinds == {int, float} and all(-(2**53) <= child <= 2**53 for child in children if isinstance(child, int)):
        return [float(child) for child in children]
    return children


def _is_writable(values: dict[str, Any], at: str, findings: Findings) -> bool:
    if toml_text.write_exactly(values) is not None:
        return True
    mixed = list(toml_parsing.mixed_arrays(values))
    for path in mixed:
        findings.error(
            at + pointer(*path),
            FindingText(
                "list_mixed",
                "This list mixes types of values, which the trainer's TOML parser rejects.",
                "Use values of one type: all numbers, or all strings.",
            ),
        )
    found = len(mixed)
    for path, value in toml_parsing.leaves(values):
        if value is None:
            findings.error(at + pointer(*path), FindingText("null_in_toml", "TOML has no null.", "Remove the key."))
        elif all(toml_text.write_exactly({str(part): value}) is not None for part in ("value", path[-1])):
            continue
        else:
            findings.error(
                at + pointer(*path),
                FindingText("value_unparsable", "The trainer's TOML parser cannot read this.", "Simplify it."),
            )
        found += 1
    if not found:
        findings.error(
            at,
            FindingText(
                "configuration_unparsable", "The trainer's TOML parser cannot read this configuration.", "Simplify it."
            ),
        )
    return False


def _flatten(config: dict[str, Any], model_type: str, findings: Findings) -> TrainerDocument:
    values = {key: value for key, value in config.items() if key not in GROUPS}
    moved: dict[str, str] = {}
    for group in GROUPS.keys() & config.keys():
        if not isinstance(config[group], dict):
            findings.error(
                pointer("config", group),
                FindingText(
                    "group_not_object", "`{group}` is not an object.", "Write the keys of `{group}` as an object."
                ),
                group=group,
            )
            continue
        for key, value in config[group].items():
            prefixed = GROUPS[group] + key
            name = prefixed if prefixed in TOP else key
            if name in values:
                findings.error(
                    pointer("config", group, key),
                    FindingText("key_twice", "`{name}` is set twice.", "Set it only once."),
                    name=shown(name),
                )
                continue
            values[name] = value
            moved[name] = pointer("config", group, key)
    model = values.get("model")
    if isinstance(model, dict) and "type" not in model and model_type:
        values["model"] = {"type": model_type, **model}
    return TrainerDocument(values, "/config", moved)


def _rename_directories(dataset: dict[str, Any], findings: Findings) -> TrainerDocument:
    if "directories" not in dataset:
        return TrainerDocument(
            dataset, "/dataset", {} if "directory" in dataset else {"directory": "/dataset/directories"}
        )
    if "directory" in dataset:
        findings.error(
            "/dataset/directory",
            FindingText("directories_twice", "`directory` and `directories` are both set.", "Set only `directories`."),
        )
    values = {key: value for key, value in dataset.items() if key != "directories"}
    values["directory"] = dataset["directories"]
    return TrainerDocument(values, "/dataset", {"directory": "/dataset/directories"})
