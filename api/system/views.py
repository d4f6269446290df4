"""Answers about settings that can be changed without a restart, the setup checklist, and files of the server."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode
from api.util.http.pagination import Pagination

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


class SetupState(StrEnum):
    """The state of a step."""

    DONE = "done"
    MISSING = "missing"
    PROBLEM = "problem"  #: it is there and does not work
    CHECKING = "checking"  #: a check runs, or has not run yet
    OPTIONAL = "optional"  #: missing, and not needed


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step, and what to do for it."""

    id: str  #: stable name: `trainer`, `models`, `captions`, `dataset`, `first_training`, `notifications`, `access`
    state: SetupState  #: further states may be added
    message: str  #: how it is, as a sentence
    message_code: ReasonCode  #: code of the message, for programs and translations
    fix: str | None = None  #: what to do, as a sentence; null: nothing
    fix_code: ReasonCode | None = None  #: code of that sentence
    command: str | None = None  #: command that fixes it; null if no command does
    settings: tuple[str, ...] = ()  #: settings that can be changed for it without a restart
    fixed_by: str | None = None  #: setting of the environment that prevents that; null: none
    #: Values for those settings that were found on this server; only for callers who may change them.
    suggestions: dict[str, SettingValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetupChecklist:
    """What a new installation needs."""

    complete: bool  #: whether every step is done, checked or optional
    steps: tuple[SetupStep, ...]  #: in the order in which to do them


class EntryKind(StrEnum):
    """What an entry is."""

    DIRECTORY = "directory"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A directory or file."""

    name: str  #: its name; of a start, the whole path
    path: str  #: absolute path
    kind: EntryKind  #: what it is
    size_bytes: int | None  #: size of a file; null for directories, or if unknown
    modified_at: datetime | None  #: last change; null if unknown


@dataclass(frozen=True, slots=True)
class FileListing:
    """A page of the entries of a directory: directories first, then files, by name."""

    path: str | None  #: the directory, without links; null: the list of directories in which to start
    parent: str | None  #: the directory above; null if that may not be listed
    entries: tuple[FileEntry, ...]
    truncated: bool  #: whether the directory has more entries than are read
    pagination: Pagination
