"""The use cases of presets: users save, share and change the settings of trainings."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from api.domain.access.principal import Principal
from api.domain.finding import make_finding
from api.errors import Finding, FindingText, HiddenPreset, Invalid, NotYours, PresetNotFound
from api.presets.models import MOST_CHARACTERS, MOST_DEPTH, MOST_VALUES, PRESET_ID, OwnPreset
from api.presets.store import PresetStore
from api.util.clock import Clock
from api.util.http.pagination import Page, PageRequest
from api.util.http.validation import excess

#: Returns the errors in the settings of a model type: its `config` and `dataset`, with pointers from their names on.
CheckSettings = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Sequence[Finding]]

#: The names of the settings in a preset, by their names in a request.
_FIELDS = {"config": "settings", "dataset": "dataset"}


class PresetService:
    """Presets of users. A preset belongs to its owner; others see it only if it is shared."""

    def __init__(self, store: PresetStore, check: CheckSettings, clock: Clock) -> None:
        self._store = store
        self._check_settings = check
        self._clock = clock

    def get_page(self, model_type: str | None, by: Principal, page: PageRequest) -> Page[OwnPreset]:
        """Return the presets that a user sees, newest first."""
        return self._store.page(model_type, by.reader, page)

    def get(self, preset_id: str, by: Principal) -> OwnPreset:
        """Return a preset. Raises PresetNotFound, also if the user may not see it."""
        if not re.fullmatch(PRESET_ID, preset_id):
            raise PresetNotFound.named(preset_id)
        found = self._store.get(preset_id)
        if not by.may_see(found.owner, found.shared):
            raise HiddenPreset.named(preset_id)
        return found

    def add(
        self,
        name: str,
        model_type: str,
        settings: Mapping[str, Any],
        dataset: Mapping[str, Any],
        *,
        shared: bool,
        by: Principal,
    ) -> OwnPreset:
        """Save a preset. Raises Invalid with every mistake, PresetExists, TooManyPresets."""
        self._check(model_type, settings, dataset)
        now = self._clock.now()
        new = OwnPreset(secrets.token_hex(16), name, model_type, settings, dataset, shared, by.owner, now, now)
        return self._store.add(new)

    def change(self, preset_id: str, changes: Mapping[str, Any], by: Principal) -> OwnPreset:
        """Change a preset. Raises PresetNotFound, NotYours, Invalid, PresetExists."""
        before = self._get_own(preset_id, by)
        changed = replace(before, **changes, updated_at=self._clock.now())
        self._check(changed.model_type, changed.settings, changed.dataset)
        return self._store.replace(changed, before)

    def delete(self, preset_id: str, by: Principal) -> OwnPreset:
        """Delete a preset and return it. Raises PresetNotFound, NotYours."""
        found = self._get_own(preset_id, by)
        self._store.remove(found)
        return found

    def _get_own(self, preset_id: str, by: Principal) -> OwnPreset:
        found = self.get(preset_id, by)
        if not by.may_change(found.owner):
            raise NotYours("This preset belongs to another user. Only its owner and administrators may change it.")
        return found

    def _check(self, model_type: str, settings: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
        limits = {"depth": MOST_DEPTH, "count": MOST_VALUES, "characters": MOST_CHARACTERS}
        mistakes = [
            make_finding(f"/{name}", FindingText("preset_too_large", "{why}", "Leave some out."), why=too_much)
            for name, values in (("settings", settings), ("dataset", dataset))
            if (too_much := excess(values, **limits)) is not None
        ]
        if not mistakes:
            found = self._check_settings(model_type, settings, dataset)
            mistakes = [replace(each, pointer=_renamed(each.pointer)) for each in found]
        if mistakes:
            raise Invalid(mistakes=mistakes)


def _renamed(pointer: str) -> str:
    """Return the pointer into a preset for one into a request."""
    name, slash, rest = pointer.removeprefix("/").partition("/")
    return f"/{_FIELDS.get(name, name)}{slash}{rest}"
