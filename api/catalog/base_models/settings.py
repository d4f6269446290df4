"""The use cases of settings: describe the trainer's keys, and convert configurations."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from api.domain.models.settings_view import ModelSettingsView, RequestFormsView
from api.errors import ModelNotFound

Describe = Callable[[str], ModelSettingsView]
Convert = Callable[[str, Mapping[str, Any] | None, Mapping[str, Any] | None, str | None, str | None], RequestFormsView]


class SettingsService:
    """Describes and converts by the facts of the trainer's own checks."""

    def __init__(self, model_types: Collection[str], describe: Describe, convert: Convert) -> None:
        self._model_types = model_types
        self._describe = describe
        self._convert = convert

    def describe(self, model_id: str) -> ModelSettingsView:
        """Return every key of a model type. Raises ModelNotFound."""
        self._check(model_id)
        return self._describe(model_id)

    def convert(
        self,
        model_id: str,
        config: Mapping[str, Any] | None = None,
        dataset: Mapping[str, Any] | None = None,
        config_toml: str | None = None,
        dataset_toml: str | None = None,
    ) -> RequestFormsView:
        """Return both forms of a configuration. Raises ModelNotFound, and Invalid with every mistake."""
        self._check(model_id)
        return self._convert(model_id, config, dataset, config_toml, dataset_toml)

    def _check(self, model_id: str) -> None:
        if model_id not in self._model_types:
            raise ModelNotFound(data={"models": list(self._model_types)})
