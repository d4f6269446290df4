"""What a check finds: mistakes with their places, collected, never raised."""

from collections.abc import Iterable

from api.errors import Mistake
from api.util.bounds import MAX_MISTAKES, capped


class Findings:
    """Errors, which prevent a start, and warnings, which do not. The same finding counts once."""

    def __init__(self, accepts_risks: bool = False) -> None:
        """With `accepts_risks` what could harm the machine is only a warning."""
        self._accepts_risks = accepts_risks
        self._errors: dict[Mistake, None] = {}
        self._warnings: dict[Mistake, None] = {}
        self._more_errors = self._more_warnings = 0  #: how many were found besides those that are kept

    @property
    def errors(self) -> tuple[Mistake, ...]:
        return tuple(capped(tuple(self._errors), self._more_errors))

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        return tuple(capped(tuple(self._warnings), self._more_warnings))

    @property
    def error_count(self) -> int:
        """How many errors there are: those that are only counted, too."""
        return len(self._errors) + self._more_errors

    @property
    def takes_warnings(self) -> bool:
        """Whether another warning would be kept, not only counted: else nobody need work out advice for it."""
        return len(self._warnings) < MAX_MISTAKES

    def error(self, at: str, message: str, remedy: str | None = None, about: Iterable[str] = ()) -> None:
        """Records a mistake that prevents a start; `about` names the files that it is about."""
        self._more_errors += _add(self._errors, Mistake(at, message, remedy, about=tuple(about)))

    def warn(self, at: str, message: str, remedy: str | None = None, about: Iterable[str] = ()) -> None:
        """Records what does not prevent a start, but its owner should know."""
        self._more_warnings += _add(self._warnings, Mistake(at, message, remedy, about=tuple(about)))

    def risk(self, at: str, message: str, remedy: str | None = None) -> None:
        """Records what its owner may want, and what could harm the machine."""
        if self._accepts_risks:
            self.warn(at, message, remedy)
        else:
            self.error(at, message, remedy)

    def take(self, inner: "Findings", at: str, label: str) -> None:
        """Adds the findings of another file, all at the place that names that file; the label says which it is."""
        for mistake in inner.errors:
            self.error(at, _labelled(label, mistake), mistake.remedy)
        for mistake in inner.warnings:
            self.warn(at, _labelled(label, mistake), mistake.remedy)


def _labelled(label: str, mistake: Mistake) -> str:
    return f"{label}{', at ' + mistake.pointer if mistake.pointer else ''}: {mistake.message}"


def _add(found: dict[Mistake, None], mistake: Mistake) -> bool:
    """Adds a mistake; returns whether there are too many already, so that it is only counted."""
    if mistake in found:
        return False
    if len(found) >= MAX_MISTAKES:
        return True
    found[mistake] = None
    return False
