"""Warn about file names that suggest the wrong model, where tensors cannot show it. A name may be misleading."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe.document import number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

#: Most characters of a name that are examined.
_MAX_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class _Hint:
    """A word in the names of files that are rarely right for a slot, unless another word is there, too."""

    word: str
    description: str
    remedy: str
    unless: str = ""
    lacking: str = ""  #: a key of [model] that makes the file right


#: By slot. Turbo, distilled and unconditional models, from the documentation of this and other trainers.
_HINTS: Mapping[str, tuple[_Hint, ...]] = {
    "z_image.diffusion_model": (
        _Hint(
            "turbo",
            "Z-Image Turbo, which is distilled and needs an adapter that removes the distillation",
            "Add zimage_turbo_training_adapter_v1.safetensors to merge_adapters, or train the base model.",
            lacking="merge_adapters",
        ),
    ),
    "flux2.diffusion_model": (
        _Hint("klein", "the distilled Klein", "Use the base model, flux-2-klein-base-….", unless="base"),
    ),
    "ideogram4.diffusion_model": (
        _Hint("unconditional", "the unconditional half of Ideogram 4", "Use ideogram4_fp8_scaled.safetensors."),
    ),
    "krea2.diffusion_model": (_Hint("turbo", "Krea 2 Turbo, which is distilled", "Train on krea2_raw."),),
    "minimax_h3.diffusion_model": (
        _Hint("ref2va", "the MiniMax H3 for references, which the trainer does not train", "Use the fl2va file."),
    ),
    "hunyuan_image.transformer_path": (
        _Hint("refiner", "the refiner of HunyuanImage 2.1", "Use hunyuanimage2.1.safetensors."),
    ),
}

#: By a word in the names of Wan 2.2's models: the times for which each is trained.
_NOISES = {"low_noise": (0.0, 0.875), "high_noise": (0.875, 1.0)}

#: Tolerance of these limits, as image-to-video models use 0.9.
_TOLERANCE = 0.05


def check_file_name(path: Path, slots: tuple[str, ...], model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Warn about a file name that suggests a wrong model."""
    name = path.name[:_MAX_CHARACTERS].lower()
    for hint in (each for slot in slots for each in _HINTS.get(slot, ())):
        is_right = (hint.unless and hint.unless in name) or (hint.lacking and model.get(hint.lacking))
        if hint.word in name and not is_right:
            findings.warn(
                at, "file_name_suspicious", remedy=hint.remedy, path=shown(path.name), hint_description=hint.description
            )
    if "wan.transformer_path" in slots:
        _check_noise(path, name, model, at, findings)


def _check_noise(path: Path, name: str, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    low, high = number(model.get("min_t", 0)), number(model.get("max_t", 1))
    for noise, (begin, end) in _NOISES.items():
        if noise not in name or low is None or high is None:
            continue
        if low < begin - _TOLERANCE or high > end + _TOLERANCE:
            findings.warn(
                at,
                "wan_noise_times",
                path=shown(path.name),
                noise=noise.replace("_", " "),
                low=f"{low:g}",
                high=f"{high:g}",
                begin=f"{begin:g}",
                end=f"{end:g}",
            )
