"""What answers show of the trainer's keys, and of a request in both of its forms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SettingView:
    """A key of the trainer, and what it may hold; null: no bound, or not known."""

    name: str
    kind: str  #: whole, number, text, switch, list, table or value (of several kinds; `help` says which)
    group: str  #: keys that belong together
    help: str
    default: Any  #: what holds when it is left out
    least: float | None
    above: float | None  #: it must be more than that
    most: float | None
    options: tuple[Any, ...]  #: what may be written; a `value`, and a text with `is_open`, may be another
    is_open: bool
    is_required: bool
    is_common: bool  #: most trainings set it
    is_path: bool
    only_for: tuple[str, ...] | None  #: the values of the table's `type` with which it is read; null: with each


@dataclass(frozen=True, slots=True)
class SettingTableView:
    """A table of the trainer's files: its name, which is empty for the top level, in one of the two."""

    name: str
    file: str  #: config or dataset
    is_open: bool  #: it takes keys that are not listed
    settings: tuple[SettingView, ...]


@dataclass(frozen=True, slots=True)
class ModelSettingsView:
    """Every key with which a model type can be trained."""

    model_id: str
    tables: tuple[SettingTableView, ...]


@dataclass(frozen=True, slots=True)
class RequestFormsView:
    """A configuration in both forms; what was not given is null."""

    config: Mapping[str, Any] | None
    dataset: Mapping[str, Any] | None
    config_toml: str | None
    dataset_toml: str | None
