"""Build requests from presets, with the paths of local files or of future downloads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from api.catalog.base_models.matching import is_held, locate
from api.catalog.base_models.views import PresetView
from api.domain.models.base_model import CatalogModel, ComponentNeed, LocalWeights, ModelVariant, Precision, Preset
from api.trainers import toml_text


def download_path(need: ComponentNeed, models_root: Path) -> str:
    """Return the path that a download gives a component, below the models' root."""
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
    """Return a preset with its request. `encoder_type` is the `type` of the model's text encoders."""
    loaded, missing = model_table(model, variant, local, models_root, encoder_type, preset.precisions)
    values = {**loaded, **preset.model}
    config = {**preset.config, "model": values}
    directories = [{**_data_source(dataset), "num_repeats": 1}]
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


def _data_source(dataset: str | None) -> dict[str, str]:
    """Return a directory by its path, or a dataset by its name. Without either, the check reports it as missing."""
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
    """Return the table [model] that loads a variant, and the keys whose files are missing.

    `precisions` has the required precision of a file by key.
    """
    paths: dict[str, list[str]] = {}
    missing = []
    for need in (each.of((precisions or {}).get(each.key)) for each in variant.components):
        found = locate(need, local)
        if (found is None or found.problem is not None) and is_held(need, variant, local):
            continue
        if found is None or found.problem is not None:
            missing.append(need.key)
        paths.setdefault(need.key, []).append(
            found.path if found is not None and found.problem is None else download_path(need, models_root)
        )
    values = {"type": model.model_type, **_paths(paths, encoder_type), **variant.settings}
    return values, tuple(dict.fromkeys(missing))


def _paths(paths: Mapping[str, list[str]], encoder_type: str | None) -> dict[str, Any]:
    """Return the keys of [model] with paths."""
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
    """Return the configuration with its tables last: in TOML, keys after a table belong to it."""
    tables = {name: value for name, value in config.items() if isinstance(value, Mapping)}
    return {**{name: value for name, value in config.items() if name not in tables}, **tables}


def find_variant(model: CatalogModel, names: Iterable[str]) -> ModelVariant:
    """Return the first of these variants that the model has, else its first variant."""
    known = {variant.name: variant for variant in model.variants}
    return next((known[name] for name in names if name in known), model.variants[0])
