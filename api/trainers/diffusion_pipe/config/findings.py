"""Collect the findings of a check."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from api.domain.finding import make_finding, wrap_finding
from api.domain.reason import Reason
from api.errors import Finding, FindingText
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode
from api.util.http.validation import MAX_MISTAKES, capped


class Findings:
    """Errors, which prevent a start, and warnings, which do not. Equal findings count once."""

    def __init__(self, accepts_risks: bool = False, code: TrainerCode | None = None) -> None:
        """With `accepts_risks`, possible harm to the machine is only a warning. `code` is that of the checkout."""
        self.code = code or TrainerCode()
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

    def error(
        self, at: str, text: FindingText, /, *, about: Iterable[str] = (), remedy: Reason | None = None, **params: Any
    ) -> None:
        """Add an error, which prevents a start; see `make_finding`. `about` lists the files concerned."""
        self.add_error(make_finding(at, text, about=about, remedy=remedy, **params))

    def warn(
        self, at: str, text: FindingText, /, *, about: Iterable[str] = (), remedy: Reason | None = None, **params: Any
    ) -> None:
        """Add a warning, which does not prevent a start."""
        self.add_warning(make_finding(at, text, about=about, remedy=remedy, **params))

    def risk(self, at: str, text: FindingText, remedy: Reason | None = None, **params: Any) -> None:
        """Add a finding about a request that could harm the machine: an error unless risks are accepted.

        `remedy` is for the error; it may suggest to accept them.
        """
        if self._accepts_risks:
            self.warn(
                at, text, remedy=Reason.of("Train with it only if you trust its source.", "advice_trust"), **params
            )
        else:
            self.error(at, text, remedy=remedy, **params)

    def add_error(self, finding: Finding) -> None:
        """Add an error that was made elsewhere, or whose text has no code."""
        self._more_errors += _add(self._errors, finding)

    def add_warning(self, finding: Finding) -> None:
        """Add a warning that was made elsewhere, or whose text has no code."""
        self._more_warnings += _add(self._warnings, finding)

    def merge(self, inner: "Findings", at: str, label: Reason) -> None:
        """Add the findings about another file, all at the pointer that names it, with the label as prefix."""
        for mistake in inner.errors:
            self.add_error(_labelled(at, label, mistake))
        for mistake in inner.warnings:
            self.add_warning(_labelled(at, label, mistake))


def _labelled(at: str, label: Reason, mistake: Finding) -> Finding:
    place = Reason.of(", at {pointer}", "at_pointer", pointer=mistake.pointer) if mistake.pointer else ""
    return replace(
        wrap_finding(mistake, at, FindingText("in_other_file", "{label}{place}: {inner}"), label=label, place=place),
        about=(),
    )


def _add(found: dict[Finding, None], mistake: Finding) -> bool:
    """Add a finding, and return whether the limit is reached, so that it is only counted."""
    if mistake in found:
        return False
    if len(found) >= MAX_MISTAKES:
        return True
    found[mistake] = None
    return False
