"""Write the two TOML files that the trainer reads: the request's values, with the service's keys, without secrets."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.tasks.training import TrainingRequest
from api.trainers import toml_text
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.request import read
from api.trainers.environment import split_secrets
from api.trainers.toml_text import DATASET, complete_floats, text_excess, write_dataset
from api.util.text.masking import MASK

CONFIG = "config.toml"

#: Weights & Biases reads its key from this variable if the one in the configuration is empty.
WANDB_VARIABLE = "WANDB_API_KEY"


_WANDB_PATH: toml_text.Path = ("monitoring", "wandb_api_key")

#: Minimum length of a secret that is searched in the rest of a text; shorter ones would match unrelated text.
_SHORTEST_SECRET = 8


def find_secrets(request: TrainingRequest) -> dict[str, str]:
    """Return the secrets of a request by the variable that passes each to the trainer, without masks (`***`)."""
    key = _wandb_key(request)
    found = {**split_secrets(request.env)[1], **({WANDB_VARIABLE: key} if key else {})}
    return {name: value for name, value in found.items() if value != MASK}


def without_secrets(request: TrainingRequest) -> TrainingRequest:
    """Return the request with masked secrets. A text that cannot be edited is dropped; it could not start anyway."""
    public, secret = split_secrets(request.env)
    masked = replace(request, env={**public, **dict.fromkeys(secret, MASK)})
    key = _wandb_key(request)
    if not key or key == MASK:
        return masked
    if request.config_toml is not None:
        edited = toml_text.edit(request.config_toml, {_WANDB_PATH: MASK})
        return replace(masked, config_toml=_without(edited, key) or "")
    monitoring = {**request.config["monitoring"], "wandb_api_key": MASK}
    return replace(masked, config={**request.config, "monitoring": monitoring})


def write_files(
    request: TrainingRequest, config: TrainerDocument, dataset: TrainerDocument, output_dir: Path, directory: Path
) -> dict[str, str] | None:
    """Return the files of an attempt by name, or None if the trainer's parser cannot read them."""
    owned: dict[toml_text.Path, Any] = {
        ("output_dir",): str(output_dir),
        ("dataset",): str(directory / DATASET),
    }
    key = config.table("monitoring").get("wandb_api_key")
    if isinstance(key, str) and key:
        owned[_WANDB_PATH] = ""
    if request.config_toml is not None:
        removed = tuple(name for name in ("resume_from_checkpoint",) if name in config.values)
        edited = toml_text.edit(request.config_toml, owned, removed)
        written = None if edited is None else _without(edited, key if isinstance(key, str) else "")
    else:
        written = toml_text.write_exactly(_owned_values(config.values, owned))
    dataset_text = write_dataset(request.dataset_toml, dataset.values)
    return None if written is None or dataset_text is None else {CONFIG: written, DATASET: dataset_text}


def read_checked(request: TrainingRequest) -> tuple[TrainerDocument, TrainerDocument]:
    """Return the documents of a checked request. Raise ValueError if they cannot be read."""
    given = read(request, Findings())
    if given.config is None or given.dataset is None:
        raise ValueError("The configuration cannot be read; check the request first.")
    return given.config, given.dataset


def _owned_values(values: Mapping[str, Any], owned: Mapping[toml_text.Path, Any]) -> dict[str, Any]:
    result = {name: value for name, value in values.items() if name != "resume_from_checkpoint"}
    for path, value in owned.items():
        if len(path) == 1:
            result[str(path[0])] = value
        else:
            result[str(path[0])] = {**result[str(path[0])], str(path[1]): value}
    return result


def _wandb_key(request: TrainingRequest) -> str:
    if request.config_toml is not None and text_excess(request.config_toml) is not None:
        return ""
    try:
        config = request.config if request.config_toml is None else tomllib.loads(complete_floats(request.config_toml))
        monitoring = config.get("monitoring", {})
        key = monitoring.get("wandb_api_key", "")
    except (ValueError, RecursionError, AttributeError, TypeError):
        return ""
    return key if isinstance(key, str) else ""


def _without(text: str | None, secret: str) -> str | None:
    # The secret may also be in a comment.
    if text is None or len(secret) < _SHORTEST_SECRET or secret not in text:
        return text
    cleaned = text.replace(secret, "")
    try:
        return cleaned if tomllib.loads(cleaned) == tomllib.loads(text) else None
    except ValueError:
        return None
