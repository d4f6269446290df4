"""The catalog of model types: capabilities according to the checks, components, and memory."""

from collections.abc import Mapping
from dataclasses import replace

from api.domain.models.base_model import CatalogModel, ModelVariant
from api.trainers.diffusion_pipe.checks.slots_check import loadable
from api.trainers.diffusion_pipe.checks.weights_check import most_swapped
from api.trainers.diffusion_pipe.models.description import ModelDescription
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS


def _loadable(model_type: str, variant: ModelVariant) -> ModelVariant:
    """Return the variant with the weight formats that the trainer loads for this type."""
    forms = loadable(model_type)
    return replace(variant, components=tuple(replace(need, loadable=forms) for need in variant.components))


def _model(model: ModelDescription) -> CatalogModel:
    facts, swap = model.facts, model.facts.swap
    return CatalogModel(
        model_type=model.model_type,
        title=model.title,
        medium=model.medium,
        variants=tuple(_loadable(model.model_type, variant) for variant in model.variants),
        memory=model.memory,
        supports_full=not facts.lora_only,
        supports_fp8=facts.dtype_key is not None,
        most_swapped=None if swap is None or swap.blocks is None else most_swapped(swap.blocks),
        swap_is_counted=swap is not None and (swap.blocks is None or not swap.is_certain),
        needs=model.needs,
    )


#: Every model type by name.
CATALOG: Mapping[str, CatalogModel] = {name: _model(DESCRIPTIONS[name]) for name in sorted(DESCRIPTIONS)}
