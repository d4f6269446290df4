"""Logs of failed trainings."""

from collections.abc import Sequence

from api.domain.tasks.cause import Cause
from api.trainers.protocol_trainer import RunProtocol
from api.trainers.trainer import Ending

#: The first line of a traceback, which the examples of the catalog leave out.
TRACEBACK = "Traceback (most recent call last):"


def diagnose(
    *lines: str,
    code: int | None = 1,
    number: int | None = None,
    stop_requested: bool = False,
    phrases: Sequence[str] = (),
    nan: int = 0,
) -> Cause:
    return RunProtocol().diagnose(Ending(code, number, stop_requested, frozenset(phrases), lines, nan))


def codes_of(cause: Cause) -> set[str]:
    """Return the codes of a cause: of its detail, if it has one, and of its remedy."""
    return {said.code for said in (cause.detail_code, cause.remedy_code) if said is not None}
