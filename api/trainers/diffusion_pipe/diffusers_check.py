"""Models in diffusers' form, a directory for each part: which parts the trainer opens, and whether they are there."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

#: By part, the keys of [model] that take its place; the trainer then does not open it.
_REPLACED = {
    "transformer": ("transformer_path", "single_file_path"),
    "text_encoder": ("text_encoder_path",),
    "text_encoder_4": ("llama3_path",),
    "vae": ("vae_path", "single_file_path"),
}

#: Bytes of an index that are read.
_MOST_INDEX_BYTES = 64 * 1024

#: Endings of the classes whose parts have weights.
_WITH_WEIGHTS = ("Model", "Model2D", "Model3D", "Encoder", "Projection", "LM", "Generation", "HQwenImage", "KLWan")
_CLASSES = ("Autoencoder", "Transformer")


def is_replaced(part: str, model: Mapping[str, Any]) -> bool:
    """Whether another key of [model] takes the place of a part."""
    return any(model.get(key) for key in _REPLACED.get(part, ()))


def check_parts(directory: Path, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Whether the parts that model_index.json tells of are there with their weights; without it nothing is said."""
    for part in _parts(directory):
        if is_replaced(part, model):
            continue
        names = paths.names_in(directory / part, "")
        if not any(name.endswith((".safetensors", ".bin")) for name in names):
            findings.error(
                at,
                f"{shown(directory.name)} lacks the weights of its part `{shown(part)}`, which model_index.json names.",
                "Download the rest of the model.",
            )


def _parts(directory: Path) -> Iterator[str]:
    try:
        index = json.loads(paths.read_start(directory / "model_index.json", _MOST_INDEX_BYTES))
    except (ValueError, RecursionError):
        return
    for part, told in list(index.items())[:64] if isinstance(index, dict) else ():
        name = told[1] if isinstance(told, list) and len(told) == 2 else None
        if not isinstance(name, str) or "/" in part or part.startswith("."):
            continue
        if name.endswith(_WITH_WEIGHTS) or any(word in name for word in _CLASSES):
            yield part
