"""The use cases of the model catalog: model types with their local files, presets, and weight files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.catalog.base_models.examination import require_model
from api.catalog.base_models.preset_requests import find_variant, make_request, model_table
from api.catalog.base_models.view_builders import view_model
from api.catalog.base_models.views import ModelView, PresetView
from api.domain.models.base_model import CatalogModel, LocalWeights, ModelVariant, Preset
from api.domain.tasks.measured_memory import PlannedMemory
from api.errors import PresetNotFound
from api.files.weights.scan import LocalModels

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
        example: Path | None = None,
        find_memory: FindMemory = lambda model_type, config, dataset: None,
    ) -> None:
        """Create the service.

        `encoder_types` has the `type` of the text encoders by model type. `example` is a configuration to copy.
        """
        self.local = local
        self._models = models
        self._presets = presets
        self._encoder_types = encoder_types
        self._models_root = models_root
        self.example = example  #: may change at run time
        self._find_memory = find_memory

    def list_models(self) -> list[ModelView]:
        """Return every model type with its local files."""
        local = self.local.scan()
        example = str(self.example) if self.example is not None and self.example.is_file() else None
        return [self._view(model, local, example) for model in self._models.values()]

    def list_presets(self, model_id: str, dataset: str | None = None) -> list[PresetView]:
        """Return the presets of a model type, as requests. Raises ModelNotFound."""
        model = require_model(self._models, model_id)
        local = self.local.scan()
        return [self._request(preset, model, local, dataset) for preset in self._presets_of(model_id)]

    def get_preset(self, model_id: str, name: str, dataset: str | None = None) -> PresetView:
        """Return a preset. Raises ModelNotFound, PresetNotFound."""
        model = require_model(self._models, model_id)
        preset = next((each for each in self._presets_of(model_id) if each.name == name), None)
        if preset is None:
            known = [each.name for each in self._presets_of(model_id)]
            raise PresetNotFound(data={"presets": known})
        return self._request(preset, model, self.local.scan(), dataset)

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
