"""What a check finds: mistakes with their places, collected, never raised."""

from api.errors import Mistake

#: More findings than this help nobody; the last one says that there are more.
MAX_FINDINGS = 200


class Findings:
    """Errors, which prevent a start, and warnings, which do not. The same finding counts once."""

    def __init__(self, accepts_risks: bool = False) -> None:
        """`accepts_risks`: what is a risk to the machine is a warning only."""
        self._accepts_risks = accepts_risks
        self._errors: dict[Mistake, None] = {}
        self._warnings: dict[Mistake, None] = {}

    @property
    def errors(self) -> tuple[Mistake, ...]:
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        return tuple(self._warnings)

    def error(self, at: str, message: str, remedy: str | None = None) -> None:
        """Records what prevents a start."""
        _add(self._errors, Mistake(at, message, remedy))

    def warn(self, at: str, message: str, remedy: str | None = None) -> None:
        """Records what a start can do without, but its owner should know."""
        _add(self._warnings, Mistake(at, message, remedy))

    def risk(self, at: str, message: str, remedy: str | None = None) -> None:
        """Records what its owner may want, and what could harm the machine."""
        if self._accepts_risks:
            self.warn(at, message, remedy)
        else:
            self.error(at, message, remedy)

    def take(self, inner: "Findings", at: str, label: str) -> None:
        """Takes up the findings in another file: all at the place that names the file; the label says which it is."""
        for mistake in inner.errors:
            self.error(at, _labelled(label, mistake), mistake.remedy)
        for mistake in inner.warnings:
            self.warn(at, _labelled(label, mistake), mistake.remedy)


def _labelled(label: str, mistake: Mistake) -> str:
    return f"{label}{', at ' + mistake.pointer if mistake.pointer else ''}: {mistake.message}"


def _add(found: dict[Mistake, None], mistake: Mistake) -> None:
    if len(found) < MAX_FINDINGS:
        found.setdefault(mistake)
    elif len(found) == MAX_FINDINGS:
        found.setdefault(Mistake("", "There are more findings than these.", "Mend these, then check again."))
