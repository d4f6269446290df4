"""A known cause of failures, as the modules of `causes/` list them."""

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from api.domain.tasks.cause import CauseCode


@dataclass(frozen=True, slots=True)
class KnownCause:
    """What an error of a trainer looks like, what caused it, and what to do.

    Texts begin in lower case and have no full stop. `{what}` in a remedy becomes the first group of the pattern.
    """

    code: str  #: stable identifier, which is part of the codes of its texts
    _: KW_ONLY
    pattern: str  #: occurs in the line of the error, or for errors of the trainer in that line as `annotate` returns it
    within: str | None = None  #: must also occur in a line of the traceback
    cause: CauseCode | None = None  #: None if the trainer's error itself is the cause
    detail: str | None = None  #: what happened; given together with `cause`, else the error is shown
    detail_zh: str | None = None
    remedy: str
    remedy_zh: str
    examples: Sequence[str]  #: lines for which it was written; the last lines of a traceback without its first one
    names_module: bool = False  #: the group is a Python module, whose package may have another name
    is_guess: bool = False  #: says less than the cause of an earlier exception that led to this one
    unless_place: bool = False  #: does not apply if the place of the error is known
    is_consequence: bool = False  #: ranks also report it after another error, which then is the cause
    while_caching: bool = False  #: applies only if the dataset was being cached
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _within: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(self.pattern))
        object.__setattr__(self, "_within", None if self.within is None else re.compile(self.within))

    @property
    def detail_code(self) -> str:
        """The code of the detail."""
        return f"{self.code}_detail"

    @property
    def remedy_code(self) -> str:
        """The code of the remedy."""
        return f"hint_{self.code}" if self.cause is None else f"{self.code}_remedy"

    def occurs_in(self, text: str) -> bool:
        """Return whether the pattern occurs in a line, whatever its traceback."""
        return self._pattern.search(text) is not None

    def match(self, text: str, traceback: Sequence[str]) -> re.Match[str] | None:
        """Return the match of the pattern if this cause explains the error, else None."""
        found = self._pattern.search(text)
        if found is None or self._within is None or any(self._within.search(line) for line in traceback):
            return found
        return None
