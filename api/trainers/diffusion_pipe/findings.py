"""Collects the findings of a check."""

from collections.abc import Iterable

from api.errors import Finding
from api.util.bounds import MAX_MISTAKES, capped


class Findings:
    """Errors, which prevent a start, and warnings, which do not. Equal findings count once."""

    def __init__(self, accepts_risks: bool = False) -> None:
        """With `accepts_risks`, possible harm to the machine is only a warning."""
        self._accepts_risks = accepts_risks
        self._errors: dict[Finding, None] = {}
        self._warnings: dict[Finding, None] = {}
        self._more_errors = self._more_warnings = 0  #: number of findings that are counted but not stored

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(capped(tuple(self._errors), self._more_errors))

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(capped(tuple(self._warnings), self._more_warnings))

    @property
    def error_count(self) -> int:
        """The number of all errors, including those that are only counted."""
        return len(self._errors) + self._more_errors

    @property
    def stores_warnings(self) -> bool:
        """Whether another warning would be stored. If not, callers need not compute its remedy."""
        return len(self._warnings) < MAX_MISTAKES

    def error(self, at: str, message: str, remedy: str | None = None, about: Iterable[str] = ()) -> None:
        """Add an error, which prevents a start; `about` lists the files concerned."""
        self._more_errors += _add(self._errors, Finding(at, message, remedy, about=tuple(about)))

    def warn(self, at: str, message: str, remedy: str | None = None, about: Iterable[str] = ()) -> None:
        """Add a warning, which does not prevent a start."""
        self._more_warnings += _add(self._warnings, Finding(at, message, remedy, about=tuple(about)))

    def risk(self, at: str, message: str, remedy: str | None = None) -> None:
        """Add a finding about a request that could harm the machine: an error unless risks are accepted."""
        if self._accepts_risks:
            self.warn(at, message, remedy)
        else:
            self.error(at, message, remedy)

    def merge(self, inner: "Findings", at: str, label: str) -> None:
        """Add the findings about another file, all at the pointer that names it, with the label as prefix."""
        for mistake in inner.errors:
            self.error(at, _labelled(label, mistake), mistake.remedy)
        for mistake in inner.warnings:
            self.warn(at, _labelled(label, mistake), mistake.remedy)


def _labelled(label: str, mistake: Finding) -> str:
    return f"{label}{', at ' + mistake.pointer if mistake.pointer else ''}: {mistake.message}"


def _add(found: dict[Finding, None], mistake: Finding) -> bool:
    """Add a finding, and return whether the limit is reached, so that it is only counted."""
    if mistake in found:
        return False
    if len(found) >= MAX_MISTAKES:
        return True
    found[mistake] = None
    return False
