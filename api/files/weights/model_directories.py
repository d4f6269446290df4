"""Directories that are models: in diffusers' or transformers' form, or one of Wan's. What they lack."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from api.files.weights.shards import missing_shards

#: Bytes of a model's index that are read.
_MOST_INDEX_BYTES = 1024 * 1024

#: By whom a directory is known.
INDEX, CONFIG = "model_index.json", "config.json"

#: One of the two directories in which Wan 2.2 has its models.
WAN_HALF = "low_noise_model"

#: Words in the names of classes whose parts have weights, and how such names end.
_WEIGHTY_WORDS = ("Autoencoder", "Transformer")
_WEIGHTY_ENDS = ("Model", "Model2D", "Model3D", "Encoder", "Projection", "LM", "Generation")

_WAN_KINDS = ("t2v", "i2v", "flf2v", "ti2v")
_WAN_PARTS = ("google/umt5-xxl", "models_t5_umt5-xxl-enc-bf16.pth", "diffusion_pytorch_model.safetensors")
_WEIGHTS = (".safetensors", ".bin")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a small file; None where there is none that can be read."""
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


def weighty_parts(index: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a diffusers model that have weights, by its model_index.json."""
    for part, told in list(index.items())[:64]:
        name = told[1] if isinstance(told, list) and len(told) == 2 else None
        if not isinstance(name, str) or "/" in part or part.startswith("."):
            continue
        if name.endswith(_WEIGHTY_ENDS) or any(word in name for word in _WEIGHTY_WORDS):
            yield part


def kind_of(index: Mapping[str, Any] | None, config: Mapping[str, Any] | None) -> str | None:
    """What a directory with these two files is, such as `diffusers:FluxPipeline`; None when it is no model."""
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


def find_lacking(
    directory: Path, kind: str, index: Mapping[str, Any] | None, there: Mapping[str, Iterable[str]]
) -> list[str]:
    """What the directory should have and has not. `there` are the names in it and below it, by their directories."""
    if kind.startswith("diffusers:"):
        return [part for part in weighty_parts(index or {}) if not _has_weights(directory, part, there)]
    own = tuple(there.get("", ()))
    lacking = missing_shards(directory, own)
    if kind.startswith("wan:"):
        vae = "Wan2.2_VAE.pth" if kind.startswith("wan:ti2v") else "Wan2.1_VAE.pth"
        lacking += [part for part in (*_WAN_PARTS, vae) if not _has_part(part, there)]
    elif not any(name.endswith(_WEIGHTS) for name in own):
        lacking.append("model.safetensors")
    return sorted(set(lacking))


def _has_weights(directory: Path, part: str, there: Mapping[str, Iterable[str]]) -> bool:
    names = tuple(there.get(part, ()))
    return any(name.endswith(_WEIGHTS) for name in names) and not missing_shards(directory / part, names)


def _has_part(part: str, there: Mapping[str, Iterable[str]]) -> bool:
    if part in there:
        return True
    names = tuple(there.get("", ()))
    if part == "diffusion_pytorch_model.safetensors":
        # Wan 2.2 has two of them, each in a directory of its own.
        below = (name for place in (WAN_HALF, "high_noise_model") for name in there.get(place, ()))
        return any(name.endswith(".safetensors") for name in (*names, *below))
    return part in names
