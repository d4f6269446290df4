"""Build the answers about models from the catalog and the files that a scan found."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.catalog.base_models.matching import is_held, locate
from api.catalog.base_models.views import (
    AdapterView,
    ComponentView,
    ModelView,
    PresetSummary,
    SlotView,
    SourceView,
    VariantView,
    WeightsView,
)
from api.domain.models.base_model import CatalogModel, ComponentNeed, LocalWeights, ModelVariant, Preset
from api.domain.models.weights import WeightsFacts
from api.trainers.diffusion_pipe.models.slots import slots_of
from api.util.copying import copy_fields


def view_model(
    model: CatalogModel,
    local: LocalWeights,
    presets: Sequence[Preset],
    config_path: str | None,
    table_of: Callable[[ModelVariant], Mapping[str, Any]],
) -> ModelView:
    """Return a model type with its local files. `table_of` returns the table [model] that loads a variant."""
    variants = tuple(_view_variant(variant, local, table_of(variant)) for variant in model.variants)
    first = next((variant for variant in variants if variant.ready), variants[0])
    return ModelView(
        id=model.model_type,
        name=model.title,
        type=model.medium,
        supports_lora=True,
        supports_full_finetune=model.supports_full,
        supports_fp8=model.supports_fp8,
        supports_block_swap=model.most_swapped is not None or model.swap_is_counted,
        max_blocks_to_swap=model.most_swapped,
        min_vram_gb=model.memory.least_gb,
        recommended_vram_gb=model.memory.comfortable_gb,
        vram_note=model.memory.note,
        vram_source=model.memory.origin,
        config_path=config_path,
        components=first.components,
        ready=first.ready,
        variants=variants,
        presets=tuple(view_preset(preset) for preset in presets),
        requirements=model.needs,
    )


def view_preset(preset: Preset) -> PresetSummary:
    """Return a preset without its request."""
    return copy_fields(PresetSummary, preset, memory_gb=preset.tier_gb)


def _view_variant(variant: ModelVariant, local: LocalWeights, table: Mapping[str, Any]) -> VariantView:
    views = [(need, _view_component(need, local)) for need in variant.components]
    # A missing component is not listed if another component's directory contains it.
    components = tuple(view for need, view in views if view.present or not is_held(need, variant, local))
    is_ready = all(each.present for each in components)
    return VariantView(variant.name, variant.title, variant.note, components, is_ready, table)


def _view_component(need: ComponentNeed, local: LocalWeights) -> ComponentView:
    found = locate(need, local)
    return copy_fields(
        ComponentView,
        need,
        name=need.title,
        present=found is not None and found.problem is None,
        path=None if found is None else found.path,
        size=None if found is None else found.size_bytes,
        problem=None if found is None else found.problem,
        repository=need.sources[0].repository if need.sources else None,
        files=tuple(copy_fields(SourceView, each) for each in need.sources),
    )


#: The limit of missing files that are listed.
MOST_MISSING = 100


def view_weights(
    path: str, facts: WeightsFacts, missing: Sequence[str] = (), belongs: Sequence[str] = ()
) -> WeightsView:
    """Return the view of a weight file."""
    component, adapter = facts.component, facts.adapter
    slots = sorted(slots_of(component.name)) if component is not None else []
    return copy_fields(
        WeightsView,
        facts,
        path=path,
        name=path.rpartition("/")[2],
        is_whole=False if missing else facts.is_whole,
        problem=f"lacks {', '.join(missing[:3])}" if missing else facts.problem,
        component=None if component is None else component.name,
        kind="adapter" if adapter is not None else None if component is None else component.kind,
        places=tuple(SlotView(*slot.split(".", 1)) for slot in slots),
        source=None if component is None else component.source,
        adapter=None if adapter is None else copy_fields(AdapterView, adapter, model_id=adapter.model_type),
        missing_files=tuple(missing[:MOST_MISSING]),
        belongs=tuple(belongs),
    )
