"""The trainer's keys with what each is for, and a configuration in its other form."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from api.domain.settings_view import ModelSettingsView, RequestFormsView
from api.errors import ModelNotFound

Describe = Callable[[str], ModelSettingsView]
Convert = Callable[[str, Mapping[str, Any] | None, Mapping[str, Any] | None, str | None, str | None], RequestFormsView]


class SettingsService:
    """Answers by what the trainer's own checks know; it keeps nothing."""

    def __init__(self, model_types: Collection[str], describe: Describe, convert: Convert) -> None:
        self._model_types = model_types
        self._describe = describe
        self._convert = convert

    def describe(self, model_id: str) -> ModelSettingsView:
        """Every key with which a model type can be trained. Raises ModelNotFound."""
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
        """Both forms of what is given. Raises ModelNotFound, and Invalid with every mistake."""
        self._check(model_id)
        return self._convert(model_id, config, dataset, config_toml, dataset_toml)

    def _check(self, model_id: str) -> None:
        if model_id not in self._model_types:
            raise ModelNotFound(data={"models": list(self._model_types)})
