"""The checklist of what a new installation needs."""

from dataclasses import dataclass, field
from enum import StrEnum

from api.domain.reason import ReasonCode
from api.system.settings_views import SettingValue


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
