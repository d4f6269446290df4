"""Directories that contain models, in diffusers', transformers' or Wan's layout, and their missing files."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from api.files.weights.shards import missing_shards

#: Most bytes of a model's index that are read.
_MOST_INDEX_BYTES = 1024 * 1024

#: Files that identify a model directory.
INDEX, CONFIG = "model_index.json", "config.json"

#: One of the two directories with the models of Wan 2.2.
WAN_HALF = "low_noise_model"

#: Parts and endings of class names whose components have weights.
_WEIGHTY_WORDS = ("Autoencoder", "Transformer")
_WEIGHTY_ENDS = ("Model", "Model2D", "Model3D", "Encoder", "Projection", "LM", "Generation")

_WAN_KINDS = ("t2v", "i2v", "flf2v", "ti2v")
_WAN_PARTS = ("google/umt5-xxl", "models_t5_umt5-xxl-enc-bf16.pth", "diffusion_pytorch_model.safetensors")
_WEIGHTS = (".safetensors", ".bin")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a small file; None if there is none or it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = json.loads(os.pread(handle, _MOST_INDEX_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(handle)
    return found if isinstance(found, dict) else None


def parts_with_weights(index: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of a diffusers model that have weights, from its model_index.json."""
    for part, value in list(index.items())[:64]:
        name = value[1] if isinstance(value, list) and len(value) == 2 else None
        if not isinstance(name, str) or "/" in part or part.startswith("."):
            continue
        if name.endswith(_WEIGHTY_ENDS) or any(word in name for word in _WEIGHTY_WORDS):
            yield part


def kind_of(index: Mapping[str, Any] | None, config: Mapping[str, Any] | None) -> str | None:
    """Return the kind of a directory with these two files, or None if it is not a model.

    An example is `diffusers:FluxPipeline`.
    """
    if index is not None and isinstance(index.get("_class_name"), str):
        return f"diffusers:{index['_class_name'][:80]}"
    if config is None:
        return None
    kind, width, classes = config.get("model_type"), config.get("dim"), config.get("architectures")
    if kind in _WAN_KINDS and isinstance(width, int):
        return f"wan:{kind}:{width}"
    if isinstance(classes, list) and classes and isinstance(classes[0], str):
        return f"transformers:{classes[0][:80]}"
    return None


def find_missing_parts(
    directory: Path, kind: str, index: Mapping[str, Any] | None, present: Mapping[str, Iterable[str]]
) -> list[str]:
    """Return the missing parts of a directory. `present` has the names in it and below it, by directory."""
    if kind.startswith("diffusers:"):
        return [part for part in parts_with_weights(index or {}) if not _has_weights(directory, part, present)]
    own = tuple(present.get("", ()))
    missing = missing_shards(directory, own)
    if kind.startswith("wan:"):
        vae = "Wan2.2_VAE.pth" if kind.startswith("wan:ti2v") else "Wan2.1_VAE.pth"
        missing += [part for part in (*_WAN_PARTS, vae) if not _has_part(part, present)]
    elif not any(name.endswith(_WEIGHTS) for name in own):
        missing.append("model.safetensors")
    return sorted(set(missing))


def _has_weights(directory: Path, part: str, present: Mapping[str, Iterable[str]]) -> bool:
    names = tuple(present.get(part, ()))
    return any(name.endswith(_WEIGHTS) for name in names) and not missing_shards(directory / part, names)


def _has_part(part: str, present: Mapping[str, Iterable[str]]) -> bool:
    if part in present:
        return True
    names = tuple(present.get("", ()))
    if part == "diffusion_pytorch_model.safetensors":
        # Wan 2.2 has two of them in separate directories.
        below = (name for half in (WAN_HALF, "high_noise_model") for name in present.get(half, ()))
        return any(name.endswith(".safetensors") for name in (*names, *below))
    return part in names
