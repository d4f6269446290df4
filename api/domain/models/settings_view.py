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
    help: str  #: what it does
    default: Any  #: the value if the setting is omitted
    least: float | None  #: lowest value; null: no limit
    above: float | None  #: exclusive lower bound
    most: float | None  #: highest value; null: no limit
    options: tuple[Any, ...]  #: the allowed values; a `value`, and a text with `is_open`, may have others
    is_open: bool  #: whether other values than `options` are accepted
    is_required: bool  #: whether the trainer needs it
    is_common: bool  #: most trainings set it
    is_path: bool  #: whether it is a path on the server
    only_for: tuple[str, ...] | None  #: values of the table's `type` for which it applies; null: all


@dataclass(frozen=True, slots=True)
class SettingTableView:
    """A table of one of the trainer's two files. The top level has an empty name."""

    name: str
    file: str  #: config or dataset
    is_open: bool  #: also accepts settings that are not listed
    settings: tuple[SettingView, ...]  #: its settings


@dataclass(frozen=True, slots=True)
class ModelSettingsView:
    """All settings for training one model type."""

    model_id: str
    tables: tuple[SettingTableView, ...]  #: of both files


@dataclass(frozen=True, slots=True)
class RequestFormsView:
    """A configuration as JSON and as TOML. Forms that were not given are null."""

    config: Mapping[str, Any] | None  #: the configuration as JSON
    dataset: Mapping[str, Any] | None  #: the dataset file as JSON
    config_toml: str | None  #: the configuration as text
    dataset_toml: str | None  #: the dataset file as text
