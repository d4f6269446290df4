"""Models: what the trainer's types are made of, what of it is on this machine and whole, and ready requests."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.catalog.catalog_views import MOST_MISSING, view_model, view_weights
from api.catalog.preset_requests import find_variant, make_request, model_table
from api.catalog.views import ModelView, PresetView, WeightsView
from api.domain.catalog import CatalogModel, LocalWeights, ModelVariant, Preset
from api.domain.measured_memory import PlannedMemory
from api.domain.sight import Sight, current_sight
from api.errors import Invalid, Mistake, ModelNotFound, PresetNotFound, WeightsNotFound
from api.files.weights.examination import describe, examine
from api.files.weights.fingerprints.table import titles_of, what_belongs
from api.files.weights.fingerprints.text_encoders import UNKNOWN_LANGUAGE_MODEL
from api.files.weights.header import Unsound, merged, read_header
from api.files.weights.scan import LocalModels, is_text
from api.files.weights.shards import missing_shards
from api.training.view import show_findings

#: The most files of one directory that are read as one model, and the most names in it that are looked at.
_MOST_SHARDS, _MOST_NAMES = 64, 10_000

#: The key of [model] under which adapters stand.
_ADAPTERS = "merge_adapters"

#: The most tensors that they have together; the largest model has 5,000.
_MOST_TENSORS = 100_000


#: The errors and warnings of a training whose [model] names a path under a key of a model type.
CheckPlace = Callable[[str, str, Path], tuple[Sequence[Mistake], Sequence[Mistake]]]

#: What trainings of a model type with such a configuration and dataset used of GPUs; None: nothing tells.
FindMemory = Callable[[str, Mapping[str, Any], Mapping[str, Any]], PlannedMemory | None]


class CatalogService:
    """Answers about models; it changes nothing."""

    def __init__(
        self,
        local: LocalModels,
        models: Mapping[str, CatalogModel],
        presets: Sequence[Preset],
        encoder_types: Mapping[str, str | None],
        models_root: Path,
        find_examined: Callable[[str, Sight], Path | None],
        example: Path | None = None,
        find_upload: Callable[[str], Path] | None = None,
        find_memory: FindMemory = lambda model_type, config, dataset: None,
        check_place: CheckPlace = lambda model_type, key, path: ((), ()),
    ) -> None:
        """`encoder_types` has by model type what its text encoders are called; `find_examined` resolves a path for who
        may have it examined, and returns None for all others; `example` is a configuration to copy;
        `find_upload` tells where an upload lies that whoever asks may see, `find_memory` what trainings used here,
        `check_place` what the check of a training says of a path.
        """
        self._local = local
        self._models = models
        self._presets = presets
        self._encoder_types = encoder_types
        self._models_root = models_root
        self._find_examined = find_examined
        self._example = example
        self._find_upload = find_upload
        self._find_memory = find_memory
        self._check_place_of = check_place

    def list_models(self) -> list[ModelView]:
        """Every model type, with what of it is here now."""
        local = self._local.scan()
        example = str(self._example) if self._example is not None and self._example.is_file() else None
        return [self._view(model, local, example) for model in self._models.values()]

    def list_presets(self, model_id: str, dataset: str | None = None) -> list[PresetView]:
        """The presets of a model type, as requests. Raises ModelNotFound."""
        model = self._get(model_id)
        local = self._local.scan()
        return [self._request(preset, model, local, dataset) for preset in self._presets_of(model_id)]

    def get_preset(self, model_id: str, name: str, dataset: str | None = None) -> PresetView:
        """One of them. Raises ModelNotFound, PresetNotFound."""
        model = self._get(model_id)
        preset = next((each for each in self._presets_of(model_id) if each.name == name), None)
        if preset is None:
            known = [each.name for each in self._presets_of(model_id)]
            raise PresetNotFound(data={"presets": known})
        return self._request(preset, model, self._local.scan(), dataset)

    def examine(self, text: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """What is at a path, and whether it belongs under a key of a model type.

        Raises WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        path = self._find(text)
        look = self._examine_directory if os.path.isdir(path) else self._examine_file
        placed = self._place(look(path, text), model_id, key)
        if model_id is None or key is None:
            return placed
        # Of a link the trainer goes by its own name.
        errors, warnings = self._check_place_of(model_id, key, Path(text))
        return replace(
            placed,
            fits=False if errors else placed.fits,
            errors=show_findings(errors),
            warnings=show_findings(warnings),
        )

    def examine_upload(self, upload_id: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """What the bytes of an upload are that are here by now, and whether that belongs under a key.

        Raises UploadNotFound, WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        if self._find_upload is None:
            raise WeightsNotFound
        # Where it lies is nobody's business: its place is for a while, and the service's own.
        found = self._examine_file(self._find_upload(upload_id), upload_id)
        return self._place(found, model_id, key)

    def _check_place(self, model_id: str | None, key: str | None) -> None:
        """Raises ModelNotFound, or Invalid for a key that names no weights of this model type."""
        if model_id is None:
            return
        known = {need.key for variant in self._get(model_id).variants for need in variant.components}
        if key is not None and key not in known and not what_belongs(f"{model_id}.{key}"):
            told = f"names no weights of {model_id}: {', '.join(sorted(known))} do"
            raise Invalid(mistakes=[Mistake("/key", told)])

    def _place(self, found: WeightsView, model_id: str | None, key: str | None) -> WeightsView:
        """The same, with whether it belongs under a key of a model type, where one is named."""
        if model_id is None or key is None:
            return found
        belongs = what_belongs(f"{model_id}.{key}")
        is_known = found.component not in (None, UNKNOWN_LANGUAGE_MODEL) and bool(belongs)
        fits = any(each.name == found.component for each in belongs) if is_known else None
        if found.adapter is not None or (key == _ADAPTERS and found.component is not None):
            fits = found.adapter is not None and key == _ADAPTERS
        return replace(found, fits=fits, belongs=titles_of(f"{model_id}.{key}"))

    def _find(self, text: str) -> Path:
        """Where a path leads. Raises WeightsNotFound, also for what the caller may not read."""
        found = self._find_examined(text, current_sight.get())
        if found is None or not os.access(found, os.R_OK):
            raise WeightsNotFound
        return found

    def _examine_file(self, path: Path, shown: str) -> WeightsView:
        try:
            return view_weights(shown, examine(path))
        except (OSError, ValueError):
            raise WeightsNotFound from None

    def _examine_directory(self, path: Path, shown: str) -> WeightsView:
        """A directory whose files are one model. Raises WeightsNotFound."""
        try:
            names = sorted(_names(path))
            weights = [name for name in names if name.endswith(".safetensors")][:_MOST_SHARDS]
            files = {name: self._find(f"{path}/{name}") for name in weights}
            size = sum(file.stat().st_size for file in files.values())
        except OSError:
            raise WeightsNotFound from None
        if not files:
            raise WeightsNotFound("This directory has no .safetensors files.")
        missing = missing_shards(path, names)
        headers = []
        for name, file in files.items():
            try:
                header = read_header(file)
            except Unsound:
                found = self._examine_file(file, f"{shown.rstrip('/')}/{name}")
                return replace(found, missing_files=tuple(missing[:MOST_MISSING]))
            headers.extend([header] if header is not None else [])
            if sum(len(each.shapes) for each in headers) > _MOST_TENSORS:
                raise WeightsNotFound("The files of this directory have more tensors than any model.")
        return view_weights(shown, describe(merged(headers), size), missing)

    def _get(self, model_id: str) -> CatalogModel:
        if model_id not in self._models:
            raise ModelNotFound(data={"models": list(self._models)})
        return self._models[model_id]

    def _presets_of(self, model_id: str) -> list[Preset]:
        found = [preset for preset in self._presets if preset.model_type == model_id]
        return sorted(found, key=lambda preset: preset.tier_gb)

    def _view(self, model: CatalogModel, local: LocalWeights, example: str | None) -> ModelView:
        encoder = self._encoder_types.get(model.model_type)

        def table_of(variant: ModelVariant) -> Mapping[str, Any]:
            return model_table(model, variant, local, self._models_root, encoder)[0]

        return view_model(model, local, self._presets_of(model.model_type), example, table_of)

    def _request(self, preset: Preset, model: CatalogModel, local: LocalWeights, dataset: str | None) -> PresetView:
        variant = find_variant(model, [preset.variant])
        encoder = self._encoder_types.get(model.model_type)
        made = make_request(preset, model, variant, local, self._models_root, encoder, dataset)
        given = made.request
        return replace(made, memory=self._find_memory(model.model_type, given["config"], given["dataset"]))


def _names(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry, _ in zip(entries, range(_MOST_NAMES), strict=False) if is_text(entry.name)]
