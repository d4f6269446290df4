"""The use cases of the model catalog: model types with their local files, presets, and weight files."""

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
from api.domain.read_scope import ReadScope, current_scope
from api.errors import Finding, Invalid, ModelNotFound, PresetNotFound, WeightsNotFound
from api.files.weights.examination import describe, examine
from api.files.weights.fingerprints.text_encoders import UNKNOWN_LANGUAGE_MODEL
from api.files.weights.header import Unsound, merged, read_header
from api.files.weights.recognition import fingerprints_for, titles_for
from api.files.weights.scan import LocalModels, is_text
from api.files.weights.shards import missing_shards
from api.training.view import show_findings

#: The limits of files of one directory that are read as one model, and of names in it that are considered.
_MAX_SHARDS, _MAX_NAMES = 64, 10_000

#: The key of [model] for adapters.
_ADAPTERS = "merge_adapters"

#: The limit of tensors of one model; the largest model has 5,000.
_MAX_TENSORS = 100_000


#: Returns the errors and warnings of a training of this model type with this path under this key of [model].
CheckPlace = Callable[[str, str, Path], tuple[Sequence[Finding], Sequence[Finding]]]

#: Returns the GPU memory that comparable trainings used, by model type, configuration and dataset; None if unknown.
FindMemory = Callable[[str, Mapping[str, Any], Mapping[str, Any]], PlannedMemory | None]


class CatalogService:
    """The use cases of the catalog. They change nothing."""

    def __init__(
        self,
        local: LocalModels,
        models: Mapping[str, CatalogModel],
        presets: Sequence[Preset],
        encoder_types: Mapping[str, str | None],
        models_root: Path,
        find_examined: Callable[[str, ReadScope], Path | None],
        example: Path | None = None,
        find_upload: Callable[[str], Path] | None = None,
        find_memory: FindMemory = lambda model_type, config, dataset: None,
        check_candidate: CheckPlace = lambda model_type, key, path: ((), ()),
    ) -> None:
        """Create the service.

        `encoder_types` has the `type` of the text encoders by model type. `find_examined` resolves a path, or returns
        None if the user may not have it examined. `example` is a configuration to copy. `find_upload` returns the path
        of an upload that the user may see.
        """
        self.local = local
        self._models = models
        self._presets = presets
        self._encoder_types = encoder_types
        self._models_root = models_root
        self._find_examined = find_examined
        self.example = example  #: may change at run time
        self._find_upload = find_upload
        self._find_memory = find_memory
        self._check_place_of = check_candidate

    def list_models(self) -> list[ModelView]:
        """Return every model type with its local files."""
        local = self.local.scan()
        example = str(self.example) if self.example is not None and self.example.is_file() else None
        return [self._view(model, local, example) for model in self._models.values()]

    def list_presets(self, model_id: str, dataset: str | None = None) -> list[PresetView]:
        """Return the presets of a model type, as requests. Raises ModelNotFound."""
        model = self._get(model_id)
        local = self.local.scan()
        return [self._request(preset, model, local, dataset) for preset in self._presets_of(model_id)]

    def get_preset(self, model_id: str, name: str, dataset: str | None = None) -> PresetView:
        """Return a preset. Raises ModelNotFound, PresetNotFound."""
        model = self._get(model_id)
        preset = next((each for each in self._presets_of(model_id) if each.name == name), None)
        if preset is None:
            known = [each.name for each in self._presets_of(model_id)]
            raise PresetNotFound(data={"presets": known})
        return self._request(preset, model, self.local.scan(), dataset)

    def examine(self, text: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """Examine a path, and whether it belongs under a key of a model type.

        Raises WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        path = self._find(text)
        examine = self._examine_directory if os.path.isdir(path) else self._examine_file
        placed = self._place(examine(path, text), model_id, key)
        if model_id is None or key is None:
            return placed
        # The trainer uses the name of a link, not that of its target.
        errors, warnings = self._check_place_of(model_id, key, Path(text))
        return replace(
            placed,
            fits=False if errors else placed.fits,
            errors=show_findings(errors),
            warnings=show_findings(warnings),
        )

    def examine_upload(self, upload_id: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """Examine the received bytes of an upload, and whether they belong under a key of a model type.

        Raises UploadNotFound, WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        if self._find_upload is None:
            raise WeightsNotFound
        # The path of an upload is internal and temporary, so it is not shown.
        found = self._examine_file(self._find_upload(upload_id), upload_id)
        return self._place(found, model_id, key)

    def _check_place(self, model_id: str | None, key: str | None) -> None:
        """Check a slot. Raises ModelNotFound, or Invalid for a key that is not of this model type."""
        if model_id is None:
            return
        known = {need.key for variant in self._get(model_id).variants for need in variant.components}
        if key is not None and key not in known and not fingerprints_for(f"{model_id}.{key}"):
            message = f"must be a key of {model_id}: {', '.join(sorted(known))}"
            raise Invalid(mistakes=[Finding("/key", message)])

    def _place(self, found: WeightsView, model_id: str | None, key: str | None) -> WeightsView:
        """Add to the facts whether the file belongs under a key of a model type, if the request names one."""
        if model_id is None or key is None:
            return found
        belongs = fingerprints_for(f"{model_id}.{key}")
        is_known = found.component not in (None, UNKNOWN_LANGUAGE_MODEL) and bool(belongs)
        fits = any(each.name == found.component for each in belongs) if is_known else None
        if found.adapter is not None or (key == _ADAPTERS and found.component is not None):
            fits = found.adapter is not None and key == _ADAPTERS
        return replace(found, fits=fits, belongs=titles_for(f"{model_id}.{key}"))

    def _find(self, text: str) -> Path:
        """Resolve a path. Raises WeightsNotFound, also for files that the user may not read."""
        found = self._find_examined(text, current_scope.get())
        if found is None or not os.access(found, os.R_OK):
            raise WeightsNotFound
        return found

    def _examine_file(self, path: Path, shown: str) -> WeightsView:
        try:
            return view_weights(shown, examine(path))
        except (OSError, ValueError):
            raise WeightsNotFound from None

    def _examine_directory(self, path: Path, shown: str) -> WeightsView:
        """Examine a directory as one model. Raises WeightsNotFound."""
        try:
            names = sorted(_names(path))
            weights = [name for name in names if name.endswith(".safetensors")][:_MAX_SHARDS]
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
            if sum(len(each.shapes) for each in headers) > _MAX_TENSORS:
                raise WeightsNotFound("The files of this directory have too many tensors for one model.")
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
        config, data = made.request["config"], made.request["dataset"]
        return replace(made, memory=self._find_memory(model.model_type, config, data))


def _names(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry, _ in zip(entries, range(_MAX_NAMES), strict=False) if is_text(entry.name)]
