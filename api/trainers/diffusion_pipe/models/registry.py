"""All model types, from the modules in `images` and `videos`, and the tables that derive from them."""

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum

from api.domain.models.base_model import Preset
from api.trainers.diffusion_pipe.models import images, videos
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts

#: Free MB per nominal GB of a GPU: 15,040 of a 16 GB T4, 22,560 of a 24 GB A10G, 45,120 of a 48 GB L40S.
_FREE_MB_PER_GB = 940


def _find() -> Iterator[ModelDescription]:
    for package in (images, videos):
        for module in pkgutil.iter_modules(package.__path__):
            model: ModelDescription = pkgutil.resolve_name(f"{package.__name__}.{module.name}:MODEL")
            yield model


def _words(model: ModelDescription) -> list[str]:
    return model.model_type.replace("-", "_").split("_")


#: By model type, ordered by the words of its name.
DESCRIPTIONS: Mapping[str, ModelDescription] = {each.model_type: each for each in sorted(_find(), key=_words)}


class ModelType(StrEnum):
    """The model types of the trainer, as its configuration spells them."""

    _ignore_ = "name"
    for name in DESCRIPTIONS:
        vars()[name.upper().replace("-", "_")] = name


#: How the trainer loads each type.
MODELS: Mapping[str, ModelFacts] = {name: model.facts for name, model in DESCRIPTIONS.items()}

PRESETS: tuple[Preset, ...] = tuple(
    replace(preset, model_type=name) for name, model in DESCRIPTIONS.items() for preset in model.presets
)

#: The types whose checkpoints can be exported without the trainer.
ADAPTER_FORMS: Mapping[str, AdapterForm] = {
    name: model.adapter for name, model in DESCRIPTIONS.items() if model.adapter is not None
}


def training_mb(model_type: str) -> int | None:
    """Return the free GPU memory in MB needed to train a LoRA, or None if no source gives a figure."""
    least = DESCRIPTIONS[model_type].memory.least_gb
    return None if least is None else int(least * _FREE_MB_PER_GB)


def models_that_fit(free_mb: int | None) -> tuple[str, ...]:
    """Return the model types whose LoRA training fits in this free memory. None as memory gives an empty tuple."""
    if free_mb is None:
        return ()
    return tuple(name for name in DESCRIPTIONS if (needed := training_mb(name)) is not None and needed <= free_mb)
