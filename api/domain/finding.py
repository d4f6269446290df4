"""Findings with a code, and texts of findings that several packages make."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from api.domain.reason import Reason, ReasonCode, fill
from api.errors import Finding, FindingText, ServiceError

CONFIGURATION_TOO_LARGE = FindingText("configuration_too_large", "{why}", "Remove some of it, or simplify it.")
FILE_EMPTY = FindingText("file_empty", "is empty")
REFUSED = FindingText("refused", "{why}")
TIME_NOT_IN_FUTURE = FindingText("time_not_in_future", "must be in the future")


def make_finding(
    pointer: str, text: FindingText, /, *, about: Iterable[str] = (), remedy: Reason | None = None, **params: Any
) -> Finding:
    """Return the finding with this text. `remedy` is the one of this case, where the text has none."""
    plain = {name: _plain(value) for name, value in params.items()}
    advice = remedy_code = None
    if remedy is not None:
        advice, remedy_code, plain["advice"] = remedy.text, "advice", remedy
    elif text.remedy is not None:
        advice, remedy_code = fill(text.remedy, plain), f"{text.code}_remedy"
    said = Reason.of(text.message, text.code, **plain)
    return Finding(pointer, said.text, advice, text.code, said.said.params, tuple(about), remedy_code)


def finding_of(pointer: str, problem: ServiceError, text: FindingText = REFUSED) -> Finding:
    """Return an error as a finding. Its text has the code of the error, unless it has one of its own."""
    return make_finding(pointer, text, why=Reason(problem.detail, problem.said or ReasonCode(problem.code)))


def wrap_finding(finding: Finding, pointer: str, text: FindingText, /, **params: Any) -> Finding:
    """Return the finding with this text around its own, which is `{inner}` there."""
    coded = codes_of(finding)[0]
    inner = finding.message if coded is None else Reason(finding.message, coded)
    found = make_finding(pointer, text, about=finding.about, inner=inner, **params)
    return replace(
        found,
        remedy=finding.remedy,
        params={**(finding.params or {}), **(found.params or {})},
        remedy_code=finding.remedy_code,
    )


def codes_of(finding: Finding) -> tuple[ReasonCode | None, ReasonCode | None]:
    """Return the codes of a finding's message and remedy, each None if it has none."""
    params = finding.params or {}
    message = None if finding.code is None else ReasonCode(finding.code, params)
    return message, None if finding.remedy_code is None else ReasonCode(finding.remedy_code, params)


def _plain(value: Any) -> Any:
    """Return a parameter as JSON can contain it; texts show it in the same way."""
    if isinstance(value, Reason):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number or isinstance(value, str) else str(value)


_LONGEST_SHOWN = 80


def shown(text: object) -> str:
    """Return a name that is safe in a message: bounded, on one line, without control characters or lone surrogates."""
    full = str(text)
    cut = full[:_LONGEST_SHOWN] + ("…" if len(full) > _LONGEST_SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


def pointer(*path: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of these keys and indices."""
    return "".join("/" + shown(part).replace("~", "~0").replace("/", "~1") for part in path)
