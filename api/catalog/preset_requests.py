"""Makes ready requests of presets: with the paths of what is here, or of where a download would put it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from api.catalog.matching import locate
from api.catalog.views import PresetView
from api.domain.catalog import CatalogModel, ComponentNeed, LocalWeights, ModelVariant, Precision, Preset
from api.trainers import toml_text


def place_of(need: ComponentNeed, models_root: Path) -> str:
    """Where a download puts a component: below the models' root, as in its repository."""
    if not need.sources:
        return str(models_root / need.key)
    source = need.sources[0]
    return str(models_root / source.repository / source.path).rstrip("/")


def make_request(
    preset: Preset,
    model: CatalogModel,
    variant: ModelVariant,
    local: LocalWeights,
    models_root: Path,
    encoder_type: str | None,
    dataset: str | None = None,
) -> PresetView:
    """The request of a preset. `encoder_type` is the `type` of the model's text encoders."""
    loaded, missing = model_table(model, variant, local, models_root, encoder_type, preset.precisions)
    values = {**loaded, **preset.model}
    config = {**preset.config, "model": values}
    directories = [{**_place_of_data(dataset), "num_repeats": 1}]
    request = {
        "model_type": model.model_type,
        "gpu_count": 1,
        "config": config,
        "dataset": {**preset.dataset, "directories": directories},
        **({"env": dict(preset.env)} if preset.env else {}),
    }
    return PresetView(
        name=preset.name,
        model_id=model.model_type,
        variant=variant.name,
        title=preset.title,
        memory_gb=preset.tier_gb,
        known_memory_gb=preset.known_memory_gb,
        memory=None,
        source=preset.source,
        request=request,
        config_toml=toml_text.write(_tables_last(config)),
        dataset_toml=toml_text.write({**preset.dataset, "directory": directories}),
        missing=missing,
        needs_dataset=dataset is None,
    )


def _place_of_data(dataset: str | None) -> dict[str, str]:
    """A directory by its path, else a dataset by its name; nothing where none was named, which a check then says."""
    if dataset is None:
        return {}
    return {"path" if dataset.startswith("/") else "dataset": dataset}


def model_table(
    model: CatalogModel,
    variant: ModelVariant,
    local: LocalWeights,
    models_root: Path,
    encoder_type: str | None,
    precisions: Mapping[str, Precision] | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The table [model] that loads a variant, and the keys whose files are not here.

    `precisions` has by key the precision that a file must have.
    """
    paths: dict[str, list[str]] = {}
    missing = []
    for need in (each.of((precisions or {}).get(each.key)) for each in variant.components):
        found = locate(need, local)
        if found is None or found.problem is not None:
            missing.append(need.key)
        paths.setdefault(need.key, []).append(
            found.path if found is not None and found.problem is None else place_of(need, models_root)
        )
    values = {"type": model.model_type, **_paths(paths, encoder_type), **variant.settings}
    return values, tuple(dict.fromkeys(missing))


def _paths(paths: Mapping[str, list[str]], encoder_type: str | None) -> dict[str, Any]:
    """The keys of [model] that name files."""
    values: dict[str, Any] = {}
    for key, found in paths.items():
        if key == "text_encoders":
            named = {"path": found[0]} if len(found) == 1 else {"paths": found}
            values[key] = [{**named, "type": encoder_type}]
        elif key == "merge_adapters":
            values[key] = found
        else:
            values[key] = found[0]
    return values


def _tables_last(config: Mapping[str, Any]) -> dict[str, Any]:
    """In TOML whatever stands behind a table belongs to it."""
    tables = {name: value for name, value in config.items() if isinstance(value, Mapping)}
    return {**{name: value for name, value in config.items() if name not in tables}, **tables}


def find_variant(model: CatalogModel, names: Iterable[str]) -> ModelVariant:
    """The variant of the first of these names that the model has, else its first."""
    known = {variant.name: variant for variant in model.variants}
    return next((known[name] for name in names if name in known), model.variants[0])
