"""Answers about settings that can be changed without a restart."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: A setting's value in JSON.
SettingValue = str | int | float | list[str] | None


class RunTimeSettingKind(StrEnum):
    """The form of a value."""

    TEXT = "text"
    SECRET = "secret"  #: text that is never shown  # noqa: S105
    ADDRESS = "address"
    NUMBER = "number"
    WHOLE_NUMBER = "whole_number"
    DIRECTORY = "directory"  #: an absolute path
    FILE = "file"  #: an absolute path
    DIRECTORIES = "directories"  #: a list of absolute paths


class SettingSource(StrEnum):
    """Where a value comes from, in the order of precedence."""

    ENVIRONMENT = "environment"  #: a flag, an environment variable or `.env`
    DATABASE = "database"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class RunTimeSettingView:
    """A setting that can be changed without a restart."""

    key: str  #: name, as in the environment
    kind: RunTimeSettingKind  #: form of the value; further types may be added
    value: SettingValue  #: present value; a secret is `***`; null: none
    source: SettingSource  #: where the value comes from
    default: str  #: the default in words
    description: str  #: what it does
    fixed_by: str | None  #: setting of the environment that prevents changes; null: it can be changed
    problem: str | None  #: why the stored value is not used; null if it is
    restart_needed: bool  #: whether a change takes effect only after a restart
    updated_at: datetime | None  #: time of the last change; null if it was never changed
    updated_by: str | None  #: user who changed it last; null if it was never changed


@dataclass(frozen=True, slots=True)
class RunTimeSettingList:
    """Every setting that can be changed without a restart."""

    settings: tuple[RunTimeSettingView, ...]  #: in a fixed order
