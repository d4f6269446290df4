"""Models in diffusers' form, a directory for each part: which parts the trainer opens, and whether they are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown
from api.weights.model_directories import INDEX, read_json, weighty_parts

#: By part, the keys of [model] that take its place; the trainer then does not open it.
_REPLACED = {
    "transformer": ("transformer_path", "single_file_path"),
    "text_encoder": ("text_encoder_path",),
    "text_encoder_4": ("llama3_path",),
    "vae": ("vae_path", "single_file_path"),
}


def is_replaced(part: str, model: Mapping[str, Any]) -> bool:
    """Whether another key of [model] takes the place of a part."""
    return any(model.get(key) for key in _REPLACED.get(part, ()))


def check_parts(directory: Path, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Whether the parts that model_index.json tells of are there with their weights; without it nothing is said."""
    for part in weighty_parts(read_json(directory / INDEX) or {}):
        if is_replaced(part, model):
            continue
        names = paths.names_in(directory / part, "")
        if not any(name.endswith((".safetensors", ".bin")) for name in names):
            findings.error(
                at,
                f"{shown(directory.name)} lacks the weights of its part `{shown(part)}`, which model_index.json names.",
                "Download the rest of the model.",
            )
