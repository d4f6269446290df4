"""Presets as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: Maximum number of presets of one user.
MOST_PRESETS = 200

#: Limits on the settings of a preset. The largest example of the trainer has 60 values.
MOST_VALUES, MOST_DEPTH, MOST_CHARACTERS = 1_000, 8, 64_000

PRESET_ID = r"^[0-9a-f]{32}$"


@dataclass(frozen=True, slots=True)
class OwnPreset:
    """The settings of a training under a name."""

    preset_id: str
    name: str
    model_type: str
    settings: Mapping[str, Any]  #: `config` of `/training/start`
    dataset: Mapping[str, Any]  #: `dataset` of `/training/start`, without its directories
    shared: bool  #: whether all users see it; only its owner and administrators may change it
    owner: str | None  #: null if the service had no keys
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PresetDeleted:
    """The deleted preset."""

    preset_id: str
