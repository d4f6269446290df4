"""Views of the trainer's settings, and of a request as JSON and as TOML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SettingView:
    """A setting of the trainer and the values that it accepts. Null bounds mean unlimited or unknown."""

    name: str
    kind: str  #: whole, number, text, switch, list, table or value (of several kinds; `help` says which)
    group: str  #: settings of one group belong together
    help: str
    default: Any  #: the value if the setting is omitted
    least: float | None
    above: float | None  #: exclusive lower bound
    most: float | None
    options: tuple[Any, ...]  #: the allowed values; a `value`, and a text with `is_open`, may have others
    is_open: bool
    is_required: bool
    is_common: bool  #: most trainings set it
    is_path: bool
    only_for: tuple[str, ...] | None  #: values of the table's `type` for which it applies; null: all


@dataclass(frozen=True, slots=True)
class SettingTableView:
    """A table of one of the trainer's two files. The top level has an empty name."""

    name: str
    file: str  #: config or dataset
    is_open: bool  #: also accepts settings that are not listed
    settings: tuple[SettingView, ...]


@dataclass(frozen=True, slots=True)
class ModelSettingsView:
    """All settings for training one model type."""

    model_id: str
    tables: tuple[SettingTableView, ...]


@dataclass(frozen=True, slots=True)
class RequestFormsView:
    """A configuration as JSON and as TOML. Forms that were not given are null."""

    config: Mapping[str, Any] | None
    dataset: Mapping[str, Any] | None
    config_toml: str | None
    dataset_toml: str | None
